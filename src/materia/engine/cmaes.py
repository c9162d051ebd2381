"""Search of a function over the unit cube by CMA-ES, several runs in lock step.

N. Hansen, "The CMA evolution strategy: a tutorial", arXiv:1604.00772, with its symbols. All runs
share one vectorised call of the function per generation, which is what a surrogate's posterior
likes: a call for 50 points costs hardly more than a call for one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_OUTSIDE_WEIGHT = 10.0
# A search ends early when no run gained this much in this many generations.
_STALL_GAIN, _STALL_GENERATIONS = 1e-4, 15


# Beyond so many dimensions a full covariance is neither learnt in time nor cheap.
_MAX_FULL = 30


@dataclass(frozen=True)
class Strategy:
    """Constants of CMA-ES (tutorial, table 1).

    With a diagonal covariance the learning rates are (d + 2) / 3 times higher: R. Ros and N.
    Hansen, "A simple modification in CMA-ES achieving linear time and space complexity", 2008.
    """

    n_offspring: int
    is_diagonal: bool
    weights: FloatArray
    mu_eff: float
    c_sigma: float
    d_sigma: float
    c_c: float
    c_1: float
    c_mu: float
    chi: float

    @classmethod
    def of(cls, d: int) -> Strategy:
        """Return the constants for d dimensions."""
        n_offspring = max(6, 4 + int(3 * math.log(d)))
        n_parents = n_offspring // 2
        weights = math.log((n_offspring + 1) / 2) - np.log(np.arange(1, n_parents + 1))
        weights /= weights.sum()
        mu_eff = float(1.0 / np.sum(weights**2))
        c_sigma = (mu_eff + 2) / (d + mu_eff + 5)
        faster = (d + 2) / 3 if d > _MAX_FULL else 1.0
        c_1 = min(0.5, faster * 2 / ((d + 1.3) ** 2 + mu_eff))
        c_mu = faster * 2 * (mu_eff - 2 + 1 / mu_eff) / ((d + 2) ** 2 + mu_eff)
        return cls(
            n_offspring=n_offspring,
            is_diagonal=d > _MAX_FULL,
            weights=weights,
            mu_eff=mu_eff,
            c_sigma=c_sigma,
            d_sigma=1 + 2 * max(0.0, math.sqrt((mu_eff - 1) / (d + 1)) - 1) + c_sigma,
            c_c=(4 + mu_eff / d) / (d + 4 + 2 * mu_eff / d),
            c_1=c_1,
            c_mu=min(1 - c_1, c_mu),
            chi=math.sqrt(d) * (1 - 1 / (4 * d) + 1 / (21 * d * d)),
        )


class Runs:
    """r independent runs of CMA-ES that move one generation at a time.

    Args:
        starts: Means to begin with, (r, d).
        sigma: First step size of all runs.
    """

    def __init__(self, starts: FloatArray, sigma: float) -> None:
        r, d = starts.shape
        self._s = Strategy.of(d)
        self._m, self._sigma = starts.copy(), np.full(r, sigma)
        self._p_c, self._p_sigma = np.zeros((r, d)), np.zeros((r, d))
        self._D = np.ones((r, d))
        # A diagonal covariance is kept as its diagonal, (r, d), and needs no B.
        identity = np.broadcast_to(np.eye(d), (r, d, d)) if not self._s.is_diagonal else self._D
        self._C, self._B = identity.copy(), identity.copy()
        self._generation = 0

    def sample(self, rng: np.random.Generator) -> FloatArray:
        """Return the offspring of all runs, (r, n_offspring, d)."""
        r, d = self._m.shape
        steps = rng.standard_normal((r, self._s.n_offspring, d)) * self._D[:, None]
        if not self._s.is_diagonal:
            steps = steps @ self._B.transpose(0, 2, 1)
        self._y = steps
        return self._m[:, None] + self._sigma[:, None, None] * steps

    def update(self, merit: FloatArray) -> None:
        """Move every run towards its best offspring.

        Args:
            merit: Of the last offspring, (r, n_offspring); larger is better.
        """
        s = self._s
        self._generation += 1
        order = np.argsort(-merit, axis=1, kind="stable")[:, : len(s.weights)]
        self._move(np.take_along_axis(self._y, order[:, :, None], axis=1))

    def learn(self, X: FloatArray) -> None:
        """Move the only run towards the best of points (n, d) given from best to worst.

        They need not be its own offspring; steps longer than any of those are shortened, as N.
        Hansen does with injected points (arXiv:1110.4181).
        """
        d, n_parents = X.shape[1], len(self._s.weights)
        y = (X[:n_parents] - self._m) / self._sigma[:, None]
        white = y / self._D if self._s.is_diagonal else y @ self._B[0] / self._D
        length = np.sqrt(np.sum(white**2, axis=1, keepdims=True))
        longest = math.sqrt(d) + 2.0 * d / (d + 2.0)
        self._generation += 1
        self._move((y * np.minimum(1.0, longest / np.maximum(length, 1e-300)))[None])

    @property
    def n_offspring(self) -> int:
        """Offspring of each run in a generation."""
        return self._s.n_offspring

    def _move(self, y: FloatArray) -> None:
        """Update everything from the steps of the parents, best first, (r, mu, d)."""
        s, d = self._s, self._m.shape[1]
        y_w = np.einsum("i,rid->rd", s.weights, y)
        self._m = self._m + self._sigma[:, None] * y_w
        pace = math.sqrt(s.c_sigma * (2 - s.c_sigma) * s.mu_eff)
        self._p_sigma = (1 - s.c_sigma) * self._p_sigma + pace * self._whiten(y_w)
        length = np.sqrt(np.sum(self._p_sigma**2, axis=1))
        expected = math.sqrt(1 - (1 - s.c_sigma) ** (2 * self._generation))
        h = (length / expected < (1.4 + 2 / (d + 1)) * s.chi).astype(np.float64)
        pace = math.sqrt(s.c_c * (2 - s.c_c) * s.mu_eff)
        self._p_c = (1 - s.c_c) * self._p_c + (h * pace)[:, None] * y_w
        self._adapt(y, 1 - s.c_1 - s.c_mu + s.c_1 * (1 - h) * s.c_c * (2 - s.c_c))
        growth = np.minimum(1.0, s.c_sigma / s.d_sigma * (length / s.chi - 1))
        self._sigma = np.clip(self._sigma * np.exp(growth), 1e-12, 1.0)

    def _whiten(self, y_w: FloatArray) -> FloatArray:
        if self._s.is_diagonal:
            return np.asarray(y_w / self._D)
        inner = (self._B.transpose(0, 2, 1) @ y_w[:, :, None]) / self._D[:, :, None]
        return np.asarray((self._B @ inner)[:, :, 0])

    def _adapt(self, y: FloatArray, kept: FloatArray) -> None:
        """Update the covariance from parents' steps (r, mu, d), keeping a share (r,) of it."""
        s = self._s
        if s.is_diagonal:
            rank_mu = np.einsum("i,rid->rd", s.weights, y * y)
            self._C = kept[:, None] * self._C + s.c_1 * self._p_c**2 + s.c_mu * rank_mu
            self._D = np.sqrt(np.maximum(self._C, 1e-20))
            return
        weighted = (y * s.weights[:, None]).transpose(0, 2, 1)
        rank_one = self._p_c[:, :, None] * self._p_c[:, None, :]
        self._C = kept[:, None, None] * self._C + s.c_1 * rank_one + s.c_mu * (weighted @ y)
        eigenvalues, self._B = np.linalg.eigh(0.5 * (self._C + self._C.transpose(0, 2, 1)))
        self._D = np.sqrt(np.maximum(eigenvalues, 1e-20))


