"""Celery: the app, the durable base task and thin task bodies.

``celery -A materia.tasks worker|beat|flower`` find the app here.
"""

from __future__ import annotations

from materia.broker.app import app
from materia.tasks import (
    campaign_tasks,
    data_tasks,
    flower,
    ml_tasks,
    refusals,
    simple_tasks,
    worker,
)

__all__ = [
    "app",
    "campaign_tasks",
    "data_tasks",
    "flower",
    "ml_tasks",
    "refusals",
    "simple_tasks",
    "worker",
]
