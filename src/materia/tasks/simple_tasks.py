"""Light tasks."""

from __future__ import annotations

from materia.tasks.base import durable_task


@durable_task("tasks.simple_tasks.ping")
def ping() -> dict[str, str]:
    """Answer, as a sign that queue, worker and result backend work."""
    return {"status": "pong", "worker": "celery"}
