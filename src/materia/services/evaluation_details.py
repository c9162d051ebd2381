"""What an evaluator tells beyond the outcomes, bounded where it goes out to many."""

from __future__ import annotations

from typing import Any

import orjson

MAX_BYTES = 4096
"""Of the metadata of one evaluation, as JSON, in events and lists."""

CUT = "left_out"
"""Under this key stand the names of the entries that were too large."""


def bounded(details: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return metadata that fits into `MAX_BYTES`: entries that do not fit are named, not shown."""
    if details is None or len(orjson.dumps(details)) <= MAX_BYTES:
        return details
    kept: dict[str, Any] = {}
    size = 0
    left_out = []
    for name, value in details.items():
        grown = size + len(orjson.dumps({name: value}))
        if grown > MAX_BYTES // 2:
            left_out.append(name[:64])
            continue
        kept[name], size = value, grown
    return {**kept, CUT: left_out[:20]}
