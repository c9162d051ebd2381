"""Expected improvement, in logarithms so that it keeps its slope where it is tiny.

S. Ament et al., "Unexpected improvements to expected improvement for Bayesian optimization",
NeurIPS 2023.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
_LOG_HALF_SQRT_PI = 0.5 * math.log(0.5 * math.pi)


class Posterior(Protocol):
    """What an acquisition function asks of a surrogate of m outcomes."""

    def posterior(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation, each (n, m)."""


def log_h(z: FloatArray) -> FloatArray:
    """Return log(φ(z) + z Φ(z)): log expected improvement in units of the standard deviation."""
    from scipy.special import erfcx, ndtr

    near = np.maximum(z, -1.0)
    value = np.log(np.exp(-0.5 * near * near - _LOG_SQRT_2PI) + near * ndtr(near))
    far = z < -1.0
    if far.any():
        value[far] = _log_h_tail(z[far], erfcx)
    return np.asarray(value)


def _log_h_tail(z: FloatArray, erfcx: np.ufunc) -> FloatArray:
    # Beyond -1e5 the bracket cancels completely; its series is 1/z^2.
    middle = np.maximum(z, -1e5)
    ratio = np.log(erfcx(-middle / math.sqrt(2.0)) * -middle) + _LOG_HALF_SQRT_PI
    bracket = np.log(-np.expm1(np.minimum(ratio, -1e-17)))
    bracket = np.where(z < -1e3, -2.0 * np.log(-z), bracket)
    return np.asarray(-0.5 * z * z - _LOG_SQRT_2PI + bracket)


def log_shortfall(
    threshold: FloatArray, mean: FloatArray, std: FloatArray, *, folded: bool
) -> FloatArray:
    """Return log E[(threshold - Y)+] for normal Y, or for its absolute value.

    Args:
        threshold: Broadcast against mean and std.
        mean: Of Y before folding.
        std: Of Y, above 0.
        folded: Whether |Y| counts, as for an objective with a target, where Y is the deviation.

    Returns:
        The broadcast shape; -inf where a folded Y cannot fall below the threshold.
    """
    if not folded:
        return np.asarray(np.log(std) + log_h((threshold - mean) / std))
    # (u - |y|)+ = (u - y)+ - 2 (-y)+ + (-u - y)+, and |y| does not know the sign of y.
    away = np.abs(mean)
    u = np.maximum(threshold, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        top = log_h((u - away) / std)
        middle = log_h(np.broadcast_to(-away / std, top.shape).copy())
        bottom = log_h((-u - away) / std)
        rest = 1.0 - 2.0 * np.exp(middle - top) + np.exp(bottom - top)
        value = np.log(std) + top + np.log(np.maximum(rest, 1e-300))
    return np.where(threshold > 0, value, -np.inf)


@dataclass(frozen=True)
class ExpectedImprovement:
    """Log expected improvement on the best value of one objective.

    Args:
        surrogate: Posterior of one outcome.
        best: Value to improve on, minimised.
        folded: Whether the objective is the absolute value of the outcome.
    """

    surrogate: Posterior
    best: float
    folded: bool = False

    def __call__(self, X: FloatArray) -> FloatArray:
        """Return log expected improvement of each point, (n,)."""
        mean, std = self.surrogate.posterior(X)
        threshold = np.full(len(X), self.best)
        return log_shortfall(threshold, mean[:, 0], std[:, 0], folded=self.folded)
