"""Which outcome constraints a candidate breaks, as people read them; no arrays, no cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from materia.mdl.expression import Expression, parse


def broken(expressions: Sequence[str], outcomes: Mapping[str, Any] | None) -> list[str]:
    """Return the constraints that measured outcomes break, in declared order.

    Unlike for the front, an outcome that is not known breaks nothing: nothing can be said yet.

    Args:
        expressions: Outcome constraints as declared, such as ``strength >= 20``.
        outcomes: A number, a pair (mean, standard error) or None for each objective.
    """
    values = {
        name: float(value[0] if isinstance(value, list | tuple) else value)
        for name, value in (outcomes or {}).items()
        if value is not None
    }
    return [
        text
        for text in expressions
        if _parsed(text).names <= values.keys() and not _parsed(text).violation(values) <= 0
    ]


def expressions_of(definition: Mapping[str, Any]) -> list[str]:
    """Return the outcome constraints of a definition that is plain data."""
    return [str(entry["expression"]) for entry in definition.get("outcome_constraints") or []]


@lru_cache(maxsize=256)
def _parsed(text: str) -> Expression:
    return parse(text)
