"""Redis transport on which priority 9 is the most urgent, for any Celery client.

Kombu serves priority 0 first. Publishing is left alone, so that a client without our configuration
meets the same keys; only the order in which a worker reads them is turned round. Now and then a
worker reads in kombu's own order, so that the least urgent level is not starved for ever.
"""

from __future__ import annotations

from bisect import bisect
from itertools import count
from typing import Any

from kombu.transport import redis

# One read in so many goes from the least urgent level upwards.
FAIR_EVERY = 20


class Channel(redis.Channel):  # type: ignore[misc]
    """Channel that reads the most urgent level of all its queues first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._reads = count(1)
        super().__init__(*args, **kwargs)

    def _brpop_start(self, timeout: float | None = None) -> None:
        levels = self.priority_steps
        fair = next(self._reads) % FAIR_EVERY == 0
        self.priority_steps = levels if fair else levels[::-1]
        try:
            super()._brpop_start(timeout)
        finally:
            self.priority_steps = levels

    def priority(self, n: int) -> int:
        """Return the level of a priority; looked up in ascending order, whatever the poll reads."""
        steps = sorted(self.priority_steps)
        return int(steps[bisect(steps, n) - 1])


class Transport(redis.Transport):  # type: ignore[misc]
    """Kombu's Redis transport with the channel above."""

    Channel = Channel
