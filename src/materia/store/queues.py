"""What queues hold."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from materia.store.tables import is_open, jobs


def counts(connection: Connection, *, without_step: str) -> list[tuple[str, str, int]]:
    """Return how many jobs each queue holds in each state that is not final.

    Args:
        without_step: Step of campaigns that no worker takes, so that it is in no queue.
    """
    query = (
        select(jobs.c.queue, jobs.c.state, func.count())
        .where(is_open, jobs.c.step.is_distinct_from(without_step))
        .group_by(jobs.c.queue, jobs.c.state)
    )
    return [(queue, state, n) for queue, state, n in connection.execute(query)]
