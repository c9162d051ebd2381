"""Gaussian process: ARD Matérn 5/2 kernel, hyper-parameters at their posterior mode.

The kernel works on `X` in the unit cube and on standardised outcomes, so that priors mean the same
for every campaign. Columns without an order are compared for equality.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from materia.errors import SurrogateError

FloatArray = NDArray[np.float64]

_SQRT5 = math.sqrt(5.0)
_MIN_NOISE, _MAX_NOISE = 1e-6, 1.0
_JITTERS = (0.0, 1e-8, 1e-6, 1e-4)
_MEAN_VARIANCE = 1.0
# More observations than this take part in the posterior, not in the search for hyper-parameters.
MAX_FIT_OBSERVATIONS = 400


@dataclass(frozen=True)
class Hyperparameters:
    """Kernel parameters for one outcome.

    Attributes:
        lengthscales: One per column of `X`, (d,), in unit-cube units.
        noise: Variance of an observation without a stated error, in standardised units.
    """

    lengthscales: FloatArray
    noise: float


@dataclass(frozen=True)
class _Features:
    """Columns of `X` as the kernel sees them: a category becomes one column per level."""

    numeric: NDArray[np.intp]
    categorical: tuple[int, ...]
    levels: tuple[FloatArray, ...]
    group: NDArray[np.intp]  # column of X that each feature belongs to

    @classmethod
    def of(cls, X: FloatArray, categorical: tuple[int, ...]) -> _Features:
        d = X.shape[1]
        numeric = np.array([j for j in range(d) if j not in categorical], dtype=np.intp)
        levels = tuple(np.unique(X[:, j]) for j in categorical)
        group = [np.full(len(level), j) for j, level in zip(categorical, levels, strict=True)]
        return cls(numeric, categorical, levels, np.concatenate([numeric, *group]).astype(np.intp))

    def __call__(self, X: FloatArray) -> FloatArray:
        # Centred, because squared distances are formed from inner products. Two different
        # categories are at squared distance 1 (a level not seen before is at 1/2 from each).
        parts: list[FloatArray] = [X[:, self.numeric] - 0.5]
        for j, levels in zip(self.categorical, self.levels, strict=True):
            parts.append(np.where(np.abs(X[:, j, None] - levels) < 1e-9, math.sqrt(0.5), 0.0))
        return np.hstack(parts) if len(parts) > 1 else parts[0]


def _square_distances(A: FloatArray, B: FloatArray) -> FloatArray:
    S = np.sum(A * A, axis=1)[:, None] + np.sum(B * B, axis=1) - 2.0 * (A @ B.T)
    return np.asarray(np.maximum(S, 0.0, out=S))


def _matern52(S: FloatArray) -> FloatArray:
    r = np.sqrt(S)
    r *= _SQRT5
    K = np.exp(-r)
    r += 1.0
    r += (5.0 / 3.0) * S
    K *= r
    return K


class GaussianProcess:
    """A posterior for one outcome given observations and hyper-parameters.

    Args:
        X: Observed points, (n, d).
        y: Their outcomes, (n,), any unit.
        sem: Standard error of each outcome, (n,), NaN where it is to be inferred.
        hyperparameters: As from `fit`.
        categorical: Columns of X without an order.
    """

    def __init__(
        self,
        X: FloatArray,
        y: FloatArray,
        sem: FloatArray,
        hyperparameters: Hyperparameters,
        categorical: tuple[int, ...] = (),
    ) -> None:
        self.X, self.y = X, y
        self.hyperparameters = hyperparameters
        self.location, self.scale = _standard(y)
        self._features = _Features.of(X, categorical)
        self._inverse_scales = 1.0 / hyperparameters.lengthscales[self._features.group]
        self._Z = self._features(X) * self._inverse_scales
        self._targets = (y - self.location) / self.scale
        self._noise = _noise(sem / self.scale, hyperparameters.noise)
        K = _matern52(_square_distances(self._Z, self._Z)) + _MEAN_VARIANCE
        np.fill_diagonal(K, 1.0 + _MEAN_VARIANCE)
        self._L_inverse = _inverse_factor(K, self._noise)
        self._alpha = self._L_inverse.T @ (self._L_inverse @ self._targets)

    def posterior(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of the noise-free outcome, each (n,), in its unit."""
        Z = self._features(X) * self._inverse_scales
        K = _matern52(_square_distances(Z, self._Z)) + _MEAN_VARIANCE
        mean = K @ self._alpha
        explained = np.sum((K @ self._L_inverse.T) ** 2, axis=1)
        variance = np.maximum(1.0 + _MEAN_VARIANCE - explained, 1e-12)
        return self.location + self.scale * mean, self.scale * np.sqrt(variance)

    def condition(self, X: FloatArray, y: FloatArray) -> GaussianProcess:
        """Return the process with points (k, d) added whose outcomes (k,) are believed.

        Hyper-parameters and standardisation stay; believed outcomes carry the inferred noise.
        """
        extended = object.__new__(GaussianProcess)
        extended.__dict__.update(self.__dict__)
        Z = self._features(X) * self._inverse_scales
        K = _matern52(_square_distances(Z, self._Z)) + _MEAN_VARIANCE
        K_new = _matern52(_square_distances(Z, Z)) + _MEAN_VARIANCE
        np.fill_diagonal(K_new, 1.0 + _MEAN_VARIANCE)
        noise = np.full(len(X), self.hyperparameters.noise)
        n, k = len(self._Z), len(X)
        C = K @ self._L_inverse.T
        corner = _inverse_factor(K_new - C @ C.T, noise)
        L_inverse = np.zeros((n + k, n + k))
        L_inverse[:n, :n] = self._L_inverse
        L_inverse[n:, n:] = corner
        L_inverse[n:, :n] = -corner @ C @ self._L_inverse
        extended.X, extended.y = np.vstack([self.X, X]), np.append(self.y, y)
        extended._Z = np.vstack([self._Z, Z])
        extended._noise = np.append(self._noise, noise)
        extended._targets = np.append(self._targets, (y - self.location) / self.scale)
        extended._L_inverse = L_inverse
        extended._alpha = L_inverse.T @ (L_inverse @ extended._targets)
        return extended

    def leave_one_out(self) -> tuple[FloatArray, FloatArray]:
        """Return mean and std of each observation when it alone is left out, each (n,).

        Closed form at fixed hyper-parameters (Rasmussen & Williams 2006, eqs 5.10–5.12); the std
        includes the observation's own noise.
        """
        precision = np.sum(self._L_inverse**2, axis=0)
        mean = self._targets - self._alpha / precision
        return self.location + self.scale * mean, self.scale / np.sqrt(precision)


