"""How good a surrogate is, from leave-one-out predictions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_TWO_SIDED_95 = 1.959963984540054


def quality(measured: FloatArray, predicted: FloatArray, std: FloatArray) -> dict[str, float]:
    """Return the share of variance explained and the share of points in their 95 % interval.

    Args:
        measured: Outcomes, (n,).
        predicted: Predictions that did not see their own outcome, (n,).
        std: Their standard deviations, (n,).

    Returns:
        `r2` is 0 when the outcome is constant; `coverage_95` is near 0.95 for a calibrated
        surrogate; `n` counts the points.
    """
    residuals = measured - predicted
    spread = float(np.sum((measured - measured.mean()) ** 2))
    inside = np.abs(residuals) <= _TWO_SIDED_95 * std
    return {
        "r2": 1.0 - float(np.sum(residuals**2)) / spread if spread > 0 else 0.0,
        "coverage_95": float(np.mean(inside)),
        "n": len(measured),
    }


def rmse(measured: FloatArray, predicted: FloatArray) -> float:
    """Return the root mean square of the residuals, in the unit of the outcome."""
    return float(np.sqrt(np.mean((measured - predicted) ** 2)))
