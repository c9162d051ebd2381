"""Gaussian process: ARD Matérn kernel, hyper-parameters at their posterior mode.

The kernel works on `X` in the unit cube and on standardised outcomes, so that priors mean the same
for every campaign. Columns without an order are compared for equality.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from materia.engine.surrogates.evidence import (
    Evidence,
    Hyperparameters,
    most_probable,
    noise_of,
    standard,
)
from materia.engine.surrogates.features import Features
from materia.engine.surrogates.kernels import (
    MEAN_VARIANCE,
    covariance,
    own_covariance,
    scale_of,
)
from materia.engine.surrogates.model import Sample
from materia.engine.surrogates.warping import Warp
from materia.errors import SurrogateError

FloatArray = NDArray[np.float64]

_JITTERS = (0.0, 1e-8, 1e-6, 1e-4)
# Added to the variance of what is drawn, whose covariance has lost digits.
_DRAWN_NOISE = 1e-9


class GaussianProcess:
    """A posterior for one outcome given observations and hyper-parameters.

    Args:
        X: Observed points, (n, d).
        y: Their outcomes, (n,), any unit.
        sem: Standard error of each outcome, (n,), NaN where it is to be inferred.
        hyperparameters: As from `fit`.
        categorical: Columns of X without an order.
        standardisation: Location and scale of the outcomes, by default their mean and deviation.
    """

    def __init__(
        self,
        X: FloatArray,
        y: FloatArray,
        sem: FloatArray,
        hyperparameters: Hyperparameters,
        categorical: tuple[int, ...] = (),
        *,
        standardisation: tuple[float, float] | None = None,
    ) -> None:
        self.y = y
        self.hyperparameters = hyperparameters
        warped = hyperparameters.warp(y)
        self._location, self._scale = standardisation or standard(warped)
        self.categorical = categorical
        self._features = Features.of(X, categorical)
        scale = scale_of(hyperparameters.smoothness)
        self._inverse_scales = scale / hyperparameters.lengthscales[self._features.group]
        self._Z = self._features(X) * self._inverse_scales
        self._targets = (warped - self._location) / self._scale
        relative_sem = sem * hyperparameters.warp.slope(y) / self._scale
        noise = noise_of(relative_sem, hyperparameters.noise)
        self._L_inverse = inverse_factor(self.own_covariance(self._Z), noise)
        self._alpha = self._L_inverse.T @ (self._L_inverse @ self._targets)

    @classmethod
    def centred(
        cls,
        X: FloatArray,
        y: FloatArray,
        hyperparameters: Hyperparameters,
        categorical: tuple[int, ...],
    ) -> GaussianProcess:
        """Return the process of outcomes (n,) that are on a scale of 1 around 0 already."""
        unknown = np.full(len(y), np.nan)
        return cls(X, y, unknown, hyperparameters, categorical, standardisation=(0.0, 1.0))

    @property
    def warp(self) -> Warp:
        """How bad outcomes are compressed on the scale of `posterior`."""
        return self.hyperparameters.warp

    @property
    def noise(self) -> float:
        """Variance of an observation without a stated error, in standardised units."""
        return self.hyperparameters.noise

    @property
    def lengthscales(self) -> FloatArray:
        """Lengthscale of each column of X, (d,)."""
        return self.hyperparameters.lengthscales

    @property
    def signal(self) -> float:
        """Variance of the outcome around its mean, in standardised units."""
        return self.hyperparameters.signal

    def arrays(self) -> dict[str, FloatArray]:
        """Return the hyper-parameters: lengthscales (d,), warp (2,), the others (1,)."""
        found = self.hyperparameters
        return {
            "lengthscales": found.lengthscales,
            "noise": np.array([found.noise]),
            "warp": np.array([found.warp.pivot, found.warp.scale]),
            "signal": np.array([found.signal]),
            "smoothness": np.array([found.smoothness]),
        }

    def scaled(self, X: FloatArray) -> FloatArray:
        """Return features of points (n, d) as the kernel takes them, (n, p)."""
        return self._features(X) * self._inverse_scales

    def covariance(self, A: FloatArray, B: FloatArray) -> FloatArray:
        """Return the covariance (a, b) of standardised outcomes at scaled features."""
        return covariance(A, B, self.hyperparameters.smoothness, self.signal)

    def own_covariance(self, A: FloatArray) -> FloatArray:
        """Return the covariance (a, a) of standardised outcomes at scaled features."""
        return own_covariance(A, self.hyperparameters.smoothness, self.signal)

    def posterior(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of the noise-free, warped outcome, each (n,)."""
        K = self.covariance(self.scaled(X), self._Z)
        mean = K @ self._alpha
        variance = np.maximum(self.signal + MEAN_VARIANCE - explained(K, self._L_inverse), 1e-12)
        return self._location + self._scale * mean, self._scale * np.sqrt(variance)

    def mean(self, X: FloatArray) -> FloatArray:
        """Return the mean of `posterior` alone, (n,); no product with the inverse."""
        K = self.covariance(self.scaled(X), self._Z)
        return np.asarray(self._location + self._scale * (K @ self._alpha))

    def drawn(self, X: FloatArray, s: int, rng: np.random.Generator) -> FloatArray:
        """Return s draws of the warped outcome at all points (n, d) together, (n, s)."""
        Z = self.scaled(X)
        K = self.covariance(Z, self._Z)
        C = K @ self._L_inverse.T
        L = _factor(self.own_covariance(Z) - C @ C.T, np.full(len(X), _DRAWN_NOISE))
        standard = (K @ self._alpha)[:, None] + L @ rng.standard_normal((len(X), s))
        return np.asarray(self._location + self._scale * standard)

    def predict(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of the noise-free outcome in its unit, each (n,)."""
        return self.hyperparameters.warp.invert(*self.posterior(X))

    def believe(self, X: FloatArray) -> GaussianProcess:
        """Return the process as if points (k, d) had been observed at their posterior means.

        Hyper-parameters, standardisation and all means stay; only uncertainty shrinks.
        """
        Z = self.scaled(X)
        K = self.covariance(Z, self._Z)
        n, k = len(self._Z), len(X)
        C = K @ self._L_inverse.T
        noise = np.full(k, self.hyperparameters.noise)
        corner = inverse_factor(self.own_covariance(Z) - C @ C.T, noise)
        L_inverse = np.zeros((n + k, n + k))
        L_inverse[:n, :n] = self._L_inverse
        L_inverse[n:, n:] = corner
        L_inverse[n:, :n] = -corner @ C @ self._L_inverse
        extended = copy.copy(self)
        extended._Z = np.vstack([self._Z, Z])
        extended._L_inverse = L_inverse
        # Believing the mean changes no mean: the new points get no weight.
        extended._alpha = np.append(self._alpha, np.zeros(k))
        return extended

    def leave_one_out(self) -> tuple[FloatArray, FloatArray]:
        """Return mean and std of each observation when it alone is left out, each (n,).

        Closed form at fixed hyper-parameters (Rasmussen & Williams 2006, eqs 5.10–5.12), of the
        warped outcome; the std includes the observation's own noise.
        """
        precision = np.sum(self._L_inverse**2, axis=0)
        mean = self._location + self._scale * (self._targets - self._alpha / precision)
        return mean, self._scale / np.sqrt(precision)


def _factor(K: FloatArray, noise: FloatArray) -> FloatArray:
    """Return the lower Cholesky factor of K + diag(noise), (n, n)."""
    from scipy.linalg.lapack import dpotrf

    for jitter in _JITTERS:
        A = K.copy()
        A[np.diag_indices_from(A)] += noise + jitter
        L, failed = dpotrf(A, lower=1, clean=1)
        if not failed:
            return np.asarray(L)
    raise SurrogateError(
        "the covariance of the observations is not positive definite",
        "look for observations that are not finite or differ by many orders of magnitude",
    )


def inverse_factor(K: FloatArray, noise: FloatArray) -> FloatArray:
    """Return the inverse of the lower Cholesky factor of K + diag(noise), (n, n)."""
    from scipy.linalg.lapack import dtrtri

    inverse, _ = dtrtri(_factor(K, noise), lower=1)
    return np.ascontiguousarray(inverse)


def explained(K: FloatArray, L_inverse: FloatArray) -> FloatArray:
    """Return by how much observations lessen the variance at points, (n,).

    Args:
        K: Covariance of points and observations, (n, k).
        L_inverse: Of the observations, (k, k), lower triangular.
    """
    from scipy.linalg.blas import dtrmm

    # Transposed views are in the order of columns; half of the products are with zeros.
    projected = dtrmm(1.0, L_inverse.T, K.T, lower=0, trans_a=1)
    return np.asarray(np.einsum("ij,ij->j", projected, projected))


def fit(
    X: FloatArray,
    y: FloatArray,
    sem: FloatArray,
    categorical: tuple[int, ...] = (),
    pivot_floor: float = math.inf,
) -> Hyperparameters:
    """Return the most probable hyper-parameters; see `Evidence` for the arguments."""
    return most_probable(Evidence(X, y, sem, categorical, pivot_floor))


class _GaussianProcesses:
    """The kind `gp`. Its cost grows with the cube of the observations; nothing in it is random."""

    version = 3
    max_observations = 2000

    def fit(self, sample: Sample, rng: np.random.Generator) -> GaussianProcess:
        """Return the process with the most probable hyper-parameters."""
        return self._process(sample, most_probable(Evidence(**vars(sample))))

    def restore(self, sample: Sample, arrays: Mapping[str, FloatArray]) -> GaussianProcess:
        """Return the process of stored hyper-parameters."""
        pivot, scale = (float(value) for value in arrays["warp"])
        found = Hyperparameters(
            np.array(arrays["lengthscales"], dtype=np.float64),
            float(arrays["noise"][0]),
            Warp(pivot, scale),
            float(arrays["signal"][0]),
            float(arrays["smoothness"][0]),
        )
        return self._process(sample, found)

    @staticmethod
    def _process(sample: Sample, found: Hyperparameters) -> GaussianProcess:
        return GaussianProcess(sample.X, sample.y, sample.sem, found, sample.categorical)


KIND = _GaussianProcesses()
