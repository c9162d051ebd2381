"""What the SDK does, one step at a time, for a wire that is synchronous or not.

An operation is a generator: it yields steps, is sent what they brought, and returns its result. It
is written once; `materia.client.wire` carries it out in either way.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from materia.errors import TransientError


@dataclass(frozen=True, slots=True)
class Call:
    """A request; brings the JSON of its answer.

    Args:
        path: Below the base path of the API.
        file: What is sent as the body, instead of `content`.
        into: Where the body of a good answer is written, whole or not at all; brings its path.
        is_repeatable: Whether it may be sent again when no answer came.
    """

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    content: bytes | None = None
    file: Path | None = None
    into: Path | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_repeatable: bool = True


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Open:
    """Open a live view; one that is open is closed."""

    path: str


@dataclass(frozen=True, slots=True)
class Receive:
    """Wait for the next message of the live view; brings it as a dict."""


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand an event to whoever watches."""

    event: dict[str, Any]


Step = Call | Pause | Open | Receive | Emit
Operation = Generator[Step, Any, Any]

PAUSES_S = (0.2, 1.0, 3.0)


def sent(call: Call) -> Operation:
    """Send a request, again when waiting can heal what went wrong, and return its answer."""
    for seconds in PAUSES_S:
        try:
            return (yield call)
        except TransientError:
            if not call.is_repeatable:
                raise
            yield Pause(seconds)
    return (yield call)


def all_items(path: str, **params: Any) -> Operation:
    """Return the items of every page of a list."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        asked = {**params, "limit": 200, "cursor": cursor}
        page = yield from sent(Call("GET", path, _given(asked)))
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def one_page(path: str, **params: Any) -> Operation:
    """Return one page of a list, as the API answers it."""
    return (yield from sent(Call("GET", path, _given(params))))


def items(path: str) -> Operation:
    """Return the items of a list that has one page only."""
    return (yield from got(path))["items"]


def got(path: str, **params: Any) -> Operation:
    """Return what is at a path."""
    return (yield from sent(Call("GET", path, _given(params))))


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}
