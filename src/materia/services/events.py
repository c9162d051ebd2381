"""Events for people: a page of a topic, and where a topic stands."""

from __future__ import annotations

from collections.abc import Sequence

from materia.events.models import Event
from materia.store import events as event_rows
from materia.store.database import database


def after(topic: str, number: int, limit: int) -> list[Event]:
    """Return up to `limit` events of a topic after a number, in order."""
    with database().read() as connection:
        rows = event_rows.after(connection, topic, number, limit)
    return [Event(**row) for row in rows]


def span(topic: str) -> tuple[int, int]:
    """Return the first and the last number kept of a topic; (0, 0) when there is none."""
    with database().read() as connection:
        return event_rows.numbers(connection, topic)


def last_numbers(topics: Sequence[str]) -> dict[str, int]:
    """Return the last number of each topic that has events."""
    with database().read() as connection:
        return event_rows.last_numbers(connection, topics)
