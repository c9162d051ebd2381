"""What a parameter of an estimator may be set to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Allowed:
    """Numbers from `low` to `high`, both included.

    Attributes:
        is_whole: Whether only whole numbers.
        also: Single values outside of the interval.
    """

    low: float
    high: float
    is_whole: bool = False
    also: tuple[Any, ...] = ()

    def fault(self, value: Any) -> str | None:
        """Return what is allowed, if the value is not."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        is_other = not is_number and value is None and None in self.also
        if is_other or (is_number and value in self.also):
            return None
        is_kind = is_number and math.isfinite(value)
        if is_kind and self.is_whole:
            is_kind = isinstance(value, int)
        if is_kind and self.low <= value <= self.high:
            return None
        kind = "a whole number" if self.is_whole else "a number"
        others = "".join(f" or {other}" for other in self.also)
        return f"it must be {kind} from {self.low:g} to {self.high:g}{others}"
