"""Refusals of the API as the errors that they were."""

from __future__ import annotations

from typing import Any

from materia import errors
from materia.errors import DefinitionError, MateriaError, TransientError

UNAUTHORIZED = 401

# What has no code of the tree, such as the answer of a proxy in between.
BY_STATUS: dict[int, type[MateriaError]] = {
    UNAUTHORIZED: errors.AccessError,
    403: errors.AccessError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
    413: errors.DataError,
    415: errors.DataError,
    422: DefinitionError,
    429: TransientError,
    502: TransientError,
    503: TransientError,
    504: TransientError,
}


def _tree(kind: type[MateriaError]) -> dict[str, type[MateriaError]]:
    found = {kind.code: kind}
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            found |= _tree(below)
    return found


BY_CODE = _tree(MateriaError)

NO_KEY = (
    "give the key of the server: `export MATERIA_API_KEY=…` in the shell (or a line of `.env`), or"
    " Client(url, key) in Python; `materia status --json` prints the key of a stack of `materia up`"
)
"""What to do about an answer 401, whoever it came from."""


def error_of(status: int, problem: Any) -> MateriaError:
    """Return the error that a refusal stands for.

    Args:
        problem: Decoded body of the answer; anything, when it came from somebody else.
    """
    if not isinstance(problem, dict):
        problem = {}
    kind = BY_CODE.get(problem.get("code", "")) or BY_STATUS.get(status, MateriaError)
    message = str(problem.get("detail") or f"the server answered with status {status}")
    error = rebuilt(kind, message, NO_KEY if status == UNAUTHORIZED else problem.get("hint"))
    if isinstance(error, DefinitionError):
        error.path = problem.get("path")
        error.line = problem.get("line")
        error.findings = problem.get("findings") or []
    return error


def of_job(job: dict[str, Any]) -> MateriaError:
    """Return the error that a job ended with."""
    found = job["error"] or {}
    kind = BY_CODE.get(found.get("code", ""), MateriaError)
    message = found.get("message") or f"job {job['id']} is {job['state']}"
    return rebuilt(kind, message, found.get("hint"))


def rebuilt(kind: type[MateriaError], message: str, hint: str | None) -> MateriaError:
    """Return an error of a kind, whatever its own arguments are."""
    error = kind.__new__(kind)
    MateriaError.__init__(error, message, hint)
    if isinstance(error, DefinitionError):
        error.path, error.line, error.findings = None, None, []
    return error
