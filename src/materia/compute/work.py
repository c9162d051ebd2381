"""The items of a map: which wait, and what became of the others."""

from __future__ import annotations

import pickle
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from materia.compute.outcomes import Failed, OnResult, Outcome, Progress
from materia.errors import DefinitionError

UNPICKLABLE = (pickle.PickleError, AttributeError, TypeError, ValueError)
UNREADABLE = (*UNPICKLABLE, ImportError, LookupError)
"""Not every exception: the one by which a signal cancels must pass."""


def check(n_processes: int, attempts: int, memory_limit_bytes: int | None) -> None:
    """Refuse numbers out of range.

    Raises:
        DefinitionError: One is; `path` names it.
    """
    limits = {"n_processes": n_processes, "attempts": attempts}
    if memory_limit_bytes is not None:
        limits["memory_limit_bytes"] = memory_limit_bytes
    for name, value in limits.items():
        if value < 1:
            raise DefinitionError(f"{name} is {value}", "it must be at least 1", path=name)


def reference(function: Callable[..., Any]) -> bytes:
    """Return a function's name, pickled.

    Raises:
        DefinitionError: It has none.
    """
    try:
        return pickle.dumps(function)
    except UNPICKLABLE as error:
        raise DefinitionError(
            f"other processes cannot import {function!r}: {error}",
            "define the function at the top of a module",
        ) from None


class Work:
    """The items and their outcomes; tells `progress` and `on_result` of them."""

    def __init__(
        self,
        items: Sequence[Any],
        attempts: int,
        progress: Progress,
        on_result: OnResult | None,
    ) -> None:
        self._items = items
        self._attempts = attempts
        self._progress = progress
        self._on_result = on_result
        self._waiting = deque(range(len(items)))
        self._tried: Counter[int] = Counter()
        self._outcomes: dict[int, Outcome] = {}
        self._n_failed = 0

    @property
    def n_unfinished(self) -> int:
        """How many items have no outcome yet."""
        return len(self._items) - len(self._outcomes)

    def in_order(self) -> list[Outcome]:
        """Return all outcomes, of finished work."""
        return [self._outcomes[index] for index in range(len(self._items))]

    def report(self) -> None:
        """Tell how far the work is; cancels by what that raises."""
        done, total = len(self._outcomes), len(self._items)
        failures = f", {self._n_failed} of them failed" if self._n_failed else ""
        self._progress(done, total, f"{done} of {total} done{failures}")

    def next_item(self) -> tuple[int, bytes] | None:
        """Return the index of an item to compute and the item, pickled; None when none waits."""
        while self._waiting:
            index = self._waiting.popleft()
            try:
                return index, pickle.dumps(self._items[index], protocol=5)
            except UNPICKLABLE as error:
                self._end(index, Failed(type(error).__name__, f"cannot be sent: {error}"))
        return None

    def put_back(self, index: int) -> None:
        """Take back an item that was never tried."""
        self._waiting.appendleft(index)

    def take(self, index: int, answer: bytes) -> None:
        """Record the pickled outcome of an attempt."""
        try:
            outcome: Outcome = pickle.loads(answer)  # noqa: S301 - from our own process
        except UNREADABLE as error:
            outcome = Failed(type(error).__name__, f"its result cannot be read: {error}")
        self.settle(index, outcome)

    def settle(self, index: int, outcome: Outcome) -> None:
        """Record an attempt; a failed one may be repeated."""
        self._tried[index] += 1
        if isinstance(outcome, Failed) and self._tried[index] < self._attempts:
            self._waiting.append(index)
        else:
            self._end(index, replace(outcome, attempts=self._tried[index]))

    def _end(self, index: int, outcome: Outcome) -> None:
        self._outcomes[index] = outcome
        self._n_failed += isinstance(outcome, Failed)
        if self._on_result is not None:
            self._on_result(index, outcome)
