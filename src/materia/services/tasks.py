"""The tasks that workers know, and whether a submission fits one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from materia import settings
from materia.broker import app as broker
from materia.errors import DefinitionError, MateriaError
from materia.mdl.suggest import did_you_mean
from materia.services import arguments
from materia.services.argument_types import ArgumentType

PREFIX = "tasks."


@lru_cache(maxsize=1)
def signatures() -> dict[str, inspect.Signature]:
    """Return the signature of each task by its name."""
    # Reading the configuration loads it, and the tasks that lie with it.
    known = broker.app.conf.task_default_queue and broker.app.tasks
    bodies: dict[str, Callable[..., Any]] = {
        name: task.run for name, task in known.items() if name.startswith(PREFIX)
    }
    return {name: inspect.signature(body, eval_str=True) for name, body in sorted(bodies.items())}


def require(
    task: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    queue: str | None = None,
    *,
    look: bool = True,
) -> None:
    """Check that a job could be run.

    Args:
        look: Whether the files that it names must be there already.

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
    try:
        _check(task, _by_name(task, known[task], args, kwargs), look=look)
    except DefinitionError as error:
        if error.path != "kwargs":
            error.path = f"kwargs.{error.path}"
        raise


def check(task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Check the arguments that a worker was sent; those of an unknown task are not looked at.

    Raises:
        TypeError: They are not those of the task, as Python says it.
        DefinitionError: One of them does not fit; `path` says which one.
        AccessError, DataError: One of them is a path that will not do.
    """
    signature = signatures().get(task)
    if signature is None:
        return
    try:
        _check(task, signature.bind(*args, **kwargs).arguments, look=False)
    except DefinitionError as error:
        # A job says what is wrong with a file as the file's own fault.
        if isinstance(error.__cause__, MateriaError):
            raise error.__cause__ from None
        raise


def _check(task: str, found: Mapping[str, Any], *, look: bool) -> None:
    for name, value in found.items():
        if name in _types(task):
            _types(task)[name].require(name, value)
    arguments.check(task, found, look=look)


def _by_name(
    task: str, signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all arguments by their names."""
    names = list(signature.parameters)
    takes = f"{task} takes {', '.join(names) or 'no arguments'}"
    anything = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    for name in kwargs:
        if name not in names and not anything:
            raise DefinitionError(f"{name}: {takes}", did_you_mean(name, names), path=name)
    try:
        return dict(signature.bind(*args, **kwargs).arguments)
    except TypeError as error:
        raise DefinitionError(f"kwargs: {error}; {takes}", path="kwargs") from error


def texts_of(task: str) -> set[str]:
    """Return the arguments of a task that are texts; none of an unknown task."""
    signature = signatures().get(task)
    parameters = signature.parameters.values() if signature else ()
    return {one.name for one in parameters if one.annotation in (str, str | None)}


@lru_cache(maxsize=256)
def _types(task: str) -> dict[str, ArgumentType]:
    """Return the type of each argument of a task that declares one."""
    return {
        name: ArgumentType(parameter.annotation)
        for name, parameter in signatures()[task].parameters.items()
        if parameter.annotation is not parameter.empty
        and parameter.kind is not parameter.VAR_KEYWORD
    }
