"""Models that are trained again, and how each of these trainings ended."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from materia.store.database import Database
from materia.store.paging import rows_of
from materia.store.tables import retraining_runs, retrainings

Row = dict[str, Any]


def add(database: Database, connection: Connection, row: Row) -> bool:
    """Insert a model to retrain; False when its name exists."""
    statement = (
        database.insert(retrainings)
        .values(row)
        .on_conflict_do_nothing()
        .returning(retrainings.c.name)
    )
    return connection.execute(statement).first() is not None


def get(connection: Connection, name: str) -> Row | None:
    """Return one, or None."""
    query = select(retrainings).where(retrainings.c.name == name)
    row = connection.execute(query).mappings().first()
    return dict(row) if row else None


def every(connection: Connection) -> list[Row]:
    """Return all by name."""
    return rows_of(connection.execute(select(retrainings).order_by(retrainings.c.name)))


def count(connection: Connection) -> int:
    """Return how many there are."""
    return int(connection.execute(select(func.count()).select_from(retrainings)).scalar_one())


def with_champion(connection: Connection, model_id: str) -> Row | None:
    """Return the one whose model in use this is, or None."""
    query = select(retrainings).where(retrainings.c.champion_id == model_id)
    row = connection.execute(query).mappings().first()
    return dict(row) if row else None


def change(connection: Connection, name: str, values: Row) -> bool:
    """Change one; False when there is none of this name."""
    statement = update(retrainings).where(retrainings.c.name == name).values(values)
    return bool(connection.execute(statement).rowcount)


def finish(connection: Connection, known: Row, values: Row) -> bool:
    """Write what a training led to; False when the model in use is not the one that it met."""
    champion = retrainings.c.champion_id
    met = champion.is_(None) if known["champion_id"] is None else champion == known["champion_id"]
    statement = update(retrainings).where(retrainings.c.name == known["name"], met).values(values)
    return bool(connection.execute(statement).rowcount)


def remove(connection: Connection, name: str) -> bool:
    """Delete one with its history; False when there is none of this name."""
    connection.execute(delete(retraining_runs).where(retraining_runs.c.name == name))
    return bool(connection.execute(delete(retrainings).where(retrainings.c.name == name)).rowcount)


def add_run(database: Database, connection: Connection, row: Row) -> bool:
    """Note how a training ended; False when that was noted before."""
    statement = (
        database.insert(retraining_runs)
        .values(row)
        .on_conflict_do_nothing()
        .returning(retraining_runs.c.job_id)
    )
    return connection.execute(statement).first() is not None


def runs(
    connection: Connection, name: str, before: tuple[float, str] | None, limit: int
) -> tuple[list[Row], int]:
    """Return trainings that ended before another one, newest first, and how many there are."""
    table = retraining_runs
    query = select(table).where(table.c.name == name)
    if before is not None:
        time, job_id = before
        is_older = table.c.finished_at < time
        query = query.where(is_older | ((table.c.finished_at == time) & (table.c.job_id < job_id)))
    query = query.order_by(table.c.finished_at.desc(), table.c.job_id.desc()).limit(limit)
    total = connection.execute(
        select(func.count()).select_from(table).where(table.c.name == name)
    ).scalar_one()
    return rows_of(connection.execute(query)), int(total)
