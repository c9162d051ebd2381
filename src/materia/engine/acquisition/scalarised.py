"""Expected improvement of a weighted Chebyshev distance: several objectives as one.

J. Knowles, "ParEGO: a hybrid algorithm with on-line landscape approximation for expensive
multiobjective optimization problems", IEEE Trans. Evol. Comput. 10 (2006). Objectives keep
surrogates of their own, so that the distribution of the largest weighted distance is a product and
its expected improvement an integral over one variable: no sampling.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from materia.engine.acquisition.expected_improvement import Posterior
from materia.engine.acquisition.probability import log_probability_below

FloatArray = NDArray[np.float64]

_N_NODES = 24


class ScalarisedImprovement:
    """Log expected improvement of max_j w_j (Y_j - ideal_j) / (reference_j - ideal_j).

    Args:
        surrogate: Posterior of m independent outcomes.
        Y: Outcomes that are to be improved on, minimised, (k, m).
        reference_point: (m,); the worst value of interest.
        weights: Of the objectives, (m,), all above 0.
        folded: Per objective, whether it is the absolute value of its outcome.
    """

    def __init__(
        self,
        surrogate: Posterior,
        Y: FloatArray,
        reference_point: FloatArray,
        weights: FloatArray,
        folded: Sequence[bool],
    ) -> None:
        self._surrogate, self._folded = surrogate, folded
        self._reference = reference_point
        self._ideal = np.minimum(Y.min(axis=0), reference_point) if len(Y) else reference_point
        span = reference_point - self._ideal
        largest = float(span.max()) if span.max() > 0 else 1.0
        # A unit of the distance, in the unit of each objective.
        self._unit = np.where(span > 1e-9 * largest, span, largest) / weights
        distances = np.max((Y - self._ideal) / self._unit, axis=1) if len(Y) else np.empty(0)
        at_reference = float(np.max((reference_point - self._ideal) / self._unit))
        self._best = min(float(distances.min(initial=np.inf)), at_reference)

    def __call__(self, X: FloatArray) -> FloatArray:
        """Return log expected improvement of each point, (n,)."""
        mean, std = self._surrogate.posterior(X)
        centre = np.where(self._folded, np.abs(mean), mean)
        z = (self._ideal + self._best * self._unit - centre) / std
        # From so far below the best distance on, the probability does not matter any more.
        reach = np.where(z > -2.0, z + 6.0, 12.0 / np.maximum(-z, 1.0))
        width = np.min(std / self._unit * reach, axis=1)
        nodes, weights = np.polynomial.legendre.leggauss(_N_NODES)
        distance = self._best - 0.5 * width[:, None] * (1.0 - nodes)
        terms = np.log(weights) + np.log(0.5 * width)[:, None]
        for j, is_folded in enumerate(self._folded):
            level = np.minimum(self._ideal[j] + distance * self._unit[j], self._reference[j])
            terms = terms + log_probability_below(
                level, mean[:, [j]], std[:, [j]], folded=is_folded
            )
        top = np.max(terms, axis=1)
        shift = np.where(np.isfinite(top), top, 0.0)
        with np.errstate(divide="ignore"):
            return np.asarray(shift + np.log(np.sum(np.exp(terms - shift[:, None]), axis=1)))
