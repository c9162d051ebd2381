"""Pages of lists: `limit` and an opaque `cursor` in, `{items, next_cursor, total}` out."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import orjson
from fastapi import Query
from starlette.responses import Response

from materia.api.answers import answer
from materia.api.problems import Refusal

MAX_LIMIT = 200

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="items of one page")]
Cursor = Annotated[
    str | None,
    Query(max_length=1000, description="`next_cursor` of the page before; opaque"),
]

Row = Mapping[str, Any]


def page(
    rows: Sequence[Row],
    limit: int,
    total: int,
    *,
    resource: Callable[[Any], Any],
    place: Callable[[Any], Sequence[Any]],
) -> Response:
    """Return a page.

    Args:
        rows: One more than `limit` when there are further ones.
        resource: Makes a row what clients see.
        place: What a cursor keeps of the last row of a page.
    """
    shown = rows[:limit]
    more = len(rows) > limit
    content = {
        "items": [resource(row) for row in shown],
        "next_cursor": _written(place(shown[-1])) if more else None,
        "total": total,
    }
    return answer(content)


def page_by_name(
    rows: Sequence[Row],
    limit: int,
    cursor: str | None,
    *,
    name: str,
    resource: Callable[[Any], Any],
) -> Response:
    """Return a page of a list that is short enough to be read whole.

    Args:
        rows: All there are, in any order.
        name: Key of a row's name.
        resource: As of `page`.
    """
    # Databases differ in how they sort text, and a cursor must mean the same in each.
    ordered, after = sorted(rows, key=lambda row: str(row[name])), by_name(cursor)
    return page(
        [row for row in ordered if row[name] > after][: limit + 1],
        limit,
        len(ordered),
        resource=resource,
        place=lambda row: (row[name],),
    )


def newest_first(cursor: str | None) -> tuple[float, str] | None:
    """Return the (time, id) that a cursor of a list by age keeps."""
    if cursor is None:
        return None
    match _read(cursor):
        case [float() | int() as time, str() as row_id] if math.isfinite(time):
            return float(time), row_id
    raise _invalid()


def by_number(cursor: str | None, start: int) -> int:
    """Return the number that a cursor of a numbered list keeps; `start` without a cursor."""
    if cursor is None:
        return start
    match _read(cursor):
        case [int() as number] if not isinstance(number, bool) and abs(number) < 2**31:
            return number
    raise _invalid()


def by_value(cursor: str | None) -> tuple[float, int] | None:
    """Return the (value, number) that a cursor of a list by value keeps."""
    if cursor is None:
        return None
    match _read(cursor):
        case [float() | int() as value, int() as number] if math.isfinite(value):
            return float(value), number
    raise _invalid()


def by_name(cursor: str | None) -> str:
    """Return the name that a cursor of a list by name keeps; the empty one without a cursor."""
    if cursor is None:
        return ""
    match _read(cursor):
        case [str() as name]:
            return name
    raise _invalid()


def _written(place: Sequence[Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(list(place))).decode().rstrip("=")


def _read(cursor: str) -> Any:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return orjson.loads(text)
    except (binascii.Error, ValueError) as error:
        raise _invalid() from error


def _invalid() -> Refusal:
    return Refusal(
        422,
        "cursor: this is no cursor of this list",
        "give `next_cursor` of the page before as it came, or leave it out",
        path="cursor",
    )
