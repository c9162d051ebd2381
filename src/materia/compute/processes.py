"""A map over processes of this machine.

A process that dies takes only its own item with it and is replaced. Nothing outlives the call: the
processes are killed when it ends, however it ends, and die with the thread that called.
"""

from __future__ import annotations

import pickle
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from materia.compute.child import Start
from materia.compute.member import Member, kill_all, with_news
from materia.compute.outcomes import (
    DIED,
    Done,
    Failed,
    Item,
    OnResult,
    Outcome,
    Progress,
    Result,
)
from materia.compute.shared import shared_object
from materia.errors import DefinitionError, StateError

TICK_S = 0.5
"""Longest time between two calls of `progress`."""

UNPICKLABLE = (pickle.PickleError, AttributeError, TypeError, ValueError)
UNREADABLE = (*UNPICKLABLE, ImportError, LookupError)
"""Not every exception: the one by which a signal cancels must pass."""


def map_items(
    function: Callable[[Item, Any], Result],
    items: Iterable[Item],
    *,
    shared: Any = None,
    n_processes: int,
    attempts: int = 1,
    memory_limit_bytes: int | None = None,
    progress: Progress,
    on_result: OnResult | None = None,
) -> list[Done[Result] | Failed]:
    """Return the outcome of ``function(item, shared)`` for every item, in their order.

    Every process is a fresh interpreter with one thread of numerics. A first item waits for it to
    load: some tenths of a second, and as much as the function's own imports take.

    Args:
        function: Importable by name: defined at the top of a module other than ``__main__``.
        items: Sent to the processes one by one.
        shared: Sent to each process once; NumPy arrays in it, and tables made of them, lie in one
            file that all map into memory, and are read-only.
        n_processes: How many items are computed at a time, >= 1.
        attempts: How often an item is tried until it counts as failed, >= 1. One that fails goes
            to the end of the queue.
        memory_limit_bytes: What each process may hold besides `shared`, its libraries included
            (about 300 MB with those of learning); beyond it the item fails with `MemoryError`.
            Enforced on Linux.
        progress: Called after each item and at least twice a second.
        on_result: Called in this process as each item ends, in the order of their ends.

    Raises:
        DataError: `shared` cannot be sent.
        DefinitionError: An argument is out of range, or the function has no name to import it by.
        StateError: No process could load the function and the shared object.
        TransientError: The machine has no room for another process.
        BaseException: What `progress`, `on_result` or a signal handler raised: the work is
            cancelled.
    """
    waiting = list(items)
    _check(n_processes, attempts, memory_limit_bytes)
    content = _reference(function)
    with shared_object(shared) as place:
        work = _Work(waiting, attempts, progress, on_result)
        crew = _Crew(Start(content, place, memory_limit_bytes), n_processes)
        try:
            return _finish(work, crew)
        finally:
            kill_all(crew.members)


def _check(n_processes: int, attempts: int, memory_limit_bytes: int | None) -> None:
    limits = {"n_processes": n_processes, "attempts": attempts}
    if memory_limit_bytes is not None:
        limits["memory_limit_bytes"] = memory_limit_bytes
    for name, value in limits.items():
        if value < 1:
            raise DefinitionError(f"{name} is {value}", "it must be at least 1", path=name)


def _reference(function: Callable[..., Any]) -> bytes:
    try:
        return pickle.dumps(function)
    except UNPICKLABLE as error:
        raise DefinitionError(
            f"other processes cannot import {function!r}: {error}",
            "define the function at the top of a module",
        ) from None


def _finish(work: _Work, crew: _Crew) -> list[Outcome]:
    work.report()
    while work.n_unfinished:
        crew.fill(work.n_unfinished)
        for member in crew.idle():
            work.hand_out(member, crew)
        for member in with_news(crew.busy(), TICK_S):
            answer = member.receive()
            if answer is None:
                _lose(member, work, crew)
            elif not member.is_loaded:
                _admit(member, answer, crew)
            else:
                work.take(member, answer)
        work.report()
    return work.in_order()


def _lose(member: Member, work: _Work, crew: _Crew) -> None:
    """Go on without a process that has died."""
    how = crew.remove(member)
    if member.index is not None:
        work.settle(member.index, Failed(DIED, f"the process of the item {how}"))
    else:
        crew.shrink(how)


def _admit(member: Member, answer: bytes, crew: _Crew) -> None:
    """Take in a process that has loaded, or say why it has not."""
    failure: Failed | None = pickle.loads(answer)  # noqa: S301 - from our own process
    if failure is None:
        member.is_loaded = True
        return
    crew.remove(member)
    crew.shrink(f"cannot load: {failure.error_type}: {failure.message}")


class _Crew:
    """The processes: as many as wanted, or as many as can be had."""

    def __init__(self, start: Start, n_wanted: int) -> None:
        self._start = start
        self._n_wanted = n_wanted
        self.members: list[Member] = []

    def fill(self, n_useful: int) -> None:
        """Start the processes that are missing."""
        while len(self.members) < min(self._n_wanted, n_useful):
            member = Member()
            self.members.append(member)
            member.start(self._start)

    def idle(self) -> list[Member]:
        return [member for member in self.members if member.is_idle]

    def busy(self) -> list[Member]:
        return [member for member in self.members if not member.is_idle]

    def remove(self, member: Member) -> str:
        """Let go of a process that has died, and return how it died."""
        how = member.bury()
        self.members.remove(member)
        return how

    def shrink(self, reason: str) -> None:
        """Do with one process less, since one could not load; fail when none is left."""
        self._n_wanted -= 1
        if not self._n_wanted:
            raise StateError(
                f"no process could be made ready; the last one {reason}",
                "the function and all that it imports must load in a fresh interpreter, "
                "within the memory limit",
            )


class _Work:
    """The items: which wait, and what became of the others."""

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
        return len(self._items) - len(self._outcomes)

    def in_order(self) -> list[Outcome]:
        return [self._outcomes[index] for index in range(len(self._items))]

    def report(self) -> None:
        done, total = len(self._outcomes), len(self._items)
        failures = f", {self._n_failed} of them failed" if self._n_failed else ""
        self._progress(done, total, f"{done} of {total} done{failures}")

    def hand_out(self, member: Member, crew: _Crew) -> None:
        """Give the next item to an idle process."""
        while self._waiting:
            index = self._waiting.popleft()
            try:
                content = pickle.dumps(self._items[index], protocol=5)
            except UNPICKLABLE as error:
                self._end(index, Failed(type(error).__name__, f"cannot be sent: {error}"))
                continue
            if member.send(content):
                member.index = index
                return
            # It died idle: the item was never tried.
            self._waiting.appendleft(index)
            crew.remove(member)
            return

    def take(self, member: Member, answer: bytes) -> None:
        """Record what a process answers."""
        assert member.index is not None
        index, member.index = member.index, None
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
