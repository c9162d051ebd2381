"""Counts the messages that Celery itself refuses: other content than JSON, unknown tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import bootsteps
from kombu.exceptions import ContentDisallowed

from materia.broker import refusals
from materia.broker.app import app


class CountRefusals(bootsteps.Step):  # type: ignore[misc]
    """Stands before what a consumer does with a message that it refuses."""

    def __init__(self, consumer: Any, **_: Any) -> None:
        for name, kind in {
            "on_decode_error": refusals.CONTENT_TYPE,
            "on_unknown_task": refusals.UNKNOWN_TASK,
            "on_unknown_message": refusals.INVALID,
            "on_invalid_task": refusals.INVALID,
        }.items():
            setattr(consumer, name, _counted(getattr(consumer, name), kind))


def _counted(refuse: Callable[..., Any], kind: str) -> Callable[..., Any]:
    def counted(*args: Any, **kwargs: Any) -> Any:
        # What is not accepted is told as an invalid task, by this error.
        is_other = any(isinstance(value, ContentDisallowed) for value in args)
        refusals.count(refusals.CONTENT_TYPE if is_other else kind)
        return refuse(*args, **kwargs)

    return counted


app.steps["consumer"].add(CountRefusals)
