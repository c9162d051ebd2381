"""API keys as rows: of a secret only its hash is kept."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, or_, select, update

from materia.store.database import Database
from materia.store.paging import rows_of
from materia.store.tables import api_keys

Row = dict[str, Any]


def add(database: Database, connection: Connection, row: Row) -> bool:
    """Insert a key; False when its id exists."""
    statement = (
        database.insert(api_keys).values(row).on_conflict_do_nothing().returning(api_keys.c.id)
    )
    return connection.execute(statement).first() is not None


def get(connection: Connection, key_id: str) -> Row | None:
    """Return one key, or None."""
    return _one(connection, api_keys.c.id == key_id)


def by_hash(connection: Connection, sha256: str) -> Row | None:
    """Return the key whose secret has a hash, or None."""
    return _one(connection, api_keys.c.sha256 == sha256)


def _one(connection: Connection, condition: ColumnElement[bool]) -> Row | None:
    row = connection.execute(select(api_keys).where(condition)).mappings().first()
    return dict(row) if row else None


def every(connection: Connection) -> list[Row]:
    """Return all keys, the newest first."""
    query = select(api_keys).order_by(api_keys.c.created_at.desc(), api_keys.c.id.desc())
    return rows_of(connection.execute(query))


def usable(database: Database, connection: Connection) -> list[Row]:
    """Return the keys that are neither revoked nor expired."""
    goes_on = or_(api_keys.c.expires_at.is_(None), api_keys.c.expires_at > database.now())
    return rows_of(
        connection.execute(select(api_keys).where(api_keys.c.revoked_at.is_(None), goes_on))
    )


def revoke(database: Database, connection: Connection, key_id: str) -> bool:
    """Note that a key opens nothing from now on; False when that was so already."""
    statement = (
        update(api_keys)
        .where(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
        .values(revoked_at=database.now())
    )
    return bool(connection.execute(statement).rowcount)


def note_use(connection: Connection, key_id: str, at: float) -> None:
    """Note when a key was last used."""
    connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(last_used_at=at))
