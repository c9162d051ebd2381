"""What was seen of datasets when they were sent or looked at; their files are the truth."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, delete, select

from materia.store.database import Database
from materia.store.paging import rows_of
from materia.store.tables import datasets

Row = dict[str, Any]
COLUMNS = tuple(datasets.c.keys())


def every(connection: Connection) -> list[Row]:
    """Return all."""
    return rows_of(connection.execute(select(datasets)))


def get(connection: Connection, path: str) -> Row | None:
    """Return one, or None."""
    row = connection.execute(select(datasets).where(datasets.c.path == path)).mappings().first()
    return dict(row) if row else None


def put(database: Database, connection: Connection, row: Row) -> None:
    """Write one over what was known of this path."""
    statement = database.insert(datasets).values(row)
    connection.execute(statement.on_conflict_do_update(index_elements=["path"], set_=row))


def remove(connection: Connection, paths: Collection[str]) -> None:
    """Forget some."""
    connection.execute(delete(datasets).where(datasets.c.path.in_(list(paths))))
