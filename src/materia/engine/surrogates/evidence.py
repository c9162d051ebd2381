"""The most probable hyper-parameters of a Gaussian process.

The search explores with the first of the observations, at counts that grow by a fifth, and goes on
from there with all of them. So it begins near its end at most iterations of a campaign, and still
follows from the observations alone: nothing has to be kept for a resumed campaign to be the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine.surrogates.descent import descend
from materia.engine.surrogates.features import Features
from materia.engine.surrogates.kernels import (
    ANALYTIC,
    MEAN_VARIANCE,
    ROUGH,
    SMOOTH,
    matern,
    scale_of,
    square_distances,
)
from materia.engine.surrogates.model import Sample
from materia.engine.surrogates.warping import Warp, compression

FloatArray = NDArray[np.float64]

MIN_NOISE, MAX_NOISE = 1e-6, 1.0
# Log evidence that a warp must gain before it is preferred to none.
_WARP_MARGIN = 2.0
# The same of the kernel whose intervals do not cover where it is not the right one.
_ANALYTIC_MARGIN = 2.0
# Exploration begins anew when the observations have grown by so much, and sees so many at most.
_FIRST, _GROWTH, _EXPLORED = 16, 1.2, 100
# With more observations than these the search goes over to all by way of so many, and few steps are
# left where one takes a second.
_MANY = 400
# Only with more than so many is a device asked: what few observations cost is the way to it.
ON_DEVICE_FROM = _MANY
# What log density a step must promise for the search to go on. Modes found more closely predict no
# better; those found less closely depend on the order of the observations.
_EXPLORING = {"max_steps": 60, "tolerance": 0.05}
_FINISHING = {"max_steps": 40, "tolerance": 0.01}
_FEW_STEPS = {"max_steps": 6, "tolerance": 0.01}

# Typical lengthscale: lognormal, its median growing with the square root of the dimension (C.
# Hvarfner, E. O. Hellsten, L. Nardi, "Vanilla Bayesian optimization performs great in high
# dimensions", ICML 2024).
_TYPICAL_LOG_MEDIAN, _TYPICAL_LOG_STD = -1.25, 1.0
# Each lengthscale deviates from the typical one by a Student t factor: close to it unless the
# observations say otherwise clearly. Independent priors fit noise in ten dimensions and more.
_DEVIATION_SCALE, _DEVIATION_FREEDOM = 0.3, 3.0
_NOISE_LOG_MEDIAN, _NOISE_LOG_STD = -8.0, 3.0
# A smooth outcome is a small part of a function that varies far more beyond what was seen of it.
# It never varies less than the outcomes do: noise took the place of the signal on plateaus, and the
# search was drawn nowhere any more (Ackley in ten dimensions: 19.9 against 8.5).
_SIGNAL_LOG_STD, _MAX_LOG_SIGNAL = 1.0, 6.0


@dataclass(frozen=True)
class Hyperparameters:
    """What is fitted for one outcome.

    Attributes:
        lengthscales: One per column of `X`, (d,), in unit-cube units.
        noise: Variance of an observation without a stated error, in standardised units.
        warp: Compression of bad outcomes.
        signal: Variance of the outcome around its mean, in standardised units.
        smoothness: Of the kernel.
    """

    lengthscales: FloatArray
    noise: float
    warp: Warp = field(default_factory=Warp)
    signal: float = 1.0
    smoothness: float = ROUGH


def standard(y: FloatArray) -> tuple[float, float]:
    """Return location and scale that standardise outcomes y, (n,); a constant has scale 1."""
    location = float(np.mean(y))
    scale = float(np.std(y))
    # A constant outcome has no scale; rounding of the mean must not be taken for one.
    if not scale > 1e-12 * abs(location):
        scale = abs(location) or 1.0
    return location, scale


def noise_of(relative_sem: FloatArray, inferred: float) -> FloatArray:
    """Return the variance of each observation from its standard error, NaN where inferred."""
    stated = np.maximum(relative_sem**2, MIN_NOISE)
    return np.where(np.isnan(relative_sem), inferred, stated)


class LogPosterior:
    """Negative log posterior density of the logarithms of hyper-parameters, with its gradient.

    Args:
        X: Observed points, (n, d).
        y: Outcomes, (n,), already warped.
        sem: Standard errors, (n,), NaN where the noise is to be inferred.
        categorical: Columns of X without an order.
        smoothness: Of the kernel.
    """

    def __init__(
        self,
        X: FloatArray,
        y: FloatArray,
        sem: FloatArray,
        categorical: tuple[int, ...] = (),
        smoothness: float = ROUGH,
    ) -> None:
        location, scale = standard(y)
        self.d = X.shape[1]
        self._targets = (y - location) / scale
        self._sem = sem / scale
        self._is_inferred = np.isnan(sem)
        features = Features.of(X, categorical)
        self._F = features(X) * scale_of(smoothness)
        self._group = features.group
        self._typical = _TYPICAL_LOG_MEDIAN + 0.5 * math.log(self.d)
        self._smoothness = smoothness
        self.scale = scale
        self._reserve(len(y))

    def _reserve(self, n: int) -> None:
        """Reserve what every call writes over."""
        self._work = np.empty((4, n, n))

    def start(self, lengthscale: float, noise: float) -> FloatArray:
        """Return a point of the search, (d + 3,).

        It is laid out as d lengthscales, noise, signal, typical lengthscale.
        """
        log_scale = math.log(lengthscale)
        return np.append(np.full(self.d, log_scale), [math.log(noise), 0.0, log_scale])

    def __call__(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Return value and gradient (d + 3,) at `theta`, laid out as by `start`."""
        from scipy.linalg.lapack import dpotrf, dpotri, dpotrs

        d, n, y = self.d, len(self._targets), self._targets
        inferred, signal = math.exp(theta[d]), math.exp(theta[d + 1])
        Z = self._F * np.exp(-theta[:d])[self._group]
        S = square_distances(Z, Z, self._work[0])
        S.flat[:: n + 1] = 0.0
        K, slope = matern(S, self._smoothness, (self._work[1], self._work[2]))
        K *= signal
        K += MEAN_VARIANCE
        noise = noise_of(self._sem, inferred) + 1e-10
        K.flat[:: n + 1] += noise
        # The transposed view is in the order of columns, so that LAPACK works in place.
        L, failed = dpotrf(K.T, lower=1, clean=1, overwrite_a=1)
        if failed:
            return 1e25, np.zeros_like(theta)
        value = float(np.sum(np.log(L.flat[:: n + 1])))
        alpha, _ = dpotrs(L, y, lower=1)
        value += 0.5 * float(y @ alpha)
        half, _ = dpotri(L, lower=1, overwrite_c=1)
        # `half` is one triangle of the inverse; with it doubled, sums over all pairs are the same.
        inverse = half.T
        diagonal = inverse.diagonal().copy()
        total = 2.0 * float(inverse.sum()) - float(diagonal.sum())
        # W = alpha alpha^T - K^-1, and G = W times the slope of the kernel
        inverse *= -2.0
        inverse += np.multiply.outer(alpha, alpha, out=self._work[3])
        slope *= inverse
        # sum_ab G_ab (z_a - z_b)^2 without an array of n * n * d entries
        sums = slope.sum(axis=0) + slope.sum(axis=1)
        per_feature = sums @ (Z * Z) - 2.0 * np.einsum("ij,ij->j", Z, slope @ Z)
        gradient = np.empty_like(theta)
        gradient[:d] = np.bincount(self._group, weights=per_feature, minlength=d)
        gradient[:d] *= -0.5 * signal
        on_diagonal = alpha * alpha - diagonal
        gradient[d] = -0.5 * inferred * float(on_diagonal @ self._is_inferred)
        # sum(W * K) = y.alpha - n, of which mean and noise have their parts
        of_mean = MEAN_VARIANCE * (float(alpha.sum()) ** 2 - total)
        gradient[d + 1] = -0.5 * (float(y @ alpha) - n - of_mean - float(noise @ on_diagonal))
        gradient[d + 2] = 0.0
        return value + self._add_prior(theta, gradient), gradient

    def _add_prior(self, theta: FloatArray, gradient: FloatArray) -> float:
        """Return the negative log prior density, up to a constant; its gradient is added."""
        d, nu = self.d, _DEVIATION_FREEDOM
        noise, signal, typical = theta[d:].tolist()
        z_noise = (noise - _NOISE_LOG_MEDIAN) / _NOISE_LOG_STD
        z_signal = signal / _SIGNAL_LOG_STD
        z_typical = (typical - self._typical) / _TYPICAL_LOG_STD
        t = (theta[:d] - typical) / _DEVIATION_SCALE
        heavy = nu + t * t
        pull = (nu + 1.0) / _DEVIATION_SCALE * t / heavy
        gradient[:d] += pull
        gradient[d] += z_noise / _NOISE_LOG_STD
        gradient[d + 1] += z_signal / _SIGNAL_LOG_STD
        gradient[d + 2] += z_typical / _TYPICAL_LOG_STD - float(pull.sum())
        value = 0.5 * (nu + 1.0) * float(np.log(heavy / nu).sum())
        return value + 0.5 * float(z_noise**2 + z_signal**2 + z_typical**2)


