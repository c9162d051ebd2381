"""A map over a Ray cluster, with the promises of the one over processes of this machine."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Any

from materia import log
from materia.compute.cluster.link import Link, driver_of
from materia.compute.cluster.messages import (
    Answered,
    Begin,
    Compute,
    Loaded,
    Lost,
    NotLoaded,
    Report,
    Unusable,
)
from materia.compute.cluster.place import cluster_place
from materia.compute.outcomes import DIED, Done, Failed, Item, OnResult, Outcome, Progress, Result
from materia.compute.processes import NOT_READY_HINT, TICK_S
from materia.compute.shared import shared_object
from materia.compute.work import Work, check, reference
from materia.errors import DataError, MateriaError, StateError, TransientError

ERRORS: dict[str, type[MateriaError]] = {
    kind.code: kind for kind in (DataError, StateError, TransientError)
}


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

    As `materia.compute.processes.map_items`, but each item is a Ray task that takes one CPU.
    `shared` is put into the object store once; its arrays are mapped from there, read-only. A
    process that dies, or a node, fails only the items that it had. The memory limit is counted
    beyond what Ray takes of a process. What was cancelled, or whose caller was killed, is killed
    on the cluster too.

    Raises:
        DataError: `shared` cannot be sent, or does not fit into the object store.
        DefinitionError: An argument is out of range, or the function has no name to import it by.
        MissingExtraError: Ray is not installed.
        StateError: The cluster is of another version or refuses the token; or no process of it
            could load the function and the shared object.
        TransientError: The cluster cannot be reached or was lost.
        BaseException: What `progress`, `on_result` or a signal handler raised: the work is
            cancelled.
    """
    waiting = list(items)
    check(n_processes, attempts, memory_limit_bytes)
    content = reference(function)
    place = cluster_place()
    work = Work(waiting, attempts, progress, on_result)
    work.report()
    if not waiting:
        return []
    n_processes = min(n_processes, len(waiting))
    with shared_object(shared) as at, driver_of(place) as link:
        key = uuid.uuid4().hex
        begin = Begin(key, content, at.spans, memory_limit_bytes, n_processes, log.labels())
        link.begin(begin, at.fd)
        return _finish(work, link, n_processes)


def _finish(work: Work, link: Link, n_processes: int) -> list[Outcome]:
    n_running, is_loaded = 0, False
    while work.n_unfinished:
        while is_loaded and n_running < n_processes:
            given = work.next_item()
            if given is None:
                break
            link.send(Compute(*given))
            n_running += 1
        if not work.n_unfinished:
            break  # the last ones could not be sent
        for report in link.reports(TICK_S):
            if isinstance(report, Loaded):
                is_loaded = True
            else:
                _record(work, report)
                n_running -= 1
        work.report()
    return work.in_order()


def _record(work: Work, report: Report) -> None:
    match report:
        case Answered(index, content):
            work.take(index, content)
        case Lost(index, how):
            work.settle(index, Failed(DIED, f"the process of the item {how}"))
        case NotLoaded(reason):
            raise StateError(
                f"no process of the cluster could be made ready; the last one {reason}",
                NOT_READY_HINT,
            )
        case Unusable(kind, message, hint):
            raise ERRORS.get(kind, TransientError)(message, hint)
