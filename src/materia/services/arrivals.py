"""Messages of plain clients as job rows: anybody may write them, and a row keeps only so much."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from materia.errors import DataError
from materia.services.running import storable
from materia.services.submission import NewJob

ID = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,255}")
ID_RULE = "it must be a text of 1 to 255 characters without control characters"
QUEUE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,128}")
LEVELS = 100
LARGEST = 2**63 - 1


def is_id(given: Any) -> bool:
    """Tell whether a job can have this id."""
    return isinstance(given, str) and ID.fullmatch(given) is not None


def job(
    task: str,
    task_id: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    delivery_info: Mapping[str, Any] | None,
    time_limits: Sequence[float | None] | None,
    reply: bool,
) -> NewJob:
    """Return the job that the message of a plain client asks for."""
    delivery = delivery_info or {}
    queue, priority = delivery.get("routing_key"), delivery.get("priority")
    hard, soft = time_limits or (None, None)
    is_whole = fault(args, kwargs) is None
    return NewJob(
        task=task,
        id=task_id,
        args=args if is_whole else _kept(args),
        kwargs=kwargs if is_whole else _kept(kwargs),
        queue=queue if isinstance(queue, str) and QUEUE.fullmatch(queue) else None,
        priority=min(max(priority, 0), 9) if type(priority) is int else 0,
        soft_limit_s=soft,
        hard_limit_s=hard,
        requested_by="celery",
        reply=reply,
    )


def fault(args: Sequence[Any], kwargs: Mapping[str, Any]) -> DataError | None:
    """Return why a row cannot keep arguments as they are; None when it can."""
    try:
        orjson.dumps([args, kwargs])
    except TypeError as error:
        return DataError(
            f"the arguments cannot be kept: {error}",
            "send whole numbers of at most 64 bits, texts without lone surrogates, and no deep"
            " nesting",
        )
    return None


def _kept(value: Any, level: int = 0) -> Any:
    """Return arguments as a row can keep them, for people to see what was sent."""
    if level > LEVELS:
        return "…"
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(str(key)): _kept(inner, level + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_kept(inner, level + 1) for inner in value]
    return str(value) if type(value) is int and abs(value) > LARGEST else value
