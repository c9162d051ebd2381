"""Stored outcomes, {objective: value or [mean, standard error]}, taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Outcomes = Mapping[str, Any]


def values(outcomes: Outcomes | None) -> dict[str, float] | None:
    """Return the values alone; None where nothing is known."""
    if outcomes is None:
        return None
    return {name: told[0] if isinstance(told, list) else told for name, told in outcomes.items()}


def standard_errors(outcomes: Outcomes | None) -> dict[str, float]:
    """Return the standard errors of those outcomes that have one."""
    pairs = {name: told for name, told in (outcomes or {}).items() if isinstance(told, list)}
    return {name: told[1] for name, told in pairs.items()}
