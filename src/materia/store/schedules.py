"""Schedules as rows, and when each of them fired."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from materia.store.database import Database
from materia.store.paging import rows_of
from materia.store.tables import schedule_runs, schedules

Row = dict[str, Any]


def add(database: Database, connection: Connection, row: Row) -> bool:
    """Insert a schedule; False when its id exists."""
    statement = (
        database.insert(schedules).values(row).on_conflict_do_nothing().returning(schedules.c.id)
    )
    return connection.execute(statement).first() is not None


def get(connection: Connection, schedule_id: str) -> Row | None:
    """Return one schedule, or None."""
    query = select(schedules).where(schedules.c.id == schedule_id)
    row = connection.execute(query).mappings().first()
    return dict(row) if row else None


def every(connection: Connection) -> list[Row]:
    """Return all schedules by id."""
    return rows_of(connection.execute(select(schedules).order_by(schedules.c.id)))


def count(connection: Connection) -> int:
    """Return how many schedules there are."""
    return int(connection.execute(select(func.count()).select_from(schedules)).scalar_one())


def change(connection: Connection, schedule_id: str, values: Row) -> bool:
    """Change a schedule; False when there is none of this id."""
    statement = update(schedules).where(schedules.c.id == schedule_id).values(values)
    return bool(connection.execute(statement).rowcount)


def remove(connection: Connection, schedule_id: str) -> bool:
    """Delete a schedule with its history; False when there is none of this id."""
    connection.execute(delete(schedule_runs).where(schedule_runs.c.schedule_id == schedule_id))
    statement = delete(schedules).where(schedules.c.id == schedule_id)
    return bool(connection.execute(statement).rowcount)


def due(connection: Connection, now: float, limit: int) -> list[Row]:
    """Return the schedules whose next due time has come, oldest first."""
    query = (
        select(schedules)
        .where(schedules.c.next_at <= now, schedules.c.is_paused.is_(False))
        .order_by(schedules.c.next_at)
        .limit(limit)
    )
    return rows_of(connection.execute(query))


def advance(connection: Connection, schedule: Row, next_at: float | None) -> bool:
    """Move on to the next due time; False when somebody else did, or changed the schedule."""
    statement = (
        update(schedules)
        .where(
            schedules.c.id == schedule["id"],
            schedules.c.next_at == schedule["next_at"],
            schedules.c.is_paused.is_(False),
        )
        .values(next_at=next_at)
    )
    return bool(connection.execute(statement).rowcount)


def add_run(
    database: Database, connection: Connection, schedule_id: str, due_at: float, job_id: str
) -> bool:
    """Note that a due time fires; False when it has fired before."""
    statement = (
        database.insert(schedule_runs)
        .values(schedule_id=schedule_id, due_at=due_at, job_id=job_id, fired_at=database.now())
        .on_conflict_do_nothing()
        .returning(schedule_runs.c.due_at)
    )
    return connection.execute(statement).first() is not None


def runs(
    connection: Connection, schedule_id: str, before: float | None, limit: int
) -> tuple[list[Row], int]:
    """Return runs before a due time, newest first, and how many there are in all."""
    mine = schedule_runs.c.schedule_id == schedule_id
    query = select(schedule_runs).where(mine)
    if before is not None:
        query = query.where(schedule_runs.c.due_at < before)
    query = query.order_by(schedule_runs.c.due_at.desc()).limit(limit)
    total = connection.execute(select(func.count()).select_from(schedule_runs).where(mine))
    return rows_of(connection.execute(query)), int(total.scalar_one())


def forget_runs(connection: Connection, before: float) -> int:
    """Delete the history before a due time; returns how many runs that were."""
    statement = delete(schedule_runs).where(schedule_runs.c.due_at < before)
    return int(connection.execute(statement).rowcount)
