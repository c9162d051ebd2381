"""Expected hypervolume improvement for two objectives, exact and in logarithms.

Below the reference point, the region that no front point dominates falls into strips along the
first objective. The improvement of an outcome is the sum over strips of (length gained) × (height
gained), and both factors are independent one-dimensional expectations: K. Yang et al., "Efficient
computation of expected hypervolume improvement", J. Glob. Optim. 75 (2019); the logarithm follows
S. Ament et al., NeurIPS 2023.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from materia.engine.acquisition.expected_improvement import Posterior, log_shortfall

FloatArray = NDArray[np.float64]


class HypervolumeImprovement:
    """Log expected hypervolume improvement of two minimised objectives.

    Args:
        surrogate: Posterior of two independent outcomes.
        front: Non-dominated outcomes, (k, 2), k >= 0.
        reference_point: (2,); what lies beyond it counts nothing.
        folded: Per objective, whether it is the absolute value of its outcome.
    """

    def __init__(
        self,
        surrogate: Posterior,
        front: FloatArray,
        reference_point: FloatArray,
        folded: tuple[bool, bool] = (False, False),
    ) -> None:
        self.surrogate = surrogate
        inside = front[np.all(front < reference_point, axis=1)]
        inside = inside[np.argsort(inside[:, 0], kind="stable")]
        # Strip i lies between edges i and i + 1 (the first one is open to the left).
        self._right = np.append(inside[:, 0], reference_point[0])
        self._top = np.append(reference_point[1], inside[:, 1])
        self._folded = folded

    def __call__(self, X: FloatArray) -> FloatArray:
        """Return log expected hypervolume improvement of each point, (n,)."""
        mean, std = self.surrogate.posterior(X)
        upto = log_shortfall(self._right, mean[:, :1], std[:, :1], folded=self._folded[0])
        height = log_shortfall(self._top, mean[:, 1:], std[:, 1:], folded=self._folded[1])
        length = upto.copy()
        length[:, 1:] += _log1m_exp(upto[:, :-1] - upto[:, 1:])
        return _log_sum_exp(length + height)


def _log1m_exp(x: FloatArray) -> FloatArray:
    """Return log(1 - exp(x)) for x <= 0; -inf at 0 and where both logarithms were -inf."""
    x = np.minimum(np.where(np.isnan(x), 0.0, x), 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(-np.expm1(x)))


def _log_sum_exp(terms: FloatArray) -> FloatArray:
    top = np.max(terms, axis=1)
    shift = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(shift + np.log(np.sum(np.exp(terms - shift[:, None]), axis=1)))
