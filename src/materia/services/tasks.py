"""The tasks that workers know, and whether a submission fits one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from materia import settings
from materia.broker import app as broker
from materia.errors import DefinitionError
from materia.mdl.suggest import did_you_mean

PREFIX = "tasks."


@lru_cache(maxsize=1)
def signatures() -> dict[str, inspect.Signature]:
    """Return the signature of each task by its name."""
    # Reading the configuration loads it, and the tasks that lie with it.
    known = broker.app.conf.task_default_queue and broker.app.tasks
    bodies: dict[str, Callable[..., Any]] = {
        name: task.run for name, task in known.items() if name.startswith(PREFIX)
    }
    return {name: inspect.signature(body) for name, body in sorted(bodies.items())}


def require(
    task: str, args: Sequence[Any], kwargs: Mapping[str, Any], queue: str | None = None
) -> None:
    """Check that a job could be run.

    Raises:
        DefinitionError: There is no such task or queue, or the arguments do not fit.
    """
    known = signatures()
    if task not in known:
        raise DefinitionError(
            f"task: there is no task {task!r}", did_you_mean(task, known), path="task"
        )
    queues = (*settings.QUEUES, str(broker.app.conf.task_default_queue))
    if queue is not None and queue not in queues:
        raise DefinitionError(
            f"queue: there is no queue {queue!r}", did_you_mean(queue, queues), path="queue"
        )
    _require_arguments(task, known[task], args, kwargs)


def _require_arguments(
    task: str, signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> None:
    names = list(signature.parameters)
    takes = f"{task} takes {', '.join(names) or 'no arguments'}"
    anything = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    for name in kwargs:
        if name not in names and not anything:
            raise DefinitionError(
                f"kwargs.{name}: {takes}", did_you_mean(name, names), path=f"kwargs.{name}"
            )
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise DefinitionError(f"kwargs: {error}; {takes}", path="kwargs") from error
