"""Which files the caller of a request may see; outside of a request there is nobody to hide from.

Paths are resolved in many places, below and above the services: all of them ask here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

Rule = Callable[[Path], bool]

_rule: ContextVar[Rule | None] = ContextVar("materia_hidden_files", default=None)


def is_hidden(path: Path) -> bool:
    """Tell whether a resolved path does not exist for the caller of this request."""
    rule = _rule.get()
    return rule is not None and rule(path)


@contextmanager
def hiding(rule: Rule | None) -> Iterator[None]:
    """Hide paths from everything that is done inside; None hides nothing."""
    token = _rule.set(rule)
    try:
        yield
    finally:
        _rule.reset(token)
