"""Redis transport on which priority 9 is the most urgent, for any Celery client.

Kombu serves priority 0 first. Publishing is left alone, so that a client without our configuration
meets the same keys; only the order in which a worker reads them is turned round. Now and then a
worker reads in kombu's own order, so that the least urgent level is not starved for ever.
"""

from __future__ import annotations

from itertools import count
from time import monotonic
from typing import Any

from kombu.transport import redis

# One read in so many goes from the least urgent level upwards.
FAIR_EVERY = 20


class Channel(redis.Channel):  # type: ignore[misc]
    """Channel that reads the most urgent level of all its queues first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._reads = count(1)
        self._commands: dict[tuple[Any, ...], list[bytes]] = {}
        super().__init__(*args, **kwargs)

    def _brpop_start(self, timeout: float | None = None) -> None:
        queues = tuple(self._queue_cycle.consume(len(self.active_queues)))
        if not queues:
            return
        fair = next(self._reads) % FAIR_EVERY == 0
        connection = self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        connection.send_packed_command(self._command(queues, fair, timeout or self.brpop_timeout))

    def _command(self, queues: tuple[str, ...], fair: bool, timeout: float) -> list[bytes]:
        """Return the packed BRPOP over all queues and levels; packing 70 keys is the dear part."""
        wanted = (queues, fair, timeout)
        if wanted not in self._commands:
            levels = self.priority_steps if fair else self.priority_steps[::-1]
            keys = [self._q_for_pri(queue, level) for level in levels for queue in queues]
            command = ["BRPOP", *keys, timeout or 0]
            if self.global_keyprefix:
                command = self.client._prefix_args(command)
            self._commands[wanted] = self.client.connection.pack_command(*command)
        return self._commands[wanted]


class Transport(redis.Transport):  # type: ignore[misc]
    """Kombu's Redis transport with the channel above."""

    Channel = Channel
