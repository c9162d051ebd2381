"""The same tasks as a plain Celery app, with the worker settings of MatCraft."""

from __future__ import annotations

import os
import time

from celery import Celery
from kombu import Queue

app = Celery("raw", broker=os.environ["RAW_BROKER_URL"], backend=os.environ["RAW_RESULT_BACKEND"])
app.conf.update(
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    task_serializer="json",
    result_serializer="json",
    accept_content=["json"],
    result_expires=24 * 3600,
    task_time_limit=3600,
    task_soft_time_limit=3000,
    worker_send_task_events=False,
    task_queues=[
        Queue(name)
        for name in (
            *("celery", "high_priority", "default", "low_priority"),
            *("gpu_training", "ml", "data"),
        )
    ],
    broker_connection_retry_on_startup=True,
)


@app.task(name="tasks.simple_tasks.ping")
def ping() -> dict[str, str]:
    """Answer."""
    return {"status": "pong", "worker": "celery"}


@app.task(name="tasks.test.work")
def work(kind: str, seconds: float) -> str:
    """Sleep."""
    time.sleep(seconds)
    return kind


@app.task(name="raw.started")
def started() -> float:
    """Tell when it started."""
    return time.time()
