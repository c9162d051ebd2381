"""What waits for a GPU worker goes on without one when none has been there for some time."""

from __future__ import annotations

from typing import Any

from materia import log, settings
from materia.broker import moving
from materia.services.work import unit_of_work
from materia.services.workers import GENERAL_QUEUE, GPU_QUEUE
from materia.store import jobs as job_rows
from materia.store import workers as worker_rows
from materia.store.database import database

logger = log.logger(__name__)


def leave_unserved() -> int:
    """Move what waits in `gpu_training` to `default` when no worker took that queue for a while.

    Returns:
        How many jobs were moved.
    """
    patience_s = settings.current().gpu_patience_s
    db = database()
    with db.read() as connection:
        if _is_served(worker_rows.seen_since(db, connection, patience_s)):
            return 0
        others = worker_rows.living(db, connection, settings.current().lease_s)
        now = db.time(connection)
        # When everything has just been started, a worker for it may be on its way.
        is_settled = any(row["started_at"] < now - patience_s for row in others)
        if not is_settled and not job_rows.has_waiting(db, connection, GPU_QUEUE, patience_s):
            return 0
        waits = job_rows.has_waiting(db, connection, GPU_QUEUE, 0.0)
    n_moved = _move_jobs(patience_s, now) if waits else 0
    # Of plain clients, whose messages are no jobs before a worker has taken them.
    moving.move(GPU_QUEUE, GENERAL_QUEUE)
    return n_moved


def _move_jobs(patience_s: float, now: float) -> int:
    reason = f"no worker has taken the queue {GPU_QUEUE} for {patience_s:g} s"
    with unit_of_work() as work:
        if _is_served(worker_rows.seen_since(work.database, work.connection, patience_s)):
            return 0
        moved = job_rows.move(work.database, work.connection, GPU_QUEUE, GENERAL_QUEUE)
        text = f"moved to the queue {GENERAL_QUEUE}: {reason}"
        for row in moved:
            work.job_event(row, moved_from=GPU_QUEUE, reason=reason)
            line = {"time": now, "level": "WARNING", "text": text}
            job_rows.add_log(work.connection, row["id"], [line])
        work.to_send.extend(moved)
    if moved:
        logger.warning("gpu_queue_left", jobs=len(moved), reason=reason)
    return len(moved)


def _is_served(workers: list[dict[str, Any]]) -> bool:
    return any(GPU_QUEUE in row["queues"] for row in workers)
