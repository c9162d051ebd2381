"""Workers: where they run, which queues they take, and whether they live."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, delete, func, or_, select, update

from materia.store.database import Database
from materia.store.jobs import JobState, Row
from materia.store.paging import rows_of
from materia.store.tables import events, is_open, jobs, workers


class WorkerState(StrEnum):
    """States of a worker; one that drains finishes what it runs and takes nothing new."""

    ONLINE = "online"
    DRAINING = "draining"
    OFFLINE = "offline"
    LOST = "lost"


ALIVE = (WorkerState.ONLINE, WorkerState.DRAINING)


def seen(database: Database, connection: Connection, row: Row) -> Row | None:
    """Note that a worker lives: boot, name, queues, n_processes and what else is known of it.

    Returns:
        Its row when it is new, or was taken for lost; None when it was online already.
    """
    now = database.now()
    values: dict[str, Any] = {**row, "seen_at": now}
    is_this = workers.c.boot == row["boot"]
    known = update(workers).where(is_this, workers.c.state == WorkerState.ONLINE).values(values)
    if connection.execute(known).rowcount:
        return None
    # One that leaves, or has left, does not come back.
    back = change(connection, row["boot"], WorkerState.ONLINE, [WorkerState.LOST])
    if back is not None:
        connection.execute(update(workers).where(is_this).values(values))
        return {**back, **row}
    first = {**values, "started_at": now, "state": WorkerState.ONLINE, "event_number": 1}
    added = connection.execute(
        database.insert(workers).values(first).on_conflict_do_nothing().returning(workers)
    )
    return next(iter(rows_of(added)), None)


def change(
    connection: Connection,
    boot: str,
    state: WorkerState,
    before: Sequence[WorkerState],
    reason: str | None = None,
) -> Row | None:
    """Give a worker another state; None when it was in none of those before."""
    statement = (
        update(workers)
        .where(workers.c.boot == boot, workers.c.state.in_(before))
        .values(state=state, reason=reason, event_number=workers.c.event_number + 1)
        .returning(workers)
    )
    return next(iter(rows_of(connection.execute(statement))), None)


def living(database: Database, connection: Connection, within_s: float) -> list[Row]:
    """Return the workers that take jobs and were seen lately, by name."""
    query = select(workers).where(
        workers.c.seen_at > database.now() - within_s, workers.c.state == WorkerState.ONLINE
    )
    return rows_of(connection.execute(query.order_by(workers.c.name, workers.c.boot)))


def drains(database: Database, connection: Connection, boot: str) -> bool:
    """Note that a worker which leaves still lives; False when it is not known to leave."""
    known = update(workers).where(workers.c.boot == boot, workers.c.state == WorkerState.DRAINING)
    return bool(connection.execute(known.values(seen_at=database.now())).rowcount)


def silent(database: Database, connection: Connection, for_s: float) -> list[Row]:
    """Return the workers that should live and were not seen for some time."""
    is_silent = workers.c.seen_at < database.now() - for_s
    query = select(workers).where(workers.c.state.in_(ALIVE), is_silent)
    return rows_of(connection.execute(query))


def every(connection: Connection) -> list[Row]:
    """Return all workers that are remembered."""
    return rows_of(connection.execute(select(workers)))


def seen_since(database: Database, connection: Connection, within_s: float) -> list[Row]:
    """Return the workers that were seen within some time, whatever became of them since."""
    query = select(workers).where(workers.c.seen_at > database.now() - within_s)
    return rows_of(connection.execute(query))


def running(connection: Connection, without: str | None) -> dict[str, int]:
    """Return how many jobs each worker runs, by its boot.

    Args:
        without: Id of a job that does not count.
    """
    query = (
        select(jobs.c.claimed_by, func.count())
        .where(is_open, jobs.c.state == JobState.RUNNING, jobs.c.claimed_by.is_not(None))
        .group_by(jobs.c.claimed_by)
    )
    if without is not None:
        query = query.where(jobs.c.id != without)
    return {row[0]: row[1] for row in connection.execute(query)}


def jobs_of(connection: Connection, owner: str | None = None) -> dict[str, list[str]]:
    """Return the ids of the jobs that each worker runs, by its boot.

    Args:
        owner: Only jobs of this owner; None for all.
    """
    query = (
        select(jobs.c.claimed_by, jobs.c.id)
        .where(is_open, jobs.c.state == JobState.RUNNING, jobs.c.claimed_by.is_not(None))
        .order_by(jobs.c.claimed_at, jobs.c.id)
    )
    if owner is not None:
        query = query.where(jobs.c.owner == owner)
    found: dict[str, list[str]] = {}
    for boot, job_id in connection.execute(query):
        found.setdefault(boot, []).append(job_id)
    return found


def forget(database: Database, connection: Connection, after_s: float) -> int:
    """Delete workers that were not seen for long, with their events; returns how many."""
    old = workers.c.seen_at < database.now() - after_s
    gone = list(connection.execute(delete(workers).where(old).returning(workers.c.boot)).scalars())
    topics = [f"worker:{boot}" for boot in gone]
    if topics:
        is_theirs = or_(*(events.c.topic == topic for topic in topics[:500]))
        connection.execute(delete(events).where(is_theirs))
    return len(gone)
