"""Trained models as rows; their files lie below the data root."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, select

from materia.store.database import Database
from materia.store.paging import newest_first
from materia.store.tables import models, retrainings

Row = dict[str, Any]


def add(database: Database, connection: Connection, row: Row) -> bool:
    """Insert a model; False when its id exists, as after a second run of the same job."""
    statement = database.insert(models).values(row).on_conflict_do_nothing().returning(models.c.id)
    return connection.execute(statement).first() is not None


def get(connection: Connection, model_id: str) -> Row | None:
    """Return one model, or None."""
    row = connection.execute(select(models).where(models.c.id == model_id)).mappings().first()
    return dict(row) if row else None


def named(connection: Connection, name: str) -> Row | None:
    """Return the model of an id, or the champion of a retrained model of that name, or None."""
    champion = select(retrainings.c.champion_id).where(retrainings.c.name == name)
    query = select(models).where(models.c.id == champion.scalar_subquery())
    row = get(connection, name) or connection.execute(query).mappings().first()
    return dict(row) if row else None


def at(connection: Connection, path: str) -> Row | None:
    """Return the newest model that was written to a path, or None."""
    query = select(models).where(models.c.path == path).order_by(models.c.created_at.desc())
    row = connection.execute(query).mappings().first()
    return dict(row) if row else None


def page(
    connection: Connection, limit: int, before: tuple[float, str] | None, name: str | None
) -> tuple[list[Row], int]:
    """Return models older than another one, newest first, and how many match in all."""
    return newest_first(
        connection,
        models,
        tuple(models.c),
        by="created_at",
        filters={"name": name},
        limit=limit,
        before=before,
    )


def remove(connection: Connection, model_id: str) -> bool:
    """Delete a model; False when there is none of this id."""
    return bool(connection.execute(delete(models).where(models.c.id == model_id)).rowcount)
