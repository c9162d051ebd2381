"""How good a surrogate is, from leave-one-out predictions."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from materia.engine.surrogates.warping import Warp

FloatArray = NDArray[np.float64]

_TWO_SIDED_95 = 1.959963984540054


class LeftOut(Protocol):
    """What is asked of a model: observations, and predictions that did not see them."""

    @property
    def y(self) -> FloatArray:
        """Observed outcomes, (n,)."""

    @property
    def warp(self) -> Warp:
        """Scale of the predictions."""

    def leave_one_out(self) -> tuple[FloatArray, FloatArray]:
        """Return mean and std of each warped observation, each (n,)."""


def quality(measured: FloatArray, predicted: FloatArray, std: FloatArray) -> dict[str, float]:
    """Return how well predictions explain, cover and rank the outcomes.

    Args:
        measured: Outcomes, (n,).
        predicted: Predictions that did not see their own outcome, (n,).
        std: Their standard deviations, (n,).

    Returns:
        `r2` is 0 when the outcome is constant; `coverage_95` is the share of points in their 95 %
        interval, near 0.95 for a calibrated surrogate; `rank_correlation` is Spearman's, 0 when the
        outcome or all predictions are constant; `n` counts the points.
    """
    residuals = measured - predicted
    spread = float(np.sum((measured - measured.mean()) ** 2))
    inside = np.abs(residuals) <= _TWO_SIDED_95 * std
    return {
        "r2": 1.0 - float(np.sum(residuals**2)) / spread if spread > 0 else 0.0,
        "coverage_95": float(np.mean(inside)),
        "rank_correlation": rank_correlation(measured, predicted),
        "n": len(measured),
    }


def rank_correlation(a: FloatArray, b: FloatArray) -> float:
    """Return Spearman's correlation of (n,) and (n,), ties sharing their mean rank."""
    ranks = [_ranks(values) for values in (a, b)]
    ranks = [values - values.mean() for values in ranks]
    norm = math.sqrt(float(np.sum(ranks[0] ** 2)) * float(np.sum(ranks[1] ** 2)))
    return float(ranks[0] @ ranks[1]) / norm if norm > 0 else 0.0


def _ranks(values: FloatArray) -> FloatArray:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - 0.5 * (counts - 1))[place.ravel()], dtype=np.float64)


def log_density(model: LeftOut) -> FloatArray:
    """Return the log density of each observation under what did not see it, (n,).

    Densities are those of the outcome in its own unit, so that models with different warps compare.
    """
    mean, std = model.leave_one_out()
    z = (model.warp(model.y) - mean) / std
    slope = np.log(model.warp.slope(model.y))
    return np.asarray(slope - 0.5 * z * z - np.log(std) - 0.5 * math.log(2.0 * math.pi))


def rmse(measured: FloatArray, predicted: FloatArray) -> float:
    """Return the root mean square of the residuals, in the unit of the outcome."""
    return float(np.sqrt(np.mean((measured - predicted) ** 2)))
