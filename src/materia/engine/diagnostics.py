"""How good a surrogate is, from leave-one-out predictions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def quality(measured: FloatArray, predicted: FloatArray, std: FloatArray) -> dict[str, float]:
    """Return r2, rmse and the share of points inside their 95 % interval.

    Args:
        measured: Outcomes, (n,).
        predicted: Predictions that did not see their own outcome, (n,).
        std: Their standard deviations, (n,).

    Returns:
        `r2` is 0 when the outcome is constant; `rmse` has the unit of the outcome; `coverage_95`
        is near 0.95 for a calibrated surrogate; `n` counts the points.
    """
    residuals = measured - predicted
    spread = float(np.sum((measured - measured.mean()) ** 2))
    inside = np.abs(residuals) <= 1.959963984540054 * std
    return {
        "r2": 1.0 - float(np.sum(residuals**2)) / spread if spread > 0 else 0.0,
        "rmse": float(np.sqrt(np.mean(residuals**2))),
        "coverage_95": float(np.mean(inside)),
        "n": len(measured),
    }
