"""Answers kept under the keys of their requests."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from materia.store.database import Database
from materia.store.tables import idempotency


def add(database: Database, connection: Connection, values: dict[str, Any]) -> bool:
    """Insert a key with its answer; False when the key exists."""
    statement = (
        database.insert(idempotency)
        .values(values)
        .on_conflict_do_nothing()
        .returning(idempotency.c.key)
    )
    return connection.execute(statement).first() is not None


def get(connection: Connection, owner: str, key: str) -> dict[str, Any] | None:
    """Return one key with its answer, or None."""
    query = select(idempotency).where(idempotency.c.owner == owner, idempotency.c.key == key)
    row = connection.execute(query).mappings().first()
    return dict(row) if row else None