def _standard(y: FloatArray) -> tuple[float, float]:
    location = float(np.mean(y))
    scale = float(np.std(y))
    # A constant outcome has no scale; rounding of the mean must not be taken for one.
    if not scale > 1e-12 * max(1.0, abs(location)):
        scale = max(1.0, abs(location))
    return location, scale


def _noise(relative_sem: FloatArray, inferred: float) -> FloatArray:
    stated = np.maximum(relative_sem**2, _MIN_NOISE)
    return np.where(np.isnan(relative_sem), inferred, stated)


def _inverse_factor(K: FloatArray, noise: FloatArray) -> FloatArray:
    """Return the inverse of the lower Cholesky factor of K + diag(noise), (n, n)."""
    from scipy.linalg.lapack import dpotrf, dtrtri

    for jitter in _JITTERS:
        A = K.copy()
        A[np.diag_indices_from(A)] += noise + jitter
        L, failed = dpotrf(A, lower=1, clean=1)
        if not failed:
            inverse, failed = dtrtri(L, lower=1)
        if not failed:
            return np.ascontiguousarray(inverse)
    raise SurrogateError(
        "the covariance of the observations is not positive definite",
        "look for observations that are not finite or differ by many orders of magnitude",
    )


class _Posterior:
    """Negative log posterior density of log hyper-parameters, with its gradient."""

    def __init__(
        self, X: FloatArray, y: FloatArray, sem: FloatArray, categorical: tuple[int, ...]
    ) -> None:
        location, scale = _standard(y)
        self.d = X.shape[1]
        self._targets = (y - location) / scale
        self._sem = sem / scale
        self._is_inferred = np.isnan(sem)
        features = _Features.of(X, categorical)
        self._F = features(X)
        self._group = features.group
        # Lengthscales grow with the square root of the dimension: C. Hvarfner, E. O. Hellsten and
        # L. Nardi, "Vanilla Bayesian optimization performs great in high dimensions", ICML 2024.
        self.prior_mean = math.sqrt(2.0) + 0.5 * math.log(self.d)
        self.prior_std = math.sqrt(3.0)
        self.noise_mean, self.noise_std = -8.0, 3.0

    def __call__(self, theta: FloatArray) -> tuple[float, FloatArray]:
        from scipy.linalg.lapack import dpotrf, dpotri

        log_scales, log_noise = theta[: self.d], float(theta[self.d])
        n = len(self._targets)
        Z = self._F * np.exp(-log_scales)[self._group]
        S = _square_distances(Z, Z)
        np.fill_diagonal(S, 0.0)
        r = _SQRT5 * np.sqrt(S)
        decay = np.exp(-r)
        K = (1.0 + r + (5.0 / 3.0) * S) * decay + _MEAN_VARIANCE
        K[np.diag_indices(n)] += _noise(self._sem, math.exp(log_noise)) + 1e-10
        L, failed = dpotrf(K, lower=1, clean=1)
        if failed:
            return 1e25, np.zeros_like(theta)
        inverse, _ = dpotri(L, lower=1)
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        alpha = inverse @ self._targets
        value = 0.5 * float(self._targets @ alpha) + float(np.sum(np.log(np.diag(L))))
        W = np.outer(alpha, alpha) - inverse
        G = W * decay * (1.0 + r) * (5.0 / 3.0)
        # sum_ab G_ab (z_a - z_b)^2 without an array of n * n * d entries
        per_feature = 2.0 * np.sum(Z * (G.sum(axis=1)[:, None] * Z - G @ Z), axis=0)
        gradient = np.empty_like(theta)
        gradient[: self.d] = -0.5 * np.bincount(self._group, weights=per_feature, minlength=self.d)
        trace = float(np.sum(np.diag(W)[self._is_inferred]))
        gradient[self.d] = -0.5 * math.exp(log_noise) * trace
        prior, d_prior = self._prior(log_scales, log_noise)
        return value + prior, gradient + d_prior

    def _prior(self, log_scales: FloatArray, log_noise: float) -> tuple[float, FloatArray]:
        """Negative log density of the lognormal priors, as densities of the scales themselves."""
        z = (log_scales - self.prior_mean) / self.prior_std
        z_noise = (log_noise - self.noise_mean) / self.noise_std
        value = 0.5 * float(z @ z) + float(log_scales.sum()) + 0.5 * z_noise**2
        return value, np.append(z / self.prior_std + 1.0, z_noise / self.noise_std)


