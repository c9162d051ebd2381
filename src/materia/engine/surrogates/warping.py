"""Compression of bad outcomes, so that a long tail does not set the scale of a surrogate.

Acquisition functions only look below a threshold: the best value so far, or the reference point.
Outcomes worse than a pivot at or above that threshold may be bent in any increasing way without
touching what an improvement is worth; bending them logarithmically lets one lengthscale describe
a valley of depth 1 under slopes of height 10^6.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_PIVOT_SHARE = 0.3
MIN_OBSERVATIONS = 8

# Share of the tail below which the scale is rounding, or dividing by it overflows.
_LEAST_SCALE = 1e-12


@dataclass(frozen=True)
class Warp:
    """Identity below the pivot, logarithmic above it, with a continuous slope.

    Attributes:
        pivot: Where compression begins; infinity for none.
        scale: Distance from the pivot over which the slope halves.
    """

    pivot: float = np.inf
    scale: float = 1.0

    @property
    def is_identity(self) -> bool:
        """Whether nothing is compressed."""
        return not np.isfinite(self.pivot)

    def __call__(self, y: FloatArray) -> FloatArray:
        """Return compressed outcomes, (n,)."""
        if self.is_identity:
            return y
        return np.minimum(y, self.pivot) + self.scale * np.log1p(self._above(y))

    def _above(self, y: FloatArray) -> FloatArray:
        return np.maximum(y - self.pivot, 0.0) / self.scale

    def slope(self, y: FloatArray) -> FloatArray:
        """Return the derivative at outcomes y, (n,), between 0 and 1."""
        if self.is_identity:
            return np.ones_like(y)
        return 1.0 / (1.0 + self._above(y))

    def invert(self, mean: FloatArray, std: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and std in the unit of the outcome, to first order in the std."""
        if self.is_identity:
            return mean, std
        above = np.minimum(np.maximum(mean - self.pivot, 0.0) / self.scale, 300.0)
        y = np.minimum(mean, self.pivot) + self.scale * np.expm1(above)
        return y, std * np.exp(above)


def compression(y: FloatArray, floor: float) -> Warp | None:
    """Return the warp to try for outcomes y, (n,), or None where there is nothing to compress.

    Args:
        y: Outcomes, minimised.
        floor: Least pivot: the highest threshold of the acquisition function.
    """
    if len(y) < MIN_OBSERVATIONS or floor == np.inf:
        return None
    pivot = max(float(np.quantile(y, _PIVOT_SHARE)), floor)
    scale = pivot - float(y.min())
    tail = float(y.max()) - pivot
    # Without anything beyond twice the scale there is no tail; one that is beyond the precision of
    # the others leaves no scale.
    if not scale > _LEAST_SCALE * tail or tail <= scale:
        return None
    return Warp(pivot, scale)
