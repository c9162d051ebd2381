"""One tree of errors with stable codes.

    MateriaError
    ├── DefinitionError      what the user declared is wrong (path, line)
    │   └── InfeasibleError  nothing satisfies the declaration
    ├── StateError           not possible in the present state
    ├── NotFoundError        no such thing
    ├── ConflictError        somebody else did it, or the same key means something else
    ├── AccessError          not allowed
    ├── EvaluationError      the black box gave no usable outcome
    ├── SurrogateError       a surrogate could not be fitted
    │   └── DeviceError      the device for it is not there, or too small
    ├── DataError            a file or table is wrong
    ├── TransientError       waiting can heal it; the only one that is retried
    └── MissingExtraError    an optional part is not installed

Errors are translated once at each edge: HTTP status in `api`, exit code in `cli`, job error in
`tasks`.
"""

from __future__ import annotations

from typing import Any, ClassVar


class MateriaError(Exception):
    """Base of every error that MatCraft raises on purpose.

    Args:
        message: What went wrong and where, as one sentence.
        hint: What the user can do about it.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions with keyword arguments do not survive a process boundary otherwise.
        return (_rebuild, (type(self), self.__dict__.copy(), self.args))


def _rebuild(
    kind: type[MateriaError], state: dict[str, Any], args: tuple[Any, ...]
) -> MateriaError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class DefinitionError(MateriaError):
    """The declaration is wrong.

    Args:
        path: Where, in the notation of the file: ``parameters[2].bounds``.
        line: Line of the file, counted from 1, when the source was text.
        findings: Every finding as plain data, when several were reported at once.
    """

    code = "definition_invalid"

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        *,
        path: str | None = None,
        line: int | None = None,
        findings: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.path = path
        self.line = line
        self.findings = findings or []


class InfeasibleError(DefinitionError):
    """Nothing in the search space satisfies the constraints."""

    code = "infeasible"


class StateError(MateriaError):
    """Not possible in the present state."""

    code = "state"


class NotFoundError(MateriaError):
    """There is no such thing."""

    code = "not_found"


class ConflictError(MateriaError):
    """Somebody else did it first, or the same idempotency key came with another body."""

    code = "conflict"


class AccessError(MateriaError):
    """The caller may not do this."""

    code = "access_denied"


class EvaluationError(MateriaError):
    """The evaluator gave no usable outcome for a candidate."""

    code = "evaluation_failed"


class SurrogateError(MateriaError):
    """A surrogate could not be fitted."""

    code = "surrogate_failed"


class DeviceError(SurrogateError):
    """The device that a surrogate was to be fitted on is not there, or its memory is too small."""

    code = "device_unusable"


class DataError(MateriaError):
    """A file or table cannot be used."""

    code = "data_invalid"


class TransientError(MateriaError):
    """Waiting can heal it. The only error that a job is retried for."""

    code = "transient"


class MissingExtraError(MateriaError):
    """An optional part is not installed.

    Args:
        extra: Name of the extra of the Python package.
        purpose: What it is needed for.
    """

    code = "missing_extra"

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the extra '{extra}', which is not installed",
            f"pip install 'materia[{extra}]'",
        )
        self.extra = extra
