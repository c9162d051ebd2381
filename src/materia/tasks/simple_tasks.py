"""Light tasks."""

from __future__ import annotations

from materia.services import cluster_health, notifications, retention
from materia.services.running import Outcome
from materia.tasks.base import durable_task


@durable_task("tasks.simple_tasks.ping")
def ping() -> dict[str, str]:
    """Answer, as a sign that queue, worker and result backend work."""
    return {"status": "pong", "worker": "celery"}


@durable_task(cluster_health.CHECK)
def check_cluster_health() -> Outcome:
    """Look at every part of the installation, and tell of a change."""
    return cluster_health.check_cluster_health()


@durable_task(notifications.SEND)
def send_notification(message: str, channel: str = notifications.DEFAULT) -> Outcome:
    """Send a message to people."""
    return notifications.send_notification(message, channel)


@durable_task("tasks.simple_tasks.cleanup_old_results")
def cleanup_old_results() -> Outcome:
    """Delete what has been kept for long enough."""
    return retention.cleanup_old_results()