@dataclass(frozen=True)
class Mode:
    """Where a search for hyper-parameters ended.

    Attributes:
        theta: Laid out as by `LogPosterior.start`.
        smoothness: Of the kernel.
        is_warped: Whether the outcomes were compressed.
        value: Negative log posterior density, of the outcomes on the scale of the warp.
        scale: Scale that standardised them.
        curvature: Of `value` by `theta`; None if unknown.
        n: Number of observations that it belongs to.
    """

    theta: FloatArray
    smoothness: float
    is_warped: bool
    value: float = math.inf
    scale: float = 1.0
    curvature: FloatArray | None = None
    n: int = 0


@dataclass(frozen=True)
class Evidence(Sample):
    """A sample that hyper-parameters are judged by."""

    def __len__(self) -> int:
        return len(self.y)

    def first(self, k: int) -> Evidence:
        """Return that of the first k observations."""
        return self._of(slice(k))

    def evenly(self, k: int) -> Evidence:
        """Return that of k observations, evenly selected, or of all."""
        n = len(self)
        return self if n <= k else self._of(np.linspace(0, n - 1, k).round().astype(np.intp))

    def _of(self, rows: NDArray[np.intp] | slice) -> Evidence:
        kept = self.X[rows], self.y[rows], self.sem[rows]
        return Evidence(*kept, self.categorical, self.pivot_floor, self.device)

    def warp(self) -> Warp:
        """Return the compression to try; the identity where there is nothing to compress."""
        return compression(self.y, self.pivot_floor) or Warp()

    def posterior(self, smoothness: float, warp: Warp) -> LogPosterior:
        """Return the density of hyper-parameters of a kernel, after compression."""
        sem = self.sem * warp.slope(self.y)
        given = self.X, warp(self.y), sem, self.categorical, smoothness
        if self.device is None or len(self) <= ON_DEVICE_FROM:
            return LogPosterior(*given)
        from materia.engine.surrogates.torch_density import TorchLogPosterior

        return TorchLogPosterior(*given, device=self.device)

    def descend(self, begin: Mode, options: Mapping[str, Any]) -> Mode:
        """Return where a search ends that begins at a mode of similar observations."""
        warp = self.warp() if begin.is_warped else Warp()
        posterior = self.posterior(begin.smoothness, warp)
        # Each observation adds its share of curvature.
        known = begin.curvature
        curvature = None if known is None else known * (len(self) / begin.n)
        low, high = _bounds(posterior.d)
        found = descend(posterior, begin.theta, low, high, curvature, **options)
        return Mode(
            found.x,
            begin.smoothness,
            begin.is_warped,
            found.value,
            posterior.scale,
            found.curvature,
            len(self),
        )

    def explored(self) -> Mode:
        """Return the best mode of three starts, three kernels, with a warp and without."""
        d = self.X.shape[1]
        rough = self.posterior(ROUGH, Warp())
        typical = 0.4 * math.sqrt(d)
        # What is it: smooth, rough, or noisy?
        starts = (rough.start(typical, 1e-4), rough.start(0.2, 1e-5), rough.start(typical, 0.1))
        modes = [self.descend(Mode(start, ROUGH, False), _EXPLORING) for start in starts]
        best = min(modes, key=lambda mode: mode.value)
        smooth = self.descend(replace(best, smoothness=SMOOTH), _EXPLORING)
        best = min(best, smooth, key=lambda mode: mode.value)
        warp = self.warp()
        if warp.is_identity:
            return self._smoothest(best)
        bent = self.descend(replace(best, is_warped=True), _EXPLORING)
        # Densities of y itself: standardisation and warp both enter by their derivatives.
        change = len(self) * math.log(bent.scale / best.scale)
        change -= float(np.sum(np.log(warp.slope(self.y))))
        is_bent = bent.value + change < best.value - _WARP_MARGIN
        return bent if is_bent else self._smoothest(best)

    def _smoothest(self, best: Mode) -> Mode:
        """Return the mode of the squared exponential kernel where it is clearly better.

        Only outcomes that are smooth already and not bent can be as smooth as that.
        """
        if best.smoothness != SMOOTH:
            return best
        analytic = self.descend(replace(best, smoothness=ANALYTIC), _EXPLORING)
        return analytic if analytic.value < best.value - _ANALYTIC_MARGIN else best


