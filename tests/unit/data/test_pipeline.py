"""Pieces come back in order, few at a time, and a fault stops what has not begun."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from materia.data.limits import THREADS
from materia.data.pipeline import worked_on


def test_results_come_in_the_order_of_the_items() -> None:
    second_is_done = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert second_is_done.wait(10)
        elif item == 1:
            second_is_done.set()
        return item * 2

    assert list(worked_on(work, range(50))) == list(range(0, 100, 2))


def test_few_items_are_drawn_ahead() -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            drawn.append(item)
            yield item

    for item in worked_on(lambda item: item, items()):
        assert len(drawn) <= item + 1 + THREADS


def test_a_fault_reaches_the_caller_and_leaves_no_thread() -> None:
    def work(item: int) -> int:
        if item == 5:
            raise ValueError("five")
        return item

    found = []
    with pytest.raises(ValueError, match="five"):
        for item in worked_on(work, range(100)):
            found.append(item)
    assert found == [0, 1, 2, 3, 4]
    assert not [one for one in threading.enumerate() if one.name.startswith("tables")]


def test_closing_early_leaves_no_thread() -> None:
    results = worked_on(lambda item: item, range(100))
    assert next(results) == 0
    results.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("tables")]
