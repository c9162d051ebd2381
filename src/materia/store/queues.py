"""What queues hold."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, and_, case, func, or_, select

from materia.store.database import Database
from materia.store.jobs import WAITING, Row
from materia.store.paging import rows_of
from materia.store.tables import is_open, jobs


def depths(database: Database, connection: Connection, *, without_step: str) -> list[Row]:
    """Return queue, state, n and oldest_s of the jobs that are not final.

    `oldest_s` is the age in seconds of the oldest that could be taken, None where there is none.

    Args:
        without_step: Step of campaigns that no worker takes, so that it is in no queue.
    """
    now = database.now()
    is_takeable = and_(
        jobs.c.state.in_(WAITING), or_(jobs.c.run_at.is_(None), jobs.c.run_at <= now)
    )
    oldest = func.min(case((is_takeable, jobs.c.queued_at)))
    query = (
        select(
            jobs.c.queue,
            jobs.c.state,
            func.count().label("n"),
            (now - oldest).label("oldest_s"),
        )
        .where(is_open, jobs.c.step.is_distinct_from(without_step))
        .group_by(jobs.c.queue, jobs.c.state)
    )
    return rows_of(connection.execute(query))


def waiting(connection: Connection, *, without_step: str) -> list[tuple[str, int, int, float]]:
    """Return (queue, priority, number, time of the oldest) of the jobs that wait.

    Args:
        without_step: Step of campaigns that no worker takes, so that it is in no queue.
    """
    query = (
        select(jobs.c.queue, jobs.c.priority, func.count(), func.min(jobs.c.queued_at))
        .where(is_open, jobs.c.state.in_(WAITING), jobs.c.step.is_distinct_from(without_step))
        .group_by(jobs.c.queue, jobs.c.priority)
        .order_by(jobs.c.queue, jobs.c.priority.desc())
    )
    return [(queue, priority, n, at) for queue, priority, n, at in connection.execute(query)]


def overdue(
    database: Database,
    connection: Connection,
    older_than_s: float,
    *,
    without_step: str,
    without: Collection[str],
) -> dict[str, int]:
    """Return how many jobs of each queue could have been taken for some time.

    Args:
        without_step: Step of campaigns that no worker takes.
        without: Ids of jobs that do not count.
    """
    then = database.now() - older_than_s
    query = (
        select(jobs.c.queue, func.count())
        .where(
            is_open,
            jobs.c.state.in_(WAITING),
            jobs.c.queued_at < then,
            or_(jobs.c.run_at.is_(None), jobs.c.run_at < then),
            jobs.c.step.is_distinct_from(without_step),
            jobs.c.id.not_in(list(without)),
        )
        .group_by(jobs.c.queue)
    )
    return {row[0]: row[1] for row in connection.execute(query)}
