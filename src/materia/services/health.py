"""Whether this installation can take work and get it done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
from kombu.exceptions import OperationalError
from sqlalchemy.exc import SQLAlchemyError

from materia import settings
from materia.broker import refusals
from materia.errors import TransientError
from materia.services.campaign_life import ROOT
from materia.services.dispatch import LEADER
from materia.store import jobs as job_rows
from materia.store import leases
from materia.store import queues as queue_rows
from materia.store import workers as worker_rows
from materia.store.database import database

TIMEOUT_S = 2.0
# Clients without our configuration send to Celery's own queue.
SERVED = (*settings.QUEUES, "celery")


def checks() -> dict[str, str | None]:
    """Return what is wrong with each part that work depends on; None for a healthy one."""
    parts: dict[str, Callable[[], str | None]] = {
        "database": _database,
        "broker": _broker,
        "scheduler": _scheduler,
    }
    return {name: _answer_of(check) for name, check in parts.items()}


def _answer_of(check: Callable[[], str | None]) -> str | None:
    try:
        return check()
    except TransientError as error:
        return error.message
    except SQLAlchemyError as error:
        return f"the schema is not there: {getattr(error, 'orig', error)}"
    except redis.RedisError as error:
        return f"Redis did not answer: {error}"


def _database() -> str | None:
    with database().read() as connection:
        connection.exec_driver_sql("SELECT 1 FROM jobs WHERE 1 = 0")
    return None


def _broker() -> str | None:
    url = settings.current().broker_url
    with redis.Redis.from_url(
        url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
    ) as client:
        client.ping()
    return None


def refused_messages() -> dict[str, int] | None:
    """Return how many messages of Celery were refused, by kind; None when that is not known."""
    try:
        return refusals.counts()
    except (OSError, redis.RedisError, OperationalError):
        return None


def _scheduler() -> str | None:
    with database().read() as connection:
        led = leases.is_held(database(), connection, LEADER)
    return None if led else "no scheduler runs: start `celery -A materia.tasks beat`"


def queues() -> list[dict[str, Any]]:
    """Return what each queue holds, by priority and age, and which workers take it.

    Jobs that stand for campaigns are in no queue.
    """
    db = database()
    with db.read() as connection:
        depths = queue_rows.depths(db, connection, without_step=ROOT)
        waiting = queue_rows.waiting(connection, without_step=ROOT)
        workers = worker_rows.living(db, connection, settings.current().lease_s)
        now = db.time(connection)
    served = {queue for worker in workers for queue in worker["queues"]}
    names = dict.fromkeys([*SERVED, *sorted(served | {row["queue"] for row in depths})])
    found = {name: _empty(name, workers) for name in names}
    for row in depths:
        is_waiting = row["state"] in job_rows.WAITING
        found[row["queue"]]["waiting" if is_waiting else "running"] += row["n"]
    for queue, priority, n, oldest_at in waiting:
        # A job that was queued between the two looks.
        line = found.setdefault(queue, _empty(queue, workers))
        age_s = max(0.0, now - oldest_at)
        line["priorities"].append({"priority": priority, "waiting": n, "oldest_s": age_s})
        line["oldest_s"] = max(line["oldest_s"] or 0.0, age_s)
    return list(found.values())


def _empty(queue: str, workers: list[dict[str, Any]]) -> dict[str, Any]:
    takers = [worker["name"] for worker in workers if queue in worker["queues"]]
    return {
        "queue": queue,
        "waiting": 0,
        "running": 0,
        "oldest_s": None,
        "priorities": [],
        "workers": takers,
    }
