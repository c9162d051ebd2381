"""Processes that evaluate candidates, one at a time each, on this machine.

A process that overruns its time limit is killed, one that dies takes only its own evaluation with
it; both are replaced. That is more than `concurrent.futures` offers.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from materia.errors import EvaluationError, MateriaError
from materia.evaluators import Evaluation, Evaluator, build
from materia.mdl.definition import Definition

BEGUN = "begun"

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """One evaluation to be made."""

    id: str
    params: Mapping[str, Any]
    seed: int


@dataclass(frozen=True)
class Answer:
    """What became of a request; exactly one of `evaluation` and `failure` is set.

    Attributes:
        duration_s: Wall-clock time of the evaluation.
    """

    id: str
    duration_s: float
    evaluation: Evaluation | None = None
    failure: EvaluationError | None = None


@dataclass(frozen=True)
class Recipe:
    """What a process needs to build its evaluator."""

    definition: Definition
    data_roots: tuple[Path, ...]
    base_dir: Path | None = None

    def build(self) -> Evaluator:
        """Return the evaluator."""
        return build(self.definition, data_roots=self.data_roots, base_dir=self.base_dir)

    @property
    def timeout_s(self) -> float | None:
        """Limit of one evaluation."""
        choice = self.definition.evaluator
        return choice.timeout_s if choice is not None else None


def evaluate_here(evaluator: Evaluator, requests: Iterable[Request]) -> Iterator[Answer]:
    """Yield answers from this process, for evaluators so cheap that a process would cost more."""
    asked = list(requests)
    started = time.monotonic()
    found = evaluator.evaluate_many([(request.params, request.seed) for request in asked])
    share_s = (time.monotonic() - started) / max(1, len(asked))
    for request, one in zip(asked, found, strict=True):
        if isinstance(one, EvaluationError):
            yield Answer(request.id, share_s, failure=one)
        else:
            yield Answer(request.id, share_s, evaluation=one)


class EvaluationPool:
    """A fixed number of processes; use as a context manager.

    Args:
        recipe: What each process evaluates with.
        n_processes: How many evaluations run at a time.
    """

    def __init__(self, recipe: Recipe, n_processes: int) -> None:
        self._recipe = recipe
        self._n_processes = n_processes
        self._members: list[_Member] = []

    def __enter__(self) -> EvaluationPool:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self._members:
            member.kill()
        self._members.clear()

    def evaluate(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Yield answers as they come in, not in the order of the requests.

        Raises:
            MateriaError: The evaluator itself is broken, not only a candidate.
        """
        waiting = deque(requests)
        while waiting or any(member.request for member in self._members):
            self._hand_out(waiting)
            busy = [member for member in self._members if member.request]
            limits = [member.deadline for member in busy if member.deadline is not None]
            patience = max(0.0, min(limits) - time.monotonic()) if limits else None
            ready = wait([member.connection for member in busy], patience)
            for member in busy:
                answer = None
                if member.connection in ready:
                    answer = self._receive(member)
                elif member.deadline is not None and time.monotonic() >= member.deadline:
                    answer = self._give_up(member)
                if answer is not None:
                    yield answer

    def _hand_out(self, waiting: deque[Request]) -> None:
        idle = [member for member in self._members if member.request is None]
        while waiting and (idle or len(self._members) < self._n_processes):
            if idle:
                member = idle.pop()
            else:
                member = _Member.start(self._recipe)
                self._members.append(member)
            member.send(waiting.popleft())

    def _receive(self, member: _Member) -> Answer | None:
        try:
            message = member.connection.recv()
        except (EOFError, OSError):
            return self._bury(member)
        if isinstance(message, MateriaError):
            raise message
        if isinstance(message, Answer):
            member.request = member.deadline = None
            return message
        # The evaluator is built and begins: loading it does not count against the limit.
        member.started = time.monotonic()
        limit = self._recipe.timeout_s
        member.deadline = None if limit is None else member.started + limit
        return None

    def _bury(self, member: _Member) -> Answer:
        code = member.kill()
        why = f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"
        return self._dismiss(member, f"the evaluating process died ({why})")

    def _give_up(self, member: _Member) -> Answer:
        member.kill()
        limit = self._recipe.timeout_s
        return self._dismiss(member, f"the evaluation took longer than {limit:g} s")

    def _dismiss(self, member: _Member, reason: str) -> Answer:
        assert member.request is not None
        self._members.remove(member)
        duration_s = time.monotonic() - member.started
        return Answer(member.request.id, duration_s, failure=EvaluationError(reason))


@dataclass
class _Member:
    process: SpawnProcess
    connection: Connection
    request: Request | None = None
    started: float = 0.0
    deadline: float | None = None

    @classmethod
    def start(cls, recipe: Recipe) -> _Member:
        # Spawned, because a fork of a process with threads of a numerics library may hang.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(recipe, theirs), daemon=True)
        process.start()
        theirs.close()
        return cls(process, ours)

    def send(self, request: Request) -> None:
        self.request = request
        self.started = time.monotonic()
        # A process that has died meanwhile is found out when its answer is read.
        with suppress(OSError):
            self.connection.send(request)

    def kill(self) -> int | None:
        self.process.kill()
        self.process.join()
        self.connection.close()
        return self.process.exitcode


def _work(recipe: Recipe, connection: Connection) -> None:
    # Ctrl-C reaches the whole group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # So may SIGTERM; ignored by a function, because programs started from here would inherit less.
    signal.signal(signal.SIGTERM, lambda *_: None)
    # One process per core is busy already; and outcomes must not depend on the number of threads.
    threadpool_limits(1)
    # The parent may be gone: it asks again for what it has no answer to when it is run again.
    with suppress(EOFError, ConnectionError):
        _serve(recipe, connection)


def _serve(recipe: Recipe, connection: Connection) -> None:
    """Answer requests until the other end is closed; then raise what that raises."""
    evaluator: Evaluator | None = None
    while True:
        request = connection.recv()
        if evaluator is None:
            built = _result_or_error(request, recipe.build)
            if isinstance(built, MateriaError):
                connection.send(built)
                continue
            evaluator = built
        connection.send(BEGUN)
        connection.send(_result_or_error(request, partial(_answer, evaluator, request)))


def _result_or_error(request: Request, act: Callable[[], T]) -> T | MateriaError:
    try:
        return act()
    except MateriaError as error:
        return error
    except Exception as error:  # noqa: BLE001 - the parent reports it, whatever it is
        return MateriaError(
            f"the evaluator broke at {dict(request.params)}: {type(error).__name__}: {error}"
        )


def _answer(evaluator: Evaluator, request: Request) -> Answer:
    started = time.monotonic()
    try:
        evaluation = evaluator.evaluate(request.params, seed=request.seed)
    except EvaluationError as failure:
        return Answer(request.id, time.monotonic() - started, failure=failure)
    return Answer(request.id, time.monotonic() - started, evaluation=evaluation)
