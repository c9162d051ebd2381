"""Workers that have said that they live, and which queues they take."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from materia.store.database import Database
from materia.store.jobs import JobState, Row
from materia.store.paging import rows_of
from materia.store.tables import is_open, jobs, workers


def seen(database: Database, connection: Connection, row: Row) -> None:
    """Note that a worker lives: boot, name, queues, n_processes."""
    now = database.now()
    values: dict[str, Any] = {**row, "seen_at": now}
    known = update(workers).where(workers.c.boot == row["boot"]).values(values)
    if not connection.execute(known).rowcount:
        connection.execute(
            database.insert(workers).values({**values, "started_at": now}).on_conflict_do_nothing()
        )


def remove(connection: Connection, boot: str) -> None:
    """Forget a worker that leaves."""
    connection.execute(delete(workers).where(workers.c.boot == boot))


def living(database: Database, connection: Connection, within_s: float) -> list[Row]:
    """Return the workers that were seen lately, by name."""
    query = select(workers).where(workers.c.seen_at > database.now() - within_s)
    return rows_of(connection.execute(query.order_by(workers.c.name, workers.c.boot)))


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


def forget(database: Database, connection: Connection, after_s: float) -> int:
    """Delete workers that were not seen for long; returns how many."""
    statement = delete(workers).where(workers.c.seen_at < database.now() - after_s)
    return int(connection.execute(statement).rowcount)
