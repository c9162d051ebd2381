"""Probability of improvement: how likely a point is to beat the best value clearly.

H. J. Kushner, "A new method of locating the maximum point of an arbitrary multipeak curve in the
presence of noise", J. Basic Eng. 86 (1964).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materia.engine.acquisition.expected_improvement import Posterior

FloatArray = NDArray[np.float64]


def log_probability_below(
    threshold: FloatArray, mean: FloatArray, std: FloatArray, *, folded: bool
) -> FloatArray:
    """Return log P(Y < threshold) for normal Y, or for its absolute value.

    Args:
        threshold: Broadcast against mean and std.
        mean: Of Y before folding.
        std: Of Y, above 0.
        folded: Whether |Y| counts.
    """
    from scipy.special import log_ndtr

    if not folded:
        return np.asarray(log_ndtr((threshold - mean) / std))
    # |y| does not know the sign of y; of the two tails the far one is taken away.
    away, u = np.abs(mean), np.maximum(threshold, 0.0)
    upper, lower = log_ndtr((u - away) / std), log_ndtr((-u - away) / std)
    with np.errstate(divide="ignore"):
        return np.asarray(upper + np.log(-np.expm1(np.minimum(lower - upper, 0.0))))


@dataclass(frozen=True)
class ProbabilityOfImprovement:
    """Log probability that one objective falls below a threshold.

    Args:
        surrogate: Posterior of one outcome.
        threshold: A little better than the best value, minimised.
        folded: Whether the objective is the absolute value of the outcome.
    """

    surrogate: Posterior
    threshold: float
    folded: bool = False

    def __call__(self, X: FloatArray) -> FloatArray:
        """Return the log probability of each point, (n,)."""
        mean, std = self.surrogate.posterior(X)
        threshold = np.full(len(X), self.threshold)
        return log_probability_below(threshold, mean[:, 0], std[:, 0], folded=self.folded)
