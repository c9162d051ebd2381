"""Counts that several servers share: each adds what it saw, and hears what there is in all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from materia.events import stream

# One hash; without servers that ask anything it is soon forgotten.
KEY = "materia:tally"
EXPIRE_S = 60


def add(own: Mapping[str, int], known: Sequence[str]) -> dict[str, int]:
    """Add to some counts and return the totals of those that are asked for.

    Raises:
        redis.RedisError: Redis does not answer; nothing may have been added, or all of it.
    """
    if not known:
        return {}
    pipe = stream.connection().pipeline(transaction=False)
    for name, n in own.items():
        pipe.hincrby(KEY, name, n)
    pipe.hmget(KEY, list(known))
    pipe.expire(KEY, EXPIRE_S)
    totals: Any = pipe.execute()[-2]
    return {name: int(total or 0) for name, total in zip(known, totals, strict=True)}
