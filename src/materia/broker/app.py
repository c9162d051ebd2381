"""The Celery app: it sends, receives and answers, and knows no task by import."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from celery import Celery

app = Celery("materia")
# Named, not imported: configuration is the operator's file and lies with the tasks.
app.config_from_object("materia.tasks.celeryconfig")


@lru_cache(maxsize=1024)
def route(task: str) -> tuple[str, int]:
    """Return the queue and the priority (0–9, 9 most urgent) that a task has by configuration."""
    options: dict[str, Any] = app.amqp.router.route({}, task)
    queue = options.get("queue")
    name = getattr(queue, "name", queue) or app.conf.task_default_queue
    return str(name), int(options.get("priority") or app.conf.task_default_priority or 0)


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits and retries of a task by configuration; times in seconds."""

    soft_limit_s: float
    hard_limit_s: float
    max_retries: int
    retry_delay_s: float


@lru_cache(maxsize=1024)
def policy(task: str) -> Policy:
    """Return the limits and retries that a task has by configuration."""
    annotations: dict[str, dict[str, Any]] = app.conf.task_annotations or {}
    own = {**annotations.get("*", {}), **annotations.get(task, {})}
    return Policy(
        soft_limit_s=float(own.get("soft_time_limit", app.conf.task_soft_time_limit)),
        hard_limit_s=float(own.get("time_limit", app.conf.task_time_limit)),
        max_retries=int(own.get("max_retries", 3)),
        retry_delay_s=float(own.get("default_retry_delay", 60)),
    )
