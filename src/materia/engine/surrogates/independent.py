"""One model per outcome; outcomes may have been observed at different points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materia.engine.surrogates.gp import GaussianProcess
from materia.engine.surrogates.model import Model, Sample

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class IndependentProcesses:
    """Posterior of m outcomes that are modelled one by one, each by a model of any kind.

    Attributes:
        processes: One model per outcome.
        categorical: Columns of X without an order.
    """

    processes: tuple[Model, ...]
    categorical: tuple[int, ...] = ()

    @property
    def noise(self) -> float:
        """Largest variance of an observation without a stated error, in standardised units."""
        return max(process.noise for process in self.processes)

    @property
    def lengthscales(self) -> FloatArray:
        """Shortest lengthscale of any outcome along each column of X, (d,)."""
        return np.asarray(np.min([process.lengthscales for process in self.processes], axis=0))

    def posterior(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of the noise-free, warped outcomes, each (n, m)."""
        return _columns([process.posterior(X) for process in self.processes])

    def predict(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of the noise-free outcomes, each (n, m)."""
        return _columns([process.predict(X) for process in self.processes])

    def means(self, X: FloatArray) -> FloatArray:
        """Return the means of `posterior` alone, (n, m), cheaper where a model can tell them so."""
        return np.column_stack([_mean(process, X) for process in self.processes])

    def predicted_means(self, X: FloatArray) -> FloatArray:
        """Return the means of `predict` alone, (n, m)."""
        means = self.means(X)
        nothing = np.zeros(len(X))
        for j, process in enumerate(self.processes):
            means[:, j] = process.warp.invert(means[:, j], nothing)[0]
        return means

    def warped_best(self, Y: FloatArray) -> float:
        """Return the least of the first objective's values (n, 1) on the scale of `posterior`."""
        best = np.array([Y.min()])
        return float(self.processes[0].warp(best)[0])

    def believe(self, X: FloatArray, is_open: NDArray[np.bool_]) -> IndependentProcesses:
        """Return the surrogate as if open outcomes at X came out at their means.

        Args:
            X: Points under evaluation, (k, d).
            is_open: Which outcomes of them are not known yet, (k, m).
        """
        processes = []
        for j, process in enumerate(self.processes):
            points = X[is_open[:, j]]
            if len(points):
                process = process.believe(points)
            processes.append(process)
        return IndependentProcesses(tuple(processes), self.categorical)


def _mean(model: Model, X: FloatArray) -> FloatArray:
    return model.mean(X) if isinstance(model, GaussianProcess) else model.posterior(X)[0]


def _columns(pairs: Sequence[tuple[FloatArray, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    return np.column_stack([p[0] for p in pairs]), np.column_stack([p[1] for p in pairs])


def samples(
    X: FloatArray,
    Y: FloatArray,
    sem: FloatArray,
    categorical: tuple[int, ...],
    pivot_floors: FloatArray,
) -> list[Sample]:
    """Return what was observed of each outcome.

    Args:
        X: Observed points, (n, d).
        Y: Outcomes, (n, m), NaN where not observed; each column holds at least one number.
        sem: Standard errors, (n, m), NaN where to be inferred.
        categorical: Columns of X without an order.
        pivot_floors: Per outcome, what lies above may be compressed, (m,).
    """
    found = []
    for j in range(Y.shape[1]):
        known = ~np.isnan(Y[:, j])
        floor = float(pivot_floors[j])
        found.append(Sample(X[known], Y[known, j], sem[known, j], categorical, floor))
    return found
