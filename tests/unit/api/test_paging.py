"""Cursors lead on from where they were given, and nothing else is taken for one."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materia.api.paging import by_number, by_value, newest_first, page
from materia.api.problems import Refusal


def cursor_of(place: tuple[Any, ...]) -> str:
    """Return the cursor of a page that ends at a place."""
    response = page([0, 0], 1, 2, resource=lambda row: row, place=lambda _: place)
    return str(orjson.loads(response.body)["next_cursor"])


@given(st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=255))
def test_a_time_and_an_id_survive_a_cursor_exactly(time: float, row_id: str) -> None:
    row_id = row_id.encode(errors="ignore").decode()
    assert newest_first(cursor_of((time, row_id))) == (time, row_id)


@given(st.integers(-1, 2**31 - 1))
def test_a_number_survives_a_cursor(number: int) -> None:
    assert by_number(cursor_of((number,)), 7) == number


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 2**31 - 1))
def test_a_value_and_a_number_survive_a_cursor_exactly(value: float, number: int) -> None:
    assert by_value(cursor_of((value, number))) == (value, number)


def test_without_a_cursor_a_list_begins_at_its_start() -> None:
    assert newest_first(None) is None
    assert by_value(None) is None
    assert by_number(None, 7) == 7


@given(st.text() | st.binary().map(lambda raw: raw.hex()))
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    for read in (newest_first, by_value, lambda cursor: by_number(cursor, 0)):
        try:
            read(text)
        except Refusal as refusal:
            assert (refusal.status_code, refusal.path) == (422, "cursor")


@pytest.mark.parametrize("place", [(1.0,), ("a", 1.0), (2**40,), (True,), (None, "a"), (1.5,)])
def test_a_cursor_of_another_list_is_refused(place: tuple[Any, ...]) -> None:
    with pytest.raises(Refusal):
        by_number(cursor_of(place), 0)
    with pytest.raises(Refusal):
        by_value(cursor_of(place))


def test_the_last_page_has_no_cursor() -> None:
    response = page([1, 2], 2, 2, resource=lambda row: row, place=lambda row: (row,))
    assert orjson.loads(response.body) == {"items": [1, 2], "next_cursor": None, "total": 2}
