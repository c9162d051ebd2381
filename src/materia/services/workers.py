"""Signs of life of workers: a row for each, renewed by its parent process as its leases are.

They tell which queues are served, also while all processes of a worker are busy.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from materia import log, settings
from materia.services.work import Work, unit_of_work
from materia.store import workers as rows
from materia.store.database import Database, database
from materia.store.jobs import Row
from materia.store.workers import ALIVE, WorkerState

GPU_QUEUE = "gpu_training"
GENERAL_QUEUE = "default"
# What a worker says of the device that it trains surrogates on.
DEVICE = "torch_device"

logger = log.logger(__name__)


def seen(boot: str, name: str, queues: Collection[str], n_processes: int, **known: Any) -> None:
    """Note that a worker lives.

    Args:
        known: host, pid and versions, where they are known.
    """
    row = {"boot": boot, "name": name, "queues": sorted(queues), "n_processes": n_processes}
    with unit_of_work() as work:
        news = rows.seen(work.database, work.connection, {**row, **known})
        if news is not None:
            _tell(work, news)


def leave(boot: str) -> None:
    """Note that a worker lives that takes no jobs any more, and finishes those that it runs."""
    with unit_of_work() as work:
        if rows.drains(work.database, work.connection, boot):
            return
        before = [WorkerState.ONLINE, WorkerState.LOST]
        row = rows.change(work.connection, boot, WorkerState.DRAINING, before)
        if row is not None:
            rows.drains(work.database, work.connection, boot)
            _tell(work, row)


def gone(boot: str, reason: str = "stopped") -> None:
    """Note that a worker has ended."""
    _change(boot, WorkerState.OFFLINE, ALIVE, reason)


def note_lost() -> int:
    """Note which workers have gone without a word; returns how many."""
    lease_s = settings.current().lease_s
    with database().read() as connection:
        silent = rows.silent(database(), connection, lease_s)
    for row in silent:
        # One that was seen again meanwhile says so itself within a third of a lease.
        _change(row["boot"], WorkerState.LOST, ALIVE, f"not heard of for {lease_s:g} s")
        logger.warning("worker_lost", worker=row["name"], boot=row["boot"])
    return len(silent)


def _change(
    boot: str, state: WorkerState, before: Sequence[WorkerState], reason: str | None = None
) -> None:
    with unit_of_work() as work:
        row = rows.change(work.connection, boot, state, before, reason)
        if row is not None:
            _tell(work, row)


def _tell(work: Work, row: Row) -> None:
    keys = ("boot", "name", "host", "pid", "queues", "n_processes", "state", "reason")
    work.worker_event(row["boot"], row["event_number"], {key: row.get(key) for key in keys})


def living() -> list[Row]:
    """Return the workers that were seen within the time of a lease."""
    with database().read() as connection:
        return rows.living(database(), connection, settings.current().lease_s)


def is_for_gpu(queues: Collection[str]) -> bool:
    """Tell whether a worker with these queues is one for training on a GPU, and not for all work.

    A worker of all work takes that queue only as long as there is no such worker.
    """
    return GPU_QUEUE in queues and GENERAL_QUEUE not in queues


def gpu_workers(database: Database, connection: Connection) -> list[Row]:
    """Return the living workers that are there for training on a GPU."""
    found = rows.living(database, connection, settings.current().lease_s)
    return [row for row in found if is_for_gpu(row["queues"])]


def every(owner: str | None = None) -> list[Row]:
    """Return all workers that are remembered, those that live first, with what they run.

    Args:
        owner: Only jobs of this owner are named; None for all.
    """
    with database().read() as connection:
        found = rows.every(connection)
        jobs, running = rows.jobs_of(connection, owner), rows.running(connection, without=None)
    order = [str(state) for state in WorkerState]
    found.sort(key=lambda row: (order.index(row["state"]), row["name"], -row["started_at"]))
    return [
        {**row, "jobs": jobs.get(row["boot"], []), "running": running.get(row["boot"], 0)}
        for row in found
    ]


def device_of(row: Mapping[str, Any]) -> str | None:
    """Return the device that a worker trains surrogates on; None where that is NumPy."""
    device: str | None = (row.get("versions") or {}).get(DEVICE)
    return device
