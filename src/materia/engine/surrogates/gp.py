"""Gaussian process: ARD Matérn 5/2 kernel, hyper-parameters at their posterior mode.

The kernel works on `X` in the unit cube and on standardised outcomes, so that priors mean the same
for every campaign. Columns without an order are compared for equality.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from materia.engine.surrogates.warping import Warp, compression
from materia.errors import SurrogateError

FloatArray = NDArray[np.float64]

_SQRT5 = math.sqrt(5.0)
_MIN_NOISE, _MAX_NOISE = 1e-6, 1.0
_JITTERS = (0.0, 1e-8, 1e-6, 1e-4)
# The unknown constant mean is normal with this variance, in standardised units, and integrated out.
_MEAN_VARIANCE = 1.0
# More observations than this take part in the posterior, not in the search for hyper-parameters.
MAX_FIT_OBSERVATIONS = 400
_MAX_MULTISTART = 100
# Log evidence that a warp must gain before it is preferred to none.
_WARP_MARGIN = 2.0

# Typical lengthscale: lognormal, its median growing with the square root of the dimension (C.
# Hvarfner, E. O. Hellsten, L. Nardi, "Vanilla Bayesian optimization performs great in high
# dimensions", ICML 2024).
_TYPICAL_LOG_MEDIAN, _TYPICAL_LOG_STD = -1.25, 1.0
# Each lengthscale deviates from the typical one by a Student t factor: close to it unless the
# observations say otherwise clearly. Independent priors fit noise in ten dimensions and more.
_DEVIATION_SCALE, _DEVIATION_FREEDOM = 0.3, 3.0
_NOISE_LOG_MEDIAN, _NOISE_LOG_STD = -8.0, 3.0


@dataclass(frozen=True)
class Hyperparameters:
    """What is fitted for one outcome.

    Attributes:
        lengthscales: One per column of `X`, (d,), in unit-cube units.
        noise: Variance of an observation without a stated error, in standardised units.
        warp: Compression of bad outcomes.
    """

    lengthscales: FloatArray
    noise: float
    warp: Warp = field(default_factory=Warp)


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


def _covariance(A: FloatArray, B: FloatArray) -> FloatArray:
    """Matérn 5/2 of scaled features, plus the variance of the unknown mean."""
    S = _square_distances(A, B)
    r = np.sqrt(S)
    r *= _SQRT5
    K = np.exp(-r)
    r += 1.0
    S *= 5.0 / 3.0
    r += S
    K *= r
    K += _MEAN_VARIANCE
    return K


def _own_covariance(A: FloatArray) -> FloatArray:
    K = _covariance(A, A)
    np.fill_diagonal(K, 1.0 + _MEAN_VARIANCE)
    return K


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
        self._features = _Features.of(X, categorical)
        self._inverse_scales = 1.0 / hyperparameters.lengthscales[self._features.group]
        self._Z = self._features(X) * self._inverse_scales
        self._targets = (warped - self._location) / self._scale
        relative_sem = sem * hyperparameters.warp.slope(y) / self._scale
        noise = _noise(relative_sem, hyperparameters.noise)
        self._L_inverse = _inverse_factor(_own_covariance(self._Z), noise)
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

    def posterior(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of the noise-free, warped outcome, each (n,)."""
        K = _covariance(self._features(X) * self._inverse_scales, self._Z)
        mean = K @ self._alpha
        projected = K @ self._L_inverse.T
        explained = np.einsum("ij,ij->i", projected, projected)
        variance = np.maximum(1.0 + _MEAN_VARIANCE - explained, 1e-12)
        return self._location + self._scale * mean, self._scale * np.sqrt(variance)

    def predict(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of the noise-free outcome in its unit, each (n,)."""
        return self.hyperparameters.warp.invert(*self.posterior(X))

    def unwarped(self, values: FloatArray) -> FloatArray:
        """Return values on the scale of `posterior`, any shape, in the unit of the outcome."""
        return self.hyperparameters.warp.invert(values, np.zeros_like(values))[0]

    def believe(self, X: FloatArray) -> GaussianProcess:
        """Return the process as if points (k, d) had been observed at their posterior means.

        Hyper-parameters, standardisation and all means stay; only uncertainty shrinks.
        """
        Z = self._features(X) * self._inverse_scales
        K = _covariance(Z, self._Z)
        n, k = len(self._Z), len(X)
        C = K @ self._L_inverse.T
        noise = np.full(k, self.hyperparameters.noise)
        corner = _inverse_factor(_own_covariance(Z) - C @ C.T, noise)
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


def standard(y: FloatArray) -> tuple[float, float]:
    """Return location and scale that standardise outcomes y, (n,); a constant has scale 1."""
    location = float(np.mean(y))
    scale = float(np.std(y))
    # A constant outcome has no scale; rounding of the mean must not be taken for one.
    if not scale > 1e-12 * abs(location):
        scale = abs(location) or 1.0
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


class LogPosterior:
    """Negative log posterior density of the logarithms of hyper-parameters, with its gradient.

    Args:
        X: Observed points, (n, d).
        y: Outcomes, (n,), already warped.
        sem: Standard errors, (n,), NaN where the noise is to be inferred.
        categorical: Columns of X without an order.
    """

    def __init__(
        self, X: FloatArray, y: FloatArray, sem: FloatArray, categorical: tuple[int, ...] = ()
    ) -> None:
        location, scale = standard(y)
        self.d = X.shape[1]
        self._targets = (y - location) / scale
        self._sem = sem / scale
        self._is_inferred = np.isnan(sem)
        features = _Features.of(X, categorical)
        self._F = features(X)
        self._group = features.group
        self._typical = _TYPICAL_LOG_MEDIAN + 0.5 * math.log(self.d)
        self.scale = scale

    def start(self, lengthscale: float, noise: float) -> FloatArray:
        """Return a point of the search: d lengthscales, noise, typical lengthscale, (d + 2,)."""
        log_scale = math.log(lengthscale)
        return np.append(np.full(self.d, log_scale), [math.log(noise), log_scale])

    def __call__(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Return value and gradient (d + 2,) at `theta`, laid out as by `start`."""
        from scipy.linalg.lapack import dpotrf, dpotri

        log_noise = float(theta[self.d])
        n = len(self._targets)
        Z = self._F * np.exp(-theta[: self.d])[self._group]
        S = _square_distances(Z, Z)
        np.fill_diagonal(S, 0.0)
        r = _SQRT5 * np.sqrt(S)
        decay = np.exp(-r)
        K = (1.0 + r + (5.0 / 3.0) * S) * decay + _MEAN_VARIANCE
        K[np.diag_indices(n)] += _noise(self._sem, math.exp(log_noise)) + 1e-10
        L, failed = dpotrf(K, lower=1, clean=1)
        if failed:
            return 1e25, np.zeros_like(theta)
        # dpotri fills the lower triangle; the upper one is still zero from dpotrf.
        lower, _ = dpotri(L, lower=1)
        inverse = lower + lower.T
        inverse[np.diag_indices(n)] *= 0.5
        alpha = inverse @ self._targets
        value = 0.5 * float(self._targets @ alpha) + float(np.sum(np.log(np.diag(L))))
        W = np.outer(alpha, alpha) - inverse
        G = W * decay * (1.0 + r) * (5.0 / 3.0)
        # sum_ab G_ab (z_a - z_b)^2 without an array of n * n * d entries
        per_feature = 2.0 * np.sum(Z * (G.sum(axis=1)[:, None] * Z - G @ Z), axis=0)
        gradient = np.zeros_like(theta)
        gradient[: self.d] = -0.5 * np.bincount(self._group, weights=per_feature, minlength=self.d)
        trace = float(np.sum(np.diag(W)[self._is_inferred]))
        gradient[self.d] = -0.5 * math.exp(log_noise) * trace
        prior, d_prior = self._prior(theta)
        return value + prior, gradient + d_prior

    def _prior(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Negative log prior density (up to a constant) and gradient."""
        typical = float(theta[-1])
        z_noise = (float(theta[self.d]) - _NOISE_LOG_MEDIAN) / _NOISE_LOG_STD
        z_typical = (typical - self._typical) / _TYPICAL_LOG_STD
        t = (theta[: self.d] - typical) / _DEVIATION_SCALE
        nu = _DEVIATION_FREEDOM
        value = 0.5 * (nu + 1.0) * float(np.sum(np.log1p(t * t / nu)))
        value += 0.5 * z_noise**2 + 0.5 * z_typical**2
        pull = (nu + 1.0) * t / (nu + t * t) / _DEVIATION_SCALE
        d_typical = z_typical / _TYPICAL_LOG_STD - float(pull.sum())
        return value, np.concatenate([pull, [z_noise / _NOISE_LOG_STD, d_typical]])


def _mode(
    X: FloatArray,
    y: FloatArray,
    sem: FloatArray,
    categorical: tuple[int, ...],
    near: FloatArray | None = None,
) -> Mode:
    """Return the best of several L-BFGS runs from fixed starts.

    With many observations these runs see an even selection of them, and one more run goes on with
    all from where the best one ended.

    Args:
        X: Observed points, (n, d).
        y: Outcomes, (n,), already warped.
        sem: Standard errors, (n,).
        categorical: Columns of X without an order.
        near: A mode of a similar posterior, which then takes the place of two starts.
    """
    posterior = LogPosterior(X, y, sem, categorical)
    few = posterior
    if len(X) > _MAX_MULTISTART:
        rows = _evenly(len(X), _MAX_MULTISTART)
        few = LogPosterior(X[rows], y[rows], sem[rows], categorical)
    d = posterior.d
    starts = [few.start(0.4 * math.sqrt(d), 1e-4)]
    if near is None:
        starts += [few.start(1.5 * math.sqrt(d), 1e-2), few.start(0.2, 1e-5)]
    else:
        starts.append(near)
    modes = [_descend(few, start) for start in starts]
    best = min(modes, key=lambda mode: mode.value)
    return best if few is posterior else _descend(posterior, best.theta)


@dataclass(frozen=True)
class Mode:
    """Where a search for hyper-parameters ended.

    Attributes:
        value: Negative log posterior density.
        theta: Laid out as by `LogPosterior.start`.
        scale: Scale that standardised the outcomes.
    """

    value: float
    theta: FloatArray
    scale: float


def _descend(posterior: LogPosterior, start: FloatArray) -> Mode:
    from scipy.optimize import minimize

    bounds = [(math.log(5e-3), math.log(1e3))] * posterior.d
    bounds += [(math.log(_MIN_NOISE), math.log(_MAX_NOISE)), (math.log(5e-3), math.log(1e3))]
    found = minimize(
        posterior,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 100, "ftol": 1e-7},
    )
    return Mode(float(found.fun), np.asarray(found.x), posterior.scale)


def _evenly(n: int, k: int) -> NDArray[np.intp]:
    return np.linspace(0, n - 1, k).round().astype(np.intp)


def fit(
    X: FloatArray,
    y: FloatArray,
    sem: FloatArray,
    categorical: tuple[int, ...] = (),
    pivot_floor: float = math.inf,
) -> Hyperparameters:
    """Return the most probable hyper-parameters, with the more probable of no warp and one.

    Costs O(n^3) per step of the search, where n is capped at `MAX_FIT_OBSERVATIONS` (evenly spaced
    observations are used beyond it).

    Args:
        X: Observed points, (n, d).
        y: Outcomes, (n,), minimised if a warp is allowed.
        sem: Standard errors, (n,), NaN where the noise is to be inferred.
        categorical: Columns of X without an order.
        pivot_floor: Outcomes above it may be compressed; infinity forbids it.
    """
    if len(X) > MAX_FIT_OBSERVATIONS:
        kept = _evenly(len(X), MAX_FIT_OBSERVATIONS)
        X, y, sem = X[kept], y[kept], sem[kept]
    mode, chosen = _mode(X, y, sem, categorical), Warp()
    warp = compression(y, pivot_floor)
    if warp is not None:
        bent = _mode(X, warp(y), sem * warp.slope(y), categorical, near=mode.theta)
        # Densities of y itself: standardisation and warp both enter by their derivatives.
        jacobian = len(y) * math.log(bent.scale / mode.scale) - np.sum(np.log(warp.slope(y)))
        if bent.value + jacobian < mode.value - _WARP_MARGIN:
            mode, chosen = bent, warp
    d = X.shape[1]
    return Hyperparameters(np.exp(mode.theta[:d]), math.exp(mode.theta[d]), chosen)
