"""Improvement on a best value or front that noise leaves uncertain.

The improvement is averaged over what the measured points may really be worth: B. Letham et al.,
"Constrained Bayesian optimization with noisy experiments", Bayesian Analysis 14 (2019); S. Daulton
et al., "Parallel Bayesian optimization of multiple noisy objectives", NeurIPS 2021. Points under
evaluation are imagined together with the measured ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from materia.engine.acquisition.expected_improvement import log_shortfall
from materia.engine.acquisition.hypervolume_improvement import HypervolumeImprovement
from materia.engine.pareto import is_non_dominated
from materia.engine.surrogates.paths import Imagined

FloatArray = NDArray[np.float64]


class NoisyExpectedImprovement:
    """Log expected improvement of one objective, averaged over versions.

    Args:
        imagined: Posterior of each version.
        values: Versions at the points that are to be improved on, minimised, (k, 1, s), k >= 1.
        folded: Whether the objective is the absolute value of its outcome.
    """

    def __init__(self, imagined: Imagined, values: FloatArray, *, folded: bool) -> None:
        self._imagined, self._folded = imagined, folded
        self._best = values[:, 0].min(axis=0)

    def __call__(self, X: FloatArray) -> FloatArray:
        """Return the log of the mean over versions, (n,)."""
        mean, std = self._imagined.posterior(X)
        terms = log_shortfall(self._best, mean[:, 0], std, folded=self._folded)
        return _log_mean_exp(terms)


class NoisyHypervolumeImprovement:
    """Log expected hypervolume improvement of m objectives, averaged over versions.

    Args:
        imagined: Posterior of each version.
        values: Versions at the points that are to be improved on, minimised, (k, m, s).
        reference_point: (m,).
        folded: Per objective, whether it is the absolute value of its outcome.
    """

    def __init__(
        self,
        imagined: Imagined,
        values: FloatArray,
        reference_point: FloatArray,
        folded: Sequence[bool],
    ) -> None:
        self._imagined = imagined
        self._versions = []
        for s in range(values.shape[2]):
            front = values[:, :, s][is_non_dominated(values[:, :, s])]
            self._versions.append(HypervolumeImprovement(None, front, reference_point, folded))

    def __call__(self, X: FloatArray) -> FloatArray:
        """Return the log of the mean over versions, (n,)."""
        mean, std = self._imagined.posterior(X)
        terms = [one.of(mean[:, :, s], std) for s, one in enumerate(self._versions)]
        return _log_mean_exp(np.column_stack(terms))


def _log_mean_exp(terms: FloatArray) -> FloatArray:
    top = np.max(terms, axis=1)
    shift = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        total = np.log(np.sum(np.exp(terms - shift[:, None]), axis=1))
    return np.asarray(shift + total - math.log(terms.shape[1]))
