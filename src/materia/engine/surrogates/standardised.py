"""Turns something that learns standardised outcomes into a kind of surrogate.

The wrapper brings observations into an order of their own (so that the order of telling changes
nothing), compresses a tail of bad outcomes where left-out observations are then predicted better,
standardises, and lets beliefs shrink the uncertainty near them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from materia.engine.diagnostics import log_density
from materia.engine.surrogates.evidence import standard
from materia.engine.surrogates.features import Features
from materia.engine.surrogates.kernels import square_distances
from materia.engine.surrogates.model import Sample
from materia.engine.surrogates.warping import Warp, compression

FloatArray = NDArray[np.float64]

# Log density that a warp must gain before it is preferred to none.
_WARP_MARGIN = 2.0
_LEAST_STD = 1e-3
_BELIEF_NOISE = 1e-3
_MIN_REACH, _MAX_REACH = 0.02, 1.0


class Learnt(Protocol):
    """What was learnt of one standardised outcome. Features are those of `Features`."""

    @property
    def noise(self) -> float:
        """Variance of an observation."""

    def posterior(self, F: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation at features (n, p), each (n,)."""

    def left_out(self) -> tuple[FloatArray, FloatArray]:
        """Return mean and std, noise included, of each observation by what did not see it."""

    def arrays(self) -> dict[str, FloatArray]:
        """Return everything as numbers, for `Learner.restore`."""


class Learner(Protocol):
    """How a standardised outcome is learnt."""

    def learn(
        self, F: FloatArray, t: FloatArray, variances: FloatArray, rng: np.random.Generator
    ) -> Learnt:
        """Return what can be learnt.

        Args:
            F: Features of the observed points, (n, p), n >= 1.
            t: Their outcomes, (n,), of mean 0 and deviation 1 (or all 0).
            variances: Squared standard errors, (n,), NaN where not stated.
            rng: The only source of chance.
        """

    def restore(self, arrays: Mapping[str, FloatArray]) -> Learnt:
        """Return what `Learnt.arrays` described."""


@dataclass(frozen=True)
class StandardisedKind:
    """A kind of surrogate around a learner.

    Attributes:
        learner: How standardised outcomes are learnt.
        version: Of the learner.
        max_observations: As of `Kind`.
    """

    learner: Learner
    version: int
    max_observations: int

    def fit(self, sample: Sample, rng: np.random.Generator) -> StandardisedModel:
        """Return the model without a warp, or with one if that predicts clearly better."""
        plain, bent = rng.spawn(2)
        model = self._fit(sample, Warp(), plain)
        warp = compression(sample.y, sample.pivot_floor)
        if warp is None:
            return model
        other = self._fit(sample, warp, bent)
        gain = float(np.sum(log_density(other)) - np.sum(log_density(model)))
        return other if gain > _WARP_MARGIN else model

    def _fit(self, sample: Sample, warp: Warp, rng: np.random.Generator) -> StandardisedModel:
        scaled = _Scaled.of(sample, warp)
        learnt = self.learner.learn(scaled.F, scaled.targets, scaled.variances, rng)
        return StandardisedModel(sample, scaled, learnt)

    def restore(self, sample: Sample, arrays: Mapping[str, FloatArray]) -> StandardisedModel:
        """Return the model that was fitted to the sample."""
        pivot, scale = (float(value) for value in arrays["warp"])
        scaled = _Scaled.of(sample, Warp(pivot, scale))
        return StandardisedModel(sample, scaled, self.learner.restore(arrays))


@dataclass(frozen=True)
class _Scaled:
    """A sample as learners see it, its rows in an order that follows from their content."""

    warp: Warp
    location: float
    scale: float
    order: NDArray[np.intp]
    features: Features
    F: FloatArray
    targets: FloatArray
    variances: FloatArray

    @classmethod
    def of(cls, sample: Sample, warp: Warp) -> _Scaled:
        order = np.lexsort((sample.sem, sample.y, *sample.X.T))
        X, y, sem = sample.X[order], sample.y[order], sample.sem[order]
        warped = warp(y)
        location, scale = standard(warped)
        features = Features.of(X, sample.categorical)
        variances = (sem * warp.slope(y) / scale) ** 2
        targets = (warped - location) / scale
        return cls(warp, location, scale, order, features, features(X), targets, variances)


