"""How much one key may ask for: so much a second on average, and a burst of ten seconds at once.

Every server counts for itself, and twice a second they tell each other through Redis, so that no
request waits for that. While Redis is away each goes on alone: the limits are there to keep a
client that has gone wrong from taking everything, not to turn people away.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import redis
from starlette.responses import Response

from materia import log
from materia.api.problems import CODES, problem
from materia.services.keys import Caller

BURST_S = 10.0
EXCHANGE_EVERY_S = 0.5
# What others did longer ago has been made up for by now.
STALE_S = 5.0

Add = Callable[[Mapping[str, int], Sequence[str]], dict[str, int]]
"""Adds to counts that servers share; returns the totals of those asked for."""

logger = log.logger(__name__)


@dataclass(slots=True)
class Bucket:
    """Fills at a rate, and is emptied by requests.

    Args:
        rate: Requests a second.
    """

    rate: float
    left: float = field(init=False)
    at: float = field(init=False)
    # Since the others were told.
    taken: int = field(default=0, init=False)
    # Of all servers when they were last heard, if that was lately.
    total: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.left, self.at = self._most, time.monotonic()

    @property
    def _most(self) -> float:
        return max(1.0, BURST_S * self.rate)

    def _fill(self) -> None:
        now = time.monotonic()
        self.left, self.at = min(self._most, self.left + (now - self.at) * self.rate), now

    def wait_s(self) -> float:
        """Take one, and return 0; or return how long it takes until there is one."""
        self._fill()
        if self.left < 1.0:
            return (1.0 - self.left) / self.rate
        self.left -= 1.0
        self.taken += 1
        return 0.0

    def hear(self, total: int, told: int) -> None:
        """Take away what other servers let in since the last time.

        Args:
            told: How much of the total was added by this server just now.
        """
        if self.total is not None:
            self._fill()
            others = max(0, total - self.total - told)
            self.left = max(-self._most, self.left - others)
        self.total = total


class Pace:
    """The limits of every key.

    Args:
        requests_per_s: Of all requests.
        changes_per_s: Of those that change something.
    """

    def __init__(self, requests_per_s: float, changes_per_s: float) -> None:
        self._rates = {False: requests_per_s, True: changes_per_s}
        self._buckets: dict[tuple[str | None, bool], Bucket] = {}
        self._heard_at = -math.inf

    def wait_s(self, caller: Caller, *, is_change: bool) -> float:
        """Count a request; 0 when it may be served, else how long its key has to wait."""
        kinds = (False, True) if is_change else (False,)
        return max(self._bucket(caller.key_id, kind).wait_s() for kind in kinds)

    def _bucket(self, key_id: str | None, kind: bool) -> Bucket:
        # As many as there are keys: who has none was refused before.
        found = self._buckets.get((key_id, kind))
        if found is None:
            found = self._buckets[key_id, kind] = Bucket(self._rates[kind])
        return found

    async def share(self, add: Add) -> None:
        """Tell other servers what was let in here, and hear of theirs, for ever."""
        while True:
            await asyncio.sleep(EXCHANGE_EVERY_S)
            await self.exchange(add)

    async def exchange(self, add: Add) -> None:
        """Tell and hear once; nothing happens when that cannot be done."""
        buckets = {f"{key or ''}|{int(kind)}": one for (key, kind), one in self._buckets.items()}
        told = {name: bucket.taken for name, bucket in buckets.items() if bucket.taken}
        for bucket in buckets.values():
            bucket.taken = 0
        try:
            totals = await asyncio.to_thread(add, told, list(buckets))
        except redis.RedisError as error:
            logger.warning("pace_not_shared", reason=str(error))
            return
        is_stale = time.monotonic() - self._heard_at > STALE_S
        self._heard_at = time.monotonic()
        for name, total in totals.items():
            if is_stale:
                buckets[name].total = None
            buckets[name].hear(total, told.get(name, 0))


def too_many(message: str, hint: str, wait_s: float) -> Response:
    """Return the answer to a request too many, which says when to come again."""
    headers = {"Retry-After": str(max(1, math.ceil(wait_s)))}
    return problem(429, CODES[429], message, hint=hint, headers=headers)
