"""Whose a row is."""

from __future__ import annotations

from sqlalchemy import Connection, select

from materia.store.tables import campaigns, jobs, schedules

TABLES = {"campaign": campaigns, "job": jobs, "schedule": schedules}


def owner(connection: Connection, noun: str, row_id: str) -> tuple[bool, str | None]:
    """Return whether there is such a row, and whose it is.

    Args:
        noun: A key of `TABLES`.
    """
    table = TABLES[noun]
    row = connection.execute(select(table.c.owner).where(table.c.id == row_id)).first()
    return row is not None, row[0] if row else None