def maximise(
    function: Callable[[FloatArray], FloatArray],
    repair: Callable[[FloatArray], FloatArray],
    starts: FloatArray,
    rng: np.random.Generator,
    *,
    sigma: float = 0.1,
    n_generations: int = 100,
) -> tuple[FloatArray, FloatArray]:
    """Return the best point that each run met, (r, d), and its value, (r,).

    Args:
        function: Values (n,) of repaired points (n, d); larger is better, -inf is the worst.
        repair: Allowed points near any points, (n, d): bounds, steps, totals, constraints.
        starts: Where the runs begin, (r, d), allowed points.
        rng: Source of all randomness.
        sigma: First step size, in unit-cube units.
        n_generations: Most generations of every run.
    """
    r, d = starts.shape
    runs, rows = Runs(starts, sigma), np.arange(r)
    best, best_values = starts.copy(), function(starts)
    last_gain, gained = 0, best_values.copy()
    for generation in range(n_generations):
        x = runs.sample(rng)
        allowed = repair(x.reshape(-1, d))
        values = function(allowed).reshape(r, -1)
        allowed = allowed.reshape(x.shape)
        top = np.argmax(values, axis=1)
        is_better = values[rows, top] > best_values
        best[is_better] = allowed[rows, top][is_better]
        best_values[is_better] = values[rows, top][is_better]
        if np.any(best_values > gained + _STALL_GAIN):
            last_gain, gained = generation, best_values.copy()
        if generation - last_gain >= _STALL_GENERATIONS:
            break
        # Repaired points are judged, but the way back to them costs: runs stay near the region.
        runs.update(values - _OUTSIDE_WEIGHT * np.sum((x - allowed) ** 2, axis=2))
    return best, best_values