@dataclass(frozen=True)
class StandardisedModel:
    """The model of a sample by a learner; see `model.Model`."""

    sample: Sample
    scaled: _Scaled
    learnt: Learnt
    believed: FloatArray | None = None

    @property
    def y(self) -> FloatArray:
        """Observed outcomes, (n,), in the order and unit of the sample."""
        return self.sample.y

    @property
    def warp(self) -> Warp:
        """How bad outcomes are compressed on the scale of `posterior`."""
        return self.scaled.warp

    @property
    def noise(self) -> float:
        """Variance of an observation without a stated error, in standardised units."""
        return self.learnt.noise

    @property
    def lengthscales(self) -> FloatArray:
        """Half the typical distance within the unit cube for every column, (d,)."""
        d = self.sample.X.shape[1]
        return np.full(d, 0.2 * math.sqrt(d))

    def posterior(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of the noise-free, warped outcome, each (n,)."""
        mean, std = self.learnt.posterior(self.scaled.features(X))
        std = np.maximum(std, _LEAST_STD)
        if self.believed is not None:
            std = std * self._uncertain(self.believed, self.scaled.features(X))
        return self.scaled.location + self.scaled.scale * mean, self.scaled.scale * std

    def predict(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of the noise-free outcome in its unit, each (n,)."""
        return self.warp.invert(*self.posterior(X))

    def believe(self, X: FloatArray) -> StandardisedModel:
        """Return the model with less uncertainty around points (k, d); all means stay.

        What is left is the share of a Gaussian process that saw these points alone, and whose
        lengthscale is the usual distance between neighbours among the observations.
        """
        F = self.scaled.features(X)
        known = F if self.believed is None else np.vstack([self.believed, F])
        return replace(self, believed=known)

    def _uncertain(self, believed: FloatArray, F: FloatArray) -> FloatArray:
        """Return the share of the std that beliefs leave at features (n, p), (n,)."""
        reach = self._reach
        own = np.exp(-0.5 * square_distances(believed, believed) / reach**2)
        L = np.linalg.cholesky(own + _BELIEF_NOISE * np.eye(len(own)))
        K = np.exp(-0.5 * square_distances(F, believed) / reach**2)
        explained = np.sum(np.linalg.solve(L, K.T) ** 2, axis=0)
        return np.asarray(np.sqrt(np.maximum(1.0 - explained, _BELIEF_NOISE)))

    @cached_property
    def _reach(self) -> float:
        F = np.unique(self.scaled.F, axis=0)
        if len(F) < 2:
            return _MAX_REACH
        S = square_distances(F, F)
        np.fill_diagonal(S, np.inf)
        nearest = math.sqrt(float(np.median(S.min(axis=1))))
        return min(max(nearest, _MIN_REACH), _MAX_REACH)

    def leave_one_out(self) -> tuple[FloatArray, FloatArray]:
        """Return mean and std of each warped observation by what did not see it, each (n,)."""
        mean, std = (np.empty_like(self.y) for _ in range(2))
        found_mean, found_std = self.learnt.left_out()
        mean[self.scaled.order], std[self.scaled.order] = found_mean, found_std
        return self.scaled.location + self.scaled.scale * mean, self.scaled.scale * std

    def arrays(self) -> dict[str, FloatArray]:
        """Return the warp (2,) and what was learnt."""
        warp = np.array([self.warp.pivot, self.warp.scale])
        return {"warp": warp, **self.learnt.arrays()}


def spread_of(z: FloatArray) -> float:
    """Return by how much standard deviations must grow so that errors z (n,) fit them."""
    return min(max(math.sqrt(float(np.mean(z * z))), 0.5), 5.0) if len(z) else 1.0
