"""Pages of a table, newest first: statements are built once, rows become dicts in one step.

SQLAlchemy's own mappings cost more than the query on a page of twenty rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    CursorResult,
    Select,
    Table,
    bindparam,
    func,
    select,
    tuple_,
)

Row = dict[str, Any]


def rows_of(result: CursorResult[Any]) -> list[Row]:
    """Return all rows of a result as plain dicts."""
    # Names that SQLAlchemy quotes are a subclass of str, which orjson takes for no key.
    names = tuple(map(str, result.keys()))
    return [dict(zip(names, row, strict=True)) for row in result]


def newest_first(
    connection: Connection,
    table: Table,
    columns: tuple[Column[Any], ...],
    *,
    by: str,
    filters: Mapping[str, str | None],
    limit: int,
    before: tuple[float, str] | None,
) -> tuple[list[Row], int]:
    """Return a page, and how many rows match in all.

    Args:
        columns: What is read of each row.
        by: Column with the time that the order goes by; the id decides among equals.
        filters: Value that a column must have, None for any.
        before: (time, id) of the last row of the page before.
    """
    wanted = {name: value for name, value in filters.items() if value is not None}
    query, count = _statements(table, columns, by, tuple(wanted), before is not None)
    total = connection.execute(count, wanted).scalar_one()
    values: Row = {**wanted, "n_rows": limit}
    if before is not None:
        values["before_time"], values["before_id"] = before
    return rows_of(connection.execute(query, values)), total


@lru_cache(maxsize=128)
def _statements(
    table: Table,
    columns: tuple[Column[Any], ...],
    by: str,
    filters: tuple[str, ...],
    continued: bool,
) -> tuple[Select[Any], Select[Any]]:
    matches = [table.c[name] == bindparam(name) for name in filters]
    place = tuple_(table.c[by], table.c.id)
    query = select(*columns).where(*matches)
    if continued:
        query = query.where(place < tuple_(bindparam("before_time"), bindparam("before_id")))
    query = query.order_by(table.c[by].desc(), table.c.id.desc()).limit(bindparam("n_rows"))
    return query, select(func.count()).select_from(table).where(*matches)
