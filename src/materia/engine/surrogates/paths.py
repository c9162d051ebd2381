"""Functions drawn from the posterior of Gaussian processes, and what is left once they are known.

A path is a draw from the prior, by random features of the Matérn kernel, corrected at the
observations: J. T. Wilson et al., "Efficiently sampling functions from Gaussian process
posteriors", ICML 2020. Everything is on the scale of `posterior`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materia.engine.surrogates.gp import GaussianProcess, explained, inverse_factor
from materia.engine.surrogates.independent import IndependentProcesses
from materia.engine.surrogates.kernels import MEAN_VARIANCE

FloatArray = NDArray[np.float64]

_N_FEATURES = 512
_KNOWN_NOISE = 1e-6


def can_be_drawn(surrogate: IndependentProcesses) -> bool:
    """Return whether every outcome is modelled by a Gaussian process."""
    return all(isinstance(process, GaussianProcess) for process in surrogate.processes)


@dataclass(frozen=True)
class _Path:
    """s functions of one outcome."""

    process: GaussianProcess
    frequencies: FloatArray
    phases: FloatArray
    weights: FloatArray
    constants: FloatArray
    corrections: FloatArray

    @classmethod
    def of(cls, process: GaussianProcess, s: int, rng: np.random.Generator) -> _Path:
        Z = process._Z[: len(process._targets)]
        n, d = Z.shape
        # The spectral density of a Matérn kernel is a Student t of twice its smoothness as degrees
        # of freedom, whose factor is in the scaled features; of infinitely many, a normal one.
        freedom = 2.0 * process.hyperparameters.smoothness
        frequencies = rng.standard_normal((d, _N_FEATURES))
        if math.isfinite(freedom):
            frequencies /= np.sqrt(rng.chisquare(freedom, size=(1, _N_FEATURES)))
        phases = rng.uniform(0.0, 2.0 * math.pi, size=_N_FEATURES)
        weights = rng.standard_normal((_N_FEATURES, s)) * math.sqrt(
            2.0 * process.signal / _N_FEATURES
        )
        constants = rng.standard_normal(s) * math.sqrt(MEAN_VARIANCE)
        L_inverse = process._L_inverse[:n, :n]
        L = np.linalg.inv(L_inverse)
        noise = np.sum(L * L, axis=1) - process.signal - MEAN_VARIANCE
        error = np.sqrt(np.maximum(noise, 0.0))[:, None] * rng.standard_normal((n, s))
        prior = np.cos(Z @ frequencies + phases) @ weights + constants
        residuals = process._targets[:, None] - prior - error
        corrections = L_inverse.T @ (L_inverse @ residuals)
        return cls(process, frequencies, phases, weights, constants, corrections)

    def __call__(self, X: FloatArray) -> FloatArray:
        process = self.process
        Z = process.scaled(X)
        prior = np.cos(Z @ self.frequencies + self.phases) @ self.weights + self.constants
        K = process.covariance(Z, process._Z[: len(self.corrections)])
        return np.asarray(process._location + process._scale * (prior + K @ self.corrections))


class Paths:
    """s functions drawn from the posterior of m outcomes.

    Args:
        surrogate: Gaussian processes; points that were only believed are not looked at.
        s: How many.
        rng: Draws them.
    """

    def __init__(self, surrogate: IndependentProcesses, s: int, rng: np.random.Generator) -> None:
        self._paths = [_Path.of(process, s, rng) for process in _gaussian(surrogate)]

    def __call__(self, X: FloatArray) -> FloatArray:
        """Return the values of all functions, (n, m, s)."""
        return np.stack([path(X) for path in self._paths], axis=1)


def drawn(
    surrogate: IndependentProcesses, X: FloatArray, s: int, rng: np.random.Generator
) -> FloatArray:
    """Return s joint draws of the outcomes at points (n, d), (n, m, s); exact, at a cost of n^3."""
    return np.stack([p.drawn(X, s, rng) for p in _gaussian(surrogate)], axis=1)


class Imagined:
    """The posterior if outcomes at some points were known exactly, for s versions of them.

    Args:
        surrogate: Gaussian processes whose kernels are used.
        points: (k, d).
        values: Of s versions, (k, m, s).
    """

    def __init__(
        self, surrogate: IndependentProcesses, points: FloatArray, values: FloatArray
    ) -> None:
        self._known = []
        for j, process in enumerate(_gaussian(surrogate)):
            Z = process.scaled(points)
            noise = np.full(len(points), _KNOWN_NOISE)
            L_inverse = inverse_factor(process.own_covariance(Z), noise)
            targets = (values[:, j] - process._location) / process._scale
            self._known.append((process, Z, L_inverse, L_inverse.T @ (L_inverse @ targets)))

    def posterior(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return means (n, m, s) and the standard deviations (n, m) that all versions share."""
        means, stds = [], []
        for process, Z, L_inverse, alpha in self._known:
            K = process.covariance(process.scaled(X), Z)
            variance = process.signal + MEAN_VARIANCE - explained(K, L_inverse)
            means.append(process._location + process._scale * (K @ alpha))
            stds.append(process._scale * np.sqrt(np.maximum(variance, 1e-12)))
        return np.stack(means, axis=1), np.column_stack(stds)


def _gaussian(surrogate: IndependentProcesses) -> list[GaussianProcess]:
    processes = [p for p in surrogate.processes if isinstance(p, GaussianProcess)]
    assert len(processes) == len(surrogate.processes)
    return processes
