"""Expected hypervolume improvement for two to five objectives, exact and in logarithms.

What no front point dominates falls into disjoint boxes. The improvement of an outcome is the sum
over boxes of the product of the lengths gained, and for independent outcomes each length is a
one-dimensional expectation: K. Yang et al., "Efficient computation of expected hypervolume
improvement", J. Glob. Optim. 75 (2019); the logarithm follows S. Ament et al., NeurIPS 2023.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from materia.engine.acquisition.expected_improvement import Posterior, log_shortfall
from materia.engine.partition import non_dominated_boxes

FloatArray = NDArray[np.float64]

# Sums below this are formed again in logarithms, box by box.
_TINY = 1e-200
# Points × boxes that are looked at together: 8 MB per array.
_BLOCK = 1_000_000


class HypervolumeImprovement:
    """Log expected hypervolume improvement of m minimised objectives.

    Args:
        surrogate: Posterior of m independent outcomes; None where only `of` is called.
        front: Non-dominated outcomes, (k, m), k >= 0.
        reference_point: (m,); what lies beyond it counts nothing.
        folded: Per objective, whether it is the absolute value of its outcome; none by default.
    """

    def __init__(
        self,
        surrogate: Posterior | None,
        front: FloatArray,
        reference_point: FloatArray,
        folded: Sequence[bool] | None = None,
    ) -> None:
        self.surrogate = surrogate
        low, high = non_dominated_boxes(front, reference_point)
        self._folded = folded or (False,) * len(reference_point)
        # Boxes share their edges: expectations are formed once per edge. Edge 0 is -inf.
        self._edges, self._low, self._high = [], [], []
        for j in range(len(reference_point)):
            edges, where = np.unique(np.append(low[:, j], high[:, j]), return_inverse=True)
            self._edges.append(edges[1:])
            self._low.append(where[: len(low)])
            self._high.append(where[len(low) :])

    def __call__(self, X: FloatArray) -> FloatArray:
        """Return log expected hypervolume improvement of each point, (n,)."""
        assert self.surrogate is not None
        return self.of(*self.surrogate.posterior(X))

    def of(self, mean: FloatArray, std: FloatArray) -> FloatArray:
        """Return it for outcomes of given mean and std, each (n, m)."""
        n_blocks = -(-len(mean) * len(self._low[0]) // _BLOCK)
        parts = zip(np.array_split(mean, n_blocks), np.array_split(std, n_blocks), strict=True)
        return np.concatenate([self._block(*part) for part in parts if len(part[0])])

    def _block(self, mean: FloatArray, std: FloatArray) -> FloatArray:
        n, m = mean.shape
        logs = []
        for j, edges in enumerate(self._edges):
            log_gain = np.full((len(edges) + 1, n), -np.inf)
            log_gain[1:] = log_shortfall(
                edges[:, None], mean[:, j], std[:, j], folded=self._folded[j]
            )
            logs.append(log_gain)
        # Relative to the largest edge, which is that of the reference point.
        tops = [np.where(np.isfinite(top := log_gain[-1]), top, 0.0) for log_gain in logs]
        volume: FloatArray | None = None
        for j in range(m):
            gain = np.exp(logs[j] - tops[j])
            length = gain[self._high[j]]
            length -= gain[self._low[j]]
            volume = length if volume is None else np.multiply(volume, length, out=volume)
        assert volume is not None
        total = volume.sum(axis=0)
        with np.errstate(divide="ignore"):
            value = np.log(total) + np.sum(tops, axis=0)
        rows = np.flatnonzero(~(total > _TINY))
        if len(rows):
            value[rows] = self._in_logarithms([log_gain[:, rows] for log_gain in logs])
        return np.asarray(value)

    def _in_logarithms(self, logs: Sequence[FloatArray]) -> FloatArray:
        """Return values (n,) from the log expectations (edges, n) per objective."""
        terms = np.zeros((len(self._low[0]), logs[0].shape[1]))
        for log_gain, low, high in zip(logs, self._low, self._high, strict=True):
            upto = log_gain[high]
            with np.errstate(invalid="ignore"):
                shorter = log_gain[low] - upto
            terms += upto + _log1m_exp(shorter)
        return log_sum_exp(terms)


def _log1m_exp(x: FloatArray) -> FloatArray:
    """Return log(1 - exp(x)) for x <= 0; -inf at 0 and where both logarithms were -inf."""
    x = np.minimum(np.where(np.isnan(x), 0.0, x), 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(-np.expm1(x)))


def log_sum_exp(terms: FloatArray) -> FloatArray:
    """Return the logs of the sums of exp(terms), (k, n), by column; -inf where every term is."""
    top = np.max(terms, axis=0)
    shift = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(shift + np.log(np.sum(np.exp(terms - shift), axis=0)))
