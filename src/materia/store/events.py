"""Events as rows, numbered per topic in the transaction that they report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select

from materia.store.paging import rows_of
from materia.store.tables import events

TOPICS_AT_ONCE = 500

# Built once, for it runs with every change of every job.
_INSERT = insert(events)


def add(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert event rows (topic, number, type, time, campaign_id, job_id, data)."""
    if rows:
        connection.execute(_INSERT, list(rows))


def after(connection: Connection, topic: str, number: int, limit: int) -> list[dict[str, Any]]:
    """Return up to `limit` events of a topic after a number, in order."""
    query = (
        select(events)
        .where(events.c.topic == topic, events.c.number > number)
        .order_by(events.c.number)
        .limit(limit)
    )
    return rows_of(connection.execute(query))


def numbers(connection: Connection, topic: str) -> tuple[int, int]:
    """Return the first and the last number kept of a topic; (0, 0) when there is none."""
    query = select(func.min(events.c.number), func.max(events.c.number)).where(
        events.c.topic == topic
    )
    first, last = connection.execute(query).one()
    return (first or 0, last or 0)


def newest_numbers(connection: Connection, since: float, limit: int) -> dict[str, int]:
    """Return the newest number of each topic that had an event since a time."""
    query = (
        select(events.c.topic, func.max(events.c.number))
        .where(events.c.time >= since)
        .group_by(events.c.topic)
        .limit(limit)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def last_numbers(connection: Connection, topics: Sequence[str]) -> dict[str, int]:
    """Return the last number of each of these topics that has events."""
    found: dict[str, int] = {}
    # In slices: databases bound how many values a statement takes.
    for start in range(0, len(topics), TOPICS_AT_ONCE):
        query = (
            select(events.c.topic, func.max(events.c.number))
            .where(events.c.topic.in_(topics[start : start + TOPICS_AT_ONCE]))
            .group_by(events.c.topic)
        )
        found.update((topic, number) for topic, number in connection.execute(query))
    return found
