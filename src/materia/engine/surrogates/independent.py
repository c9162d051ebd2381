"""One Gaussian process per outcome; outcomes may have been observed at different points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materia.engine.surrogates.gp import GaussianProcess, Hyperparameters, fit
from materia.engine.surrogates.warping import Warp

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class IndependentProcesses:
    """Posterior of m outcomes that are modelled one by one."""

    processes: tuple[GaussianProcess, ...]

    @property
    def noise(self) -> float:
        """Largest variance of an observation without a stated error, in standardised units."""
        return max(process.hyperparameters.noise for process in self.processes)

    def posterior(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of the noise-free, warped outcomes, each (n, m)."""
        return _columns([process.posterior(X) for process in self.processes])

    def predict(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of the noise-free outcomes, each (n, m)."""
        return _columns([process.predict(X) for process in self.processes])

    def warped_best(self, Y: FloatArray) -> float:
        """Return the least of the first objective's values (n, 1) on the scale of `posterior`."""
        best = np.array([Y.min()])
        return float(self.processes[0].hyperparameters.warp(best)[0])

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
        return IndependentProcesses(tuple(processes))


def _columns(pairs: Sequence[tuple[FloatArray, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    return np.column_stack([p[0] for p in pairs]), np.column_stack([p[1] for p in pairs])


def fit_each(
    X: FloatArray,
    Y: FloatArray,
    sem: FloatArray,
    categorical: tuple[int, ...],
    pivot_floors: FloatArray,
) -> list[Hyperparameters]:
    """Return hyper-parameters per outcome, each from the rows where it was observed.

    Args:
        X: Observed points, (n, d).
        Y: Outcomes, (n, m), NaN where not observed; each column holds at least one number.
        sem: Standard errors, (n, m), NaN where to be inferred.
        categorical: Columns of X without an order.
        pivot_floors: Per outcome, what lies above may be compressed, (m,).
    """
    fitted = []
    for j in range(Y.shape[1]):
        known = ~np.isnan(Y[:, j])
        fitted.append(fit(X[known], Y[known, j], sem[known, j], categorical, pivot_floors[j]))
    return fitted


def build(
    X: FloatArray,
    Y: FloatArray,
    sem: FloatArray,
    hyperparameters: Sequence[Hyperparameters],
    categorical: tuple[int, ...],
) -> IndependentProcesses:
    """Return the posterior for given hyper-parameters; arguments as of `fit_each`."""
    processes = []
    for j, parameters in enumerate(hyperparameters):
        known = ~np.isnan(Y[:, j])
        processes.append(
            GaussianProcess(X[known], Y[known, j], sem[known, j], parameters, categorical)
        )
    return IndependentProcesses(tuple(processes))


def pack(hyperparameters: Sequence[Hyperparameters]) -> dict[str, FloatArray]:
    """Return hyper-parameters as plain arrays: lengthscales (m, d), noise (m,), warps (m, 2)."""
    return {
        "lengthscales": np.array([p.lengthscales for p in hyperparameters]),
        "noise": np.array([p.noise for p in hyperparameters]),
        "warps": np.array([[p.warp.pivot, p.warp.scale] for p in hyperparameters]),
    }


def unpack(arrays: Mapping[str, FloatArray]) -> list[Hyperparameters]:
    """Return hyper-parameters from the arrays of `pack`."""
    columns = [np.asarray(arrays[k], dtype=np.float64) for k in ("lengthscales", "noise", "warps")]
    return [
        Hyperparameters(row.copy(), float(noise), Warp(float(warp[0]), float(warp[1])))
        for row, noise, warp in zip(*columns, strict=True)
    ]
