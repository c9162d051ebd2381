"""What the last check of health found; guarded by its version."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from materia.store.database import Database
from materia.store.jobs import Row
from materia.store.tables import health


def get(connection: Connection, name: str) -> Row | None:
    """Return the last check, or None before the first."""
    row = connection.execute(select(health).where(health.c.name == name)).mappings().first()
    return dict(row) if row else None


def put(database: Database, connection: Connection, name: str, version: int, values: Row) -> bool:
    """Write a check over the one of a version, 0 for none; False when another came between."""
    if version == 0:
        added = (
            database.insert(health)
            .values({**values, "name": name, "version": 1})
            .on_conflict_do_nothing()
            .returning(health.c.name)
        )
        return connection.execute(added).first() is not None
    changed = (
        update(health)
        .where(health.c.name == name, health.c.version == version)
        .values({**values, "version": version + 1})
    )
    return bool(connection.execute(changed).rowcount)


def amend(connection: Connection, name: str, values: Row) -> None:
    """Add to the check that the caller has just written."""
    connection.execute(update(health).where(health.c.name == name).values(values))
