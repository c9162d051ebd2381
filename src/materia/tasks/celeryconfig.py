"""The operator's one place for routing, limits, retries, schedules and priorities.

Every name is Celery's own setting. ``MATERIA_CELERY_<NAME>`` in the environment or in ``.env``
overrides one, as JSON or plain text: ``MATERIA_CELERY_TASK_TIME_LIMIT=7200``.
"""

from __future__ import annotations

import json
import os
from typing import Any

from celery.schedules import crontab
from dotenv import dotenv_values
from kombu import Exchange, Queue

from materia import settings
from materia.settings import QUEUES

_settings = settings.current()

# Connections
broker_url = _settings.broker_url
broker_transport = "materia.broker.transport:Transport"
result_backend = _settings.result_backend
result_expires = 24 * 3600
# An answer that cannot be stored at once is stored by the scheduler.
redis_socket_connect_timeout = 2.0
redis_socket_timeout = 5.0
result_backend_transport_options = {"retry_policy": {"max_retries": 1, "interval_start": 0.1}}
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
worker_cancel_long_running_tasks_on_connection_loss = False

# Messages: JSON in and out, nothing else accepted
task_serializer = "json"
result_serializer = "json"
accept_content = ["json"]
result_accept_content = ["json"]
enable_utc = True
timezone = "UTC"

# Limits in seconds
task_time_limit = 3600
task_soft_time_limit = 3000

# Retries of errors that waiting can heal: default_retry_delay · 2^n seconds, with jitter. A task's
# own entry may also set time_limit and soft_time_limit.
task_annotations: dict[str, dict[str, Any]] = {
    "*": {"max_retries": 3, "default_retry_delay": 60},
}

# Queues and routing; a message without a queue lands in Celery's own, which is served too
task_default_queue = "celery"
task_queues = [Queue(name, Exchange(name), routing_key=name) for name in ("celery", *QUEUES)]
task_routes: dict[str, dict[str, Any]] = {
    "tasks.campaign_tasks.train_surrogate": {"queue": "default", "priority": 9},
    "tasks.campaign_tasks.run_cmaes_optimization": {"queue": "default", "priority": 9},
    "tasks.campaign_tasks.evaluate_candidates": {"queue": "default", "priority": 5},
    "tasks.campaign_tasks.compute_pareto_front": {"queue": "default", "priority": 1},
    "tasks.campaign_tasks.export_results": {"queue": "low_priority", "priority": 1},
    "tasks.campaign_tasks.cleanup_old_checkpoints": {"queue": "low_priority", "priority": 1},
    "tasks.campaign_tasks.*": {"queue": "default", "priority": 5},
    "tasks.ml_tasks.*": {"queue": "ml", "priority": 5},
    "tasks.data_tasks.*": {"queue": "data", "priority": 5},
    "tasks.simple_tasks.cleanup_old_results": {"queue": "default", "priority": 1},
    "tasks.simple_tasks.*": {"queue": "default", "priority": 5},
}

# Priorities: ten levels, 9 the most urgent (`materia.broker.transport`)
task_default_priority = 5
broker_transport_options = {
    "priority_steps": list(range(10)),
    "queue_order_strategy": "priority",
    "socket_keepalive": True,
    "socket_connect_timeout": 2.0,
    "health_check_interval": 10,
}

# Workers
worker_concurrency = 4
worker_prefetch_multiplier = 1
task_acks_late = True
task_reject_on_worker_lost = False
task_acks_on_failure = True
task_acks_on_timeout = True
worker_lost_wait = 1.0
worker_pool_restarts = True
worker_hijack_root_logger = False
worker_redirect_stdouts = False
worker_send_task_events = False

# Schedules: each becomes a row when a scheduler starts (`materia schedule list`). What users change
# in a row stays until the entry here changes. `options` may hold queue, priority and missed: what
# becomes of due times at which no scheduler was alive (skip, one, all).
beat_schedule: dict[str, dict[str, Any]] = {
    "daily-model-retraining": {
        "task": "tasks.ml_tasks.retrain_models",
        "schedule": crontab(hour=2, minute=0),
    },
    "hourly-data-processing": {
        "task": "tasks.data_tasks.process_new_data",
        "schedule": crontab(minute=0),
    },
    "cluster-health-check": {
        "task": "tasks.simple_tasks.check_cluster_health",
        "schedule": crontab(minute="*/5"),
        "options": {"missed": "skip"},
    },
    "daily-cleanup-of-results": {
        "task": "tasks.simple_tasks.cleanup_old_results",
        "schedule": crontab(hour=3, minute=15),
    },
    "daily-cleanup-of-checkpoints": {
        "task": "tasks.campaign_tasks.cleanup_old_checkpoints",
        "schedule": crontab(hour=3, minute=30),
    },
}
beat_scheduler = "materia.tasks.scheduler:JobScheduler"
beat_max_loop_interval = _settings.scan_interval_s


def _override(prefix: str = "MATERIA_CELERY_") -> None:
    given = {**dotenv_values(".env"), **os.environ}
    for key, text in given.items():
        if not key.startswith(prefix) or text is None:
            continue
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        globals()[key.removeprefix(prefix).lower()] = value


_override()
# Longer than the hard limit: a message delivered again is dropped by the claim, but costs a look.
broker_transport_options.setdefault("visibility_timeout", task_time_limit + 600)
