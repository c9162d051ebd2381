"""What happens on all topics, in one order: see `materia.store.feed`."""

from __future__ import annotations

from typing import Any

from materia.events.models import Event
from materia.store import feed as rows
from materia.store.database import database
from materia.store.feed import Look

# One look in so many is for late events, and one in so many for those that are very late.
LOOK_LATE_EVERY = 25
LOOK_FAR_EVERY = 1500


def look(n: int) -> int:
    """Do the n-th of the looks for new events, of five a second; returns the last position."""
    if n % LOOK_FAR_EVERY == 0:
        return extend(Look.FAR)
    return extend(Look.LATE if n % LOOK_LATE_EVERY == 0 else Look.SOON)


def extend(far: Look) -> int:
    """Put new events into order, as far back as is asked; returns the last position."""
    db = database()
    # What looks often, or at much, holds up nobody who writes as long as there is nothing.
    if far is not Look.LATE:
        with db.read() as connection:
            if not rows.has_new(db, connection, far):
                return rows.standing(connection).last
    with db.write() as connection:
        rows.extend(db, connection, far)
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
