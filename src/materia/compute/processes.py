"""A map over processes of this machine.

A process that dies takes only its own item with it and is replaced. Nothing outlives the call: the
processes are killed when it ends, however it ends, and die with the thread that called.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
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
from materia.compute.work import Work, check, reference
from materia.errors import StateError

TICK_S = 0.5
"""Longest time between two calls of `progress`."""

NOT_READY_HINT = (
    "the function and all that it imports must load in a fresh interpreter, within the memory limit"
)


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
    check(n_processes, attempts, memory_limit_bytes)
    content = reference(function)
    with shared_object(shared) as place:
        work = Work(waiting, attempts, progress, on_result)
        crew = _Crew(Start(content, place, memory_limit_bytes), n_processes)
        try:
            return _finish(work, crew)
        finally:
            kill_all(crew.members)


def _finish(work: Work, crew: _Crew) -> list[Outcome]:
    work.report()
    while work.n_unfinished:
        crew.fill(work.n_unfinished)
        for member in crew.idle():
            _hand_out(work, member, crew)
        for member in with_news(crew.busy(), TICK_S):
            answer = member.receive()
            if answer is None:
                _lose(member, work, crew)
            elif not member.is_loaded:
                _admit(member, answer, crew)
            else:
                index, member.index = member.index, None
                assert index is not None
                work.take(index, answer)
        work.report()
    return work.in_order()


def _hand_out(work: Work, member: Member, crew: _Crew) -> None:
    """Give the next item to an idle process."""
    given = work.next_item()
    if given is None:
        return
    index, content = given
    if member.send(content):
        member.index = index
        return
    # It died idle: the item was never tried.
    work.put_back(index)
    crew.remove(member)


def _lose(member: Member, work: Work, crew: _Crew) -> None:
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
                NOT_READY_HINT,
            )
