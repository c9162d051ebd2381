"""The Celery app: it sends, receives and answers, and knows no task by import."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from celery import Celery
from kombu import Connection
from kombu.pools import connections, producers

app = Celery("materia")
# Named, not imported: configuration is the operator's file and lies with the tasks.
app.config_from_object("materia.tasks.celeryconfig")

# Whoever sends or looks gives up soon: what cannot be done now, the scheduler does later.
IMPATIENT = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0, "max_retries": 0}


@lru_cache(maxsize=4)
def _impatient(url: str, pid: int) -> Connection:
    return app.connection_for_write(url, transport_options=IMPATIENT)


def connection() -> Any:
    """Return a connection to the broker, out of a pool and for a ``with``; it gives up soon."""
    return connections[_impatient(app.conf.broker_write_url, os.getpid())].acquire(block=True)


def producer() -> Any:
    """Return a producer of messages, out of a pool and for a ``with``; it gives up soon."""
    return producers[_impatient(app.conf.broker_write_url, os.getpid())].acquire(block=True)


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
