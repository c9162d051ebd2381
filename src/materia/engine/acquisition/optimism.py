"""Acquisition by a hopeful value of the objective: its confidence bound, or a draw of it.

Both are told as the log of how far the hopeful value is below the best one, made positive by a
softplus; that keeps their order and lets chances be multiplied to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materia.engine.acquisition.expected_improvement import Posterior

FloatArray = NDArray[np.float64]


def width_of_bound(d: int, n: int) -> float:
    """Return the width of the confidence bound in standard deviations, after n observations.

    K. Kandasamy, J. Schneider, B. Póczos, "High dimensional Bayesian optimisation and bandits via
    additive models", ICML 2015: the theory's growth in d and n with a constant that works.
    """
    return math.sqrt(0.2 * d * math.log(2.0 * max(n, 1) + 1.0))


def confidence_bound(
    surrogate: Posterior, width: float, *, folded: bool
) -> Callable[[FloatArray], FloatArray]:
    """Return the lower confidence bound of one minimised objective as a function of X."""

    def bound(X: FloatArray) -> FloatArray:
        mean, std = surrogate.posterior(X)
        value = np.abs(mean[:, 0]) if folded else mean[:, 0]
        return np.asarray(value - width * std[:, 0])

    return bound


@dataclass(frozen=True)
class Optimism:
    """Log of how far a hopeful value is below the best one.

    Args:
        hopeful: Hopeful values (n,) of points (n, d), minimised.
        best: Best value so far.
        scale: How much a value is, above 0.
    """

    hopeful: Callable[[FloatArray], FloatArray]
    best: float
    scale: float

    def __call__(self, X: FloatArray) -> FloatArray:
        """Return log softplus of the gain, in units of the scale, (n,)."""
        gain = (self.best - self.hopeful(X)) / self.scale
        softplus = np.logaddexp(0.0, gain)
        # Far below zero softplus(x) is exp(x), whose logarithm is x.
        return np.where(gain < -30.0, gain, np.log(np.maximum(softplus, 1e-300)))