def fit(
    X: FloatArray, y: FloatArray, sem: FloatArray, categorical: tuple[int, ...] = ()
) -> Hyperparameters:
    """Return the most probable hyper-parameters.

    L-BFGS from three fixed starts; costs O(n^3) per step, where n is capped at
    `MAX_FIT_OBSERVATIONS` (every k-th observation is used beyond it).

    Args:
        X: Observed points, (n, d).
        y: Outcomes, (n,).
        sem: Standard errors, (n,), NaN where the noise is to be inferred.
        categorical: Columns of X without an order.
    """
    from scipy.optimize import minimize

    if len(X) > MAX_FIT_OBSERVATIONS:
        kept = np.linspace(0, len(X) - 1, MAX_FIT_OBSERVATIONS).round().astype(np.intp)
        X, y, sem = X[kept], y[kept], sem[kept]
    posterior = _Posterior(X, y, sem, categorical)
    d = posterior.d
    bounds = [(math.log(5e-3), math.log(1e3))] * d + [(math.log(_MIN_NOISE), math.log(_MAX_NOISE))]
    best_value, best_theta = math.inf, np.zeros(d + 1)
    for scale, noise in ((0.4 * math.sqrt(d), 1e-4), (1.5 * math.sqrt(d), 1e-2), (0.2, 1e-5)):
        start = np.append(np.full(d, math.log(scale)), math.log(noise))
        found = minimize(
            posterior, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 100}
        )
        if found.fun < best_value:
            best_value, best_theta = float(found.fun), found.x
    return Hyperparameters(np.exp(best_theta[:d]), math.exp(best_theta[d]))


def with_noise(hyperparameters: Hyperparameters, noise: float) -> Hyperparameters:
    """Return the same lengthscales with another noise variance."""
    return replace(hyperparameters, noise=noise)
