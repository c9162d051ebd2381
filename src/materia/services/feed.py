"""What happens on all topics, in one order: see `materia.store.feed`."""

from __future__ import annotations

from typing import Any

from materia.events.models import Event
from materia.store import feed as rows
from materia.store.database import database


def extend(*, look_back: bool) -> int:
    """Put new events into order; returns the last position.

    Args:
        look_back: Look for those too that came late, or while nobody followed.
    """
    db = database()
    if not look_back:
        with db.read() as connection:
            if not rows.has_new(db, connection):
                return rows.standing(connection).last
    with db.write() as connection:
        rows.extend(db, connection, look_back=look_back)
        return rows.standing(connection).last


def span() -> tuple[int, int]:
    """Return the first and the last position kept; (0, 0) before the first."""
    with database().read() as connection:
        return rows.span(connection)


def after(position: int, limit: int, *, owner: str | None = None) -> list[Event]:
    """Return up to `limit` events after a position, numbered by their positions.

    Args:
        owner: Only events of this owner, and those of workers; None for all.
    """
    with database().read() as connection:
        found = rows.after(connection, position, limit, owner=owner)
    return [Event(**_unnumbered(row), number=row.pop("position")) for row in found]


def _unnumbered(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("position", "number")}
