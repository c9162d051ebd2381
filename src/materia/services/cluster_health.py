"""How every part of an installation is, and who is told when that changes."""

from __future__ import annotations

import shutil
import socket
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from materia import log, settings
from materia.errors import MateriaError
from materia.services import canaries, health, notifications, running, submission
from materia.services.campaign_life import ROOT
from materia.services.canaries import Traffic
from materia.services.running import Outcome
from materia.services.work import Work, unit_of_work
from materia.store import health as health_rows
from materia.store import jobs as job_rows
from materia.store import queues as queue_rows
from materia.store import schedules as schedule_rows
from materia.store import workers as worker_rows
from materia.store.database import database
from materia.store.jobs import Row

CHECK = "tasks.simple_tasks.check_cluster_health"
NAME = "cluster"
HEALTHY, DEGRADED, UNHEALTHY = STATUSES = ("healthy", "degraded", "unhealthy")
# Of parts that nothing is known of: they are neither well nor unwell.
NOT_CHECKED, NOT_CONFIGURED = ("not_checked", "not_configured")
# For the nodes of a cluster to answer.
NODES_S = 5.0
# How a head begins to tell of a node that was stopped on purpose.
SENT_AWAY = "Expected termination"
# Three due times of the schedule: a check that is older than that does not run any more.
OVERDUE_S = 900.0

logger = log.logger(__name__)

Part = dict[str, Any]


def _part(status: str, *reasons: str, **found: Any) -> Part:
    return {"status": status, "reasons": list(reasons), **found}


def _worst(parts: dict[str, Part]) -> str:
    known = (part["status"] for part in parts.values() if part["status"] in STATUSES)
    return max(map(str, known), key=STATUSES.index)


def check_cluster_health() -> Outcome:
    """Look at every part, keep what was found, send new canaries, and tell of a change."""
    with database().read() as connection:
        last = health_rows.get(connection, NAME)
    traffic = _traffic(last)
    parts = {**_services(), "workers": _workers(traffic), "cluster": _cluster(), "disk": _disk()}
    report = _report(parts, traffic.now)

    def keep(work: Work) -> None:
        _keep(work, last, report, traffic)

    return Outcome(report, keep)


def look() -> Row:
    """Return how every part is now; nodes of a cluster are as the last check found them.

    Answers also when the database or the broker does not.
    """
    parts: dict[str, Part] = {**_services(), "disk": _disk()}
    try:
        with database().read() as connection:
            last = health_rows.get(connection, NAME)
        traffic = _traffic(last)
        unknown = _part(NOT_CHECKED, configured=None, nodes=[])
        parts["workers"] = _workers(traffic)
        parts["cluster"] = last["report"]["parts"]["cluster"] if last else unknown
        parts["check"] = _check(last, traffic.now)
    except MateriaError as error:
        parts["workers"] = _part(UNHEALTHY, f"not known: {error.message}")
        return _report(parts, datetime.now(UTC).timestamp())
    return _report(parts, traffic.now)


def known_cluster() -> Row:
    """Return the cluster of Ray as the last check found it, and when that was."""
    with database().read() as connection:
        last = health_rows.get(connection, NAME)
    if last is None:
        return {**_part(NOT_CHECKED, configured=None, nodes=[]), "checked_at": None}
    return {**last["report"]["parts"]["cluster"], "checked_at": last["checked_at"]}


def _report(parts: dict[str, Part], now: float) -> Row:
    reasons = [
        f"{name}: {reason}"
        for name, part in parts.items()
        if part["status"] in (DEGRADED, UNHEALTHY)
        for reason in part["reasons"]
    ]
    timestamp = datetime.fromtimestamp(now, UTC).isoformat()
    return {"status": _worst(parts), "timestamp": timestamp, "reasons": reasons, "parts": parts}


def _services() -> dict[str, Part]:
    found = health.checks()
    parts = {
        name: _part(HEALTHY) if fault is None else _part(UNHEALTHY, fault)
        for name, fault in found.items()
    }
    if found["broker"] is None:
        # Not a fault of ours: somebody sends what no worker takes.
        parts["broker"]["refused_messages"] = health.refused_messages()
    return parts


def _traffic(last: Row | None) -> Traffic:
    db, config, job = database(), settings.current(), running.current()
    ids: dict[str, str] = last["canaries"] if last else {}
    with db.read() as connection:
        rows = [row for id_ in ids.values() if (row := job_rows.get(connection, id_)) is not None]
        return Traffic(
            workers=worker_rows.living(db, connection, config.lease_s),
            # The check itself holds a process that is free again in a moment.
            running=worker_rows.running(connection, without=job.id if job else None),
            overdue=queue_rows.overdue(
                db, connection, config.lease_s, without_step=ROOT, without=list(ids.values())
            ),
            canaries=canaries.known(ids, rows),
            now=float(connection.execute(select(db.now())).scalar_one()),
        )


