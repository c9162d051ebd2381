"""Redis transport on which priority 9 is the most urgent, for any Celery client.

Kombu serves priority 0 first. Publishing is left alone, so that a client without our configuration
meets the same keys; only the order in which a worker reads them is turned round. Now and then a
worker reads in kombu's own order, so that the least urgent level is not starved for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from time import monotonic
from typing import Any

from kombu.transport import redis, virtual

# One read in so many goes from the least urgent level upwards.
FAIR_EVERY = 20


class QoS(redis.QoS):  # type: ignore[misc]
    """Book-keeping of the messages taken, in fewer packets.

    An acknowledgement waits for no reply. One that is lost costs a look at the row when the message
    comes again, and nothing else: the job is final or claimed by then.
    """

    def ack(self, delivery_tag: str) -> None:
        """Forget a message."""
        forgotten = (
            ("ZREM", self.unacked_index_key, delivery_tag),
            ("HDEL", self.unacked_key, delivery_tag),
        )
        if self.channel.tell(*forgotten):
            virtual.QoS.ack(self, delivery_tag)
        else:
            super().ack(delivery_tag)

    @contextmanager
    def pipe_or_acquire(self, pipe: Any = None, client: Any = None) -> Iterator[Any]:
        """Yield a pipeline that is no transaction: its commands are of one message only."""
        if pipe:
            yield pipe
        else:
            with self.channel.conn_or_acquire(client) as found:
                yield found.pipeline(transaction=False)


class Channel(redis.Channel):  # type: ignore[misc]
    """Channel that reads the most urgent level of all its queues first."""

    QoS = QoS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._silent: Any = None
        self._reads = count(1)
        self._commands: dict[tuple[Any, ...], list[bytes]] = {}
        super().__init__(*args, **kwargs)

    def tell(self, *commands: tuple[Any, ...]) -> bool:
        """Send commands on a connection on which Redis answers nothing.

        Returns:
            False when they could not be sent.
        """
        if self._silent is None:
            pool = self.client.connection_pool
            self._silent = pool.connection_class(**pool.connection_kwargs)
        line = self._silent
        try:
            if not line.is_connected:
                line.connect()
                line.send_command("CLIENT", "REPLY", "OFF", check_health=False)
            packed = line.pack_commands([self._prefixed(command) for command in commands])
            line.send_packed_command(packed, check_health=False)
        except self.connection_errors:
            line.disconnect()
            return False
        return True

    def _prefixed(self, command: Sequence[Any]) -> Sequence[Any]:
        if not self.global_keyprefix:
            return command
        prefixed: Sequence[Any] = self.client._prefix_args(list(command))
        return prefixed

    def close(self) -> None:
        """Close the channel and its connections."""
        super().close()
        if self._silent is not None:
            self._silent.disconnect()

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
            command = self._prefixed(["BRPOP", *keys, timeout or 0])
            self._commands[wanted] = self.client.connection.pack_command(*command)
        return self._commands[wanted]


class Transport(redis.Transport):  # type: ignore[misc]
    """Kombu's Redis transport with the channel above."""

    Channel = Channel