def most_probable(evidence: Evidence) -> Hyperparameters:
    """Return the hyper-parameters at the mode of their posterior density.

    Costs O(n^3) per step of the search.
    """
    n = len(evidence)
    earlier = evidence.first(_checkpoint(n)).evenly(_MANY)
    arrays = (part.tobytes() for part in (earlier.X, earlier.y, earlier.sem))
    d, others = evidence.X.shape[1], (evidence.categorical, evidence.pivot_floor)
    mode = _explored(*arrays, d, *others)
    if n > _MANY:
        mode = evidence.evenly(_MANY).descend(mode, _FINISHING)
    mode = evidence.descend(mode, _FINISHING if n <= _MANY else _FEW_STEPS)
    return Hyperparameters(
        np.exp(mode.theta[:d]),
        math.exp(mode.theta[d]),
        evidence.warp() if mode.is_warped else Warp(),
        math.exp(mode.theta[d + 1]),
        mode.smoothness,
    )


def _checkpoint(n: int) -> int:
    """Return how many of n observations are explored with."""
    reached = float(_FIRST)
    if n < reached:
        return n
    while int(reached * _GROWTH) <= n:
        reached *= _GROWTH
    return int(reached)


@lru_cache(maxsize=64)
def _explored(
    X: bytes, y: bytes, sem: bytes, d: int, categorical: tuple[int, ...], pivot_floor: float
) -> Mode:
    """Return the mode of observations that is found without any other; asked for again and again.

    Of many observations a selection is explored, and the search goes on with all.
    """
    points = np.frombuffer(X).reshape(-1, d)
    evidence = Evidence(points, np.frombuffer(y), np.frombuffer(sem), categorical, pivot_floor)
    mode = evidence.evenly(_EXPLORED).explored()
    return mode if len(evidence) <= _EXPLORED else evidence.descend(mode, _FINISHING)


def _bounds(d: int) -> tuple[FloatArray, FloatArray]:
    """Return the least and the greatest hyper-parameters, each (d + 3,)."""
    low, high = np.full(d + 3, math.log(5e-3)), np.full(d + 3, math.log(1e3))
    low[d : d + 2] = math.log(MIN_NOISE), 0.0
    high[d : d + 2] = math.log(MAX_NOISE), _MAX_LOG_SIGNAL
    return low, high