def _workers(traffic: Traffic) -> Part:
    queues = {queue: traffic.judge(queue) for queue in traffic.queues()}
    faults = [f"queue {name}: {q['fault']}" for name, q in queues.items() if q["fault"]]
    found = {
        "workers": [
            {
                "name": worker["name"],
                "queues": worker["queues"],
                "processes": worker["n_processes"],
                "running": traffic.running.get(worker["boot"], 0),
            }
            for worker in traffic.workers
        ],
        "queues": queues,
    }
    if not traffic.workers:
        return _part(UNHEALTHY, "no worker is alive", *faults, **found)
    return _part(DEGRADED if faults else HEALTHY, *faults, **found)


def _cluster() -> Part:
    # Numerics, which the API never loads.
    from materia import compute

    if not compute.is_clustered():
        return _part(NOT_CONFIGURED, configured=False, nodes=[])
    try:
        nodes = compute.cluster_nodes(NODES_S)
    except MateriaError as error:
        return _part(UNHEALTHY, error.message, configured=True, nodes=[])
    alive = {node["address"] for node in nodes if node["alive"]}
    # A head remembers its dead: those that were replaced or sent away are no loss.
    lost = [
        f"node {node['address']}: {node['reason'] or 'is gone'}"
        for node in nodes
        if node["address"] not in alive and not str(node["reason"]).startswith(SENT_AWAY)
    ]
    if not alive:
        return _part(UNHEALTHY, "no node is alive", *lost, configured=True, nodes=nodes)
    return _part(DEGRADED if lost else HEALTHY, *lost, configured=True, nodes=nodes)


def _disk() -> Part:
    config = settings.current()
    folder = config.data_dir.absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        usage = shutil.disk_usage(existing)
    except OSError as error:
        return _part(UNHEALTHY, f"the data folder cannot be looked at: {error.strerror}")
    found = {
        "host": socket.gethostname(),
        "free_bytes": usage.free,
        "total_bytes": usage.total,
    }
    if usage.free >= config.low_disk_bytes:
        return _part(HEALTHY, **found)
    reason = f"{usage.free / 1e9:.2f} GB are free for the data folder"
    is_full = usage.free < config.low_disk_bytes / 10
    return _part(UNHEALTHY if is_full else DEGRADED, reason, **found)


def _check(last: Row | None, now: float) -> Part:
    """Tell whether checks are still made, if somebody wants them."""
    wanted = _schedules()
    checked_at = last["checked_at"] if last else None
    times = {
        "checked_at": None if checked_at is None else _written(checked_at),
        "since": _written(last["since"]) if last else None,
    }
    oldest = max([*(row["created_at"] for row in wanted), checked_at or 0.0], default=now)
    if wanted and now - oldest > OVERDUE_S:
        reason = f"no check has ended for {(now - oldest) / 60:.0f} minutes"
        return _part(DEGRADED, reason, **times)
    if not wanted:
        return _part(NOT_CONFIGURED, **times)
    return _part(NOT_CHECKED if checked_at is None else HEALTHY, **times)


def _schedules() -> list[Row]:
    """Return the schedules by which somebody wants checks to be made."""
    with database().read() as connection:
        every = schedule_rows.every(connection)
    return [row for row in every if row["task"] == CHECK and not row["is_paused"]]


def note_silence() -> str | None:
    """Keep and tell that no worker lives, which no check can find out, if that is news.

    Returns:
        Id of the job that tells of it; None when nobody is to be told.
    """
    with database().read() as connection:
        last = health_rows.get(connection, NAME)
    if last is None or last["status"] == UNHEALTHY or not _schedules():
        return None
    traffic = _traffic(last)
    if traffic.workers:
        return None
    cluster = last["report"]["parts"]["cluster"]
    parts = {**_services(), "workers": _workers(traffic), "cluster": cluster, "disk": _disk()}
    with unit_of_work() as work:
        return _keep(work, last, _report(parts, traffic.now), traffic)


def _written(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat()


def _keep(work: Work, last: Row | None, report: Row, traffic: Traffic) -> str | None:
    """Keep a report, unless another check came between: then that one has done all this.

    Returns:
        Id of the job that tells of a change.
    """
    status, before = report["status"], last["status"] if last else HEALTHY
    version = last["version"] if last else 0
    has_changed = status != before
    values = {
        "status": status,
        "since": traffic.now if has_changed or last is None else last["since"],
        "checked_at": traffic.now,
        "report": report,
        "canaries": last["canaries"] if last else {},
    }
    if not health_rows.put(work.database, work.connection, NAME, version, values):
        logger.info("check_came_second")
        return None
    values["canaries"] = canaries.renew(work, traffic)
    health_rows.amend(work.connection, NAME, {"canaries": values["canaries"]})
    if not has_changed:
        return None
    logger.warning("health_changed", status=status, before=before, reasons=report["reasons"])
    return _tell(work, report, before, f"health:{version + 1}")


def _tell(work: Work, report: Row, before: str, key: str) -> str | None:
    lines = [f"MatCraft is {report['status']}; it was {before}.", report["timestamp"]]
    lines += [f"- {reason}" for reason in report["reasons"]]
    text = "\n".join(lines)[: notifications.LONGEST]
    new = notifications.of_health(text, key)
    if new is None:
        return None
    return next((str(row["id"]) for row in submission.add(work, [new])), None)
