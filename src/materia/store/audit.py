"""The rows of who did what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from materia.store.paging import rows_of
from materia.store.tables import audit

Row = dict[str, Any]


def add(connection: Connection, entries: Sequence[Row]) -> None:
    """Insert entries in their order."""
    connection.execute(insert(audit), list(entries))


def keep_newest(connection: Connection, n: int) -> None:
    """Delete all but about the newest so many entries."""
    newest = connection.execute(select(func.max(audit.c.number))).scalar_one()
    if newest is not None and newest > n:
        connection.execute(delete(audit).where(audit.c.number <= newest - n))


def page(
    connection: Connection, limit: int, before: int | None, refused: bool | None
) -> tuple[list[Row], int]:
    """Return entries before a number, the newest first, and how many match in all."""
    matches = []
    if refused is not None:
        matches.append(audit.c.refused.is_not(None) if refused else audit.c.refused.is_(None))
    total = connection.execute(select(func.count()).select_from(audit).where(*matches))
    query = select(audit).where(*matches).order_by(audit.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(audit.c.number < before)
    return rows_of(connection.execute(query)), int(total.scalar_one())


def delete_old(connection: Connection, before: float) -> int:
    """Delete entries of before a time; returns how many."""
    return int(connection.execute(delete(audit).where(audit.c.time < before)).rowcount)
