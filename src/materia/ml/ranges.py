"""Ranges of hyper-parameters: `{low, high, log, type}` in the place of a list of values."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from materia.errors import DefinitionError

_KEYS = {"low", "high", "log", "type"}
_OLDER = {"min": "low", "max": "high"}
TYPES = ("integer", "float")


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included.

    Attributes:
        is_whole: Whether only whole numbers.
        is_log: Whether each order of magnitude counts alike.
    """

    low: float
    high: float
    is_whole: bool
    is_log: bool

    @classmethod
    def of(cls, found: Mapping[str, Any], path: str) -> Range:
        """Return the range that a mapping says.

        Whole numbers as both ends mean whole numbers between them, unless `type` is `float`.

        Raises:
            DefinitionError: It is malformed.
        """
        said = {_OLDER.get(key, key): value for key, value in found.items()}
        if len(said) != len(found) or not {"low", "high"} <= set(said) <= _KEYS:
            raise _error(
                path, "must be a list of values or a range", "for example {low: 1, high: 9}"
            )
        low, high = said["low"], said["high"]
        if not all(map(_is_finite, (low, high))):
            raise _error(path, "low and high must be finite numbers")
        if not low < high:
            raise _error(path, f"low {low} is not below high {high}")
        kind, is_log = said.get("type"), said.get("log")
        are_whole = isinstance(low, int) and isinstance(high, int)
        if kind not in (None, *TYPES) or (kind == "integer" and not are_whole):
            raise _error(path, "type must be integer (with whole ends) or float")
        if is_log not in (None, True, False) or (is_log and low <= 0):
            raise _error(path, "log must be true or false, and needs a low above 0")
        is_whole = are_whole and kind != "float"
        if not is_whole:
            low, high = float(low), float(high)
        return cls(low, high, is_whole, bool(is_log))

    def draw(self, chance: random.Random) -> float | int:
        """Return a number of it, each as probable as any other (with `log`, in the logarithm)."""
        if self.is_log:
            value = math.exp(chance.uniform(math.log(self.low), math.log(self.high)))
            value = min(max(value, self.low), self.high)
            return round(value) if self.is_whole else value
        if self.is_whole:
            return chance.randint(int(self.low), int(self.high))
        return chance.uniform(self.low, self.high)


def _is_finite(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return (
        is_number and abs(value) < 2**53
        if isinstance(value, int)
        else (is_number and math.isfinite(value))
    )


def _error(path: str, message: str, hint: str | None = None) -> DefinitionError:
    return DefinitionError(f"{path}: {message}", hint, path=path)
