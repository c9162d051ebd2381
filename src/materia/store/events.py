"""Events as rows, numbered per topic in the transaction that they report."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Connection, Insert, Update, bindparam, func, insert, select

from materia.store.database import Database
from materia.store.paging import rows_of
from materia.store.prepared import Prepared, Row
from materia.store.tables import events

TOPICS_AT_ONCE = 500


@lru_cache(maxsize=8)
def _insert(database: Database) -> Prepared:
    values: Row = {column.name: bindparam(column.name) for column in events.c}
    return Prepared(database, insert(events).values(values))


def add(database: Database, driver: Any, rows: Sequence[Row]) -> None:
    """Insert event rows (topic, number, type, time, campaign_id, job_id, data)."""
    for row in rows:
        _insert(database).run(driver, row)


class Reported:
    """A change of one row together with the event that reports it.

    Both are one statement on PostgreSQL, which so needs no transaction around it; a round trip to
    the server costs more than the statement. SQLite knows no such statement, and no such trip.

    Args:
        change: Insert or update of the row.
        number: Column of the changed row that holds the number of the event.
    """

    def __init__(self, database: Database, change: Insert | Update, number: Column[int]) -> None:
        self._database = database
        if database.is_sqlite:
            self._change = Prepared(database, change, returns=[number])
            return
        changed = change.returning(number).cte("changed")
        columns = [column for column in events.c if column is not events.c.number]
        values = [bindparam(f"event_{column.name}", type_=column.type) for column in columns]
        event = insert(events).from_select(
            [*columns, events.c.number], select(*values, changed.c[number.name])
        )
        self._change = Prepared(database, event, returns=[events.c.number])

    def run(self, driver: Any, parameters: Row, event: Row) -> int | None:
        """Return the number of the event, None when nothing was changed and so nothing reported.

        Args:
            event: topic, type, time, campaign_id, job_id, data.
        """
        if not self._database.is_sqlite:
            parameters = {**parameters, **{f"event_{name}": event[name] for name in event}}
        row = self._change.run(driver, parameters)
        if row is None:
            return None
        (number,) = row.values()
        if self._database.is_sqlite:
            add(self._database, driver, [{**event, "number": number}])
        return int(number)


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
