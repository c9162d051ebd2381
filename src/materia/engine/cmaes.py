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


@dataclass(frozen=True)
class Strategy:
    """Constants of CMA-ES (tutorial, table 1)."""

    weights: FloatArray
    mu_eff: float
    c_sigma: float
    d_sigma: float
    c_c: float
    c_1: float
    c_mu: float
    chi: float

    @classmethod
    def of(cls, d: int, n_offspring: int) -> Strategy:
        """Return the constants for d dimensions and a population of `n_offspring`."""
        n_parents = n_offspring // 2
        weights = math.log((n_offspring + 1) / 2) - np.log(np.arange(1, n_parents + 1))
        weights /= weights.sum()
        mu_eff = float(1.0 / np.sum(weights**2))
        c_sigma = (mu_eff + 2) / (d + mu_eff + 5)
        c_1 = 2 / ((d + 1.3) ** 2 + mu_eff)
        return cls(
            weights=weights,
            mu_eff=mu_eff,
            c_sigma=c_sigma,
            d_sigma=1 + 2 * max(0.0, math.sqrt((mu_eff - 1) / (d + 1)) - 1) + c_sigma,
            c_c=(4 + mu_eff / d) / (d + 4 + 2 * mu_eff / d),
            c_1=c_1,
            c_mu=min(1 - c_1, 2 * (mu_eff - 2 + 1 / mu_eff) / ((d + 2) ** 2 + mu_eff)),
            chi=math.sqrt(d) * (1 - 1 / (4 * d) + 1 / (21 * d * d)),
        )


def maximise(
    function: Callable[[FloatArray], FloatArray],
    repair: Callable[[FloatArray], FloatArray],
    starts: FloatArray,
    rng: np.random.Generator,
    *,
    sigma: float = 0.1,
    n_generations: int = 50,
    n_offspring: int | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return the best point that each run met, (r, d), and its value, (r,).

    Args:
        function: Values (n,) of repaired points (n, d); larger is better, -inf is the worst.
        repair: Allowed points near any points, (n, d): bounds, steps, totals, constraints.
        starts: Where the runs begin, (r, d), allowed points.
        rng: Source of all randomness.
        sigma: First step size, in unit-cube units.
        n_generations: Length of every run.
        n_offspring: Population of one run; by default 4 + 3 log d.
    """
    r, d = starts.shape
    n_offspring = n_offspring or max(6, 4 + int(3 * math.log(d)))
    s = Strategy.of(d, n_offspring)
    m, sigmas = starts.copy(), np.full(r, sigma)
    C = np.broadcast_to(np.eye(d), (r, d, d)).copy()
    B, D = C.copy(), np.ones((r, d))
    p_c, p_sigma = np.zeros((r, d)), np.zeros((r, d))
    best, best_values = starts.copy(), function(starts)
    n_lazy = max(1, int(1 / (10 * d * (s.c_1 + s.c_mu))))
    runs = np.arange(r)
    for generation in range(n_generations):
        z = rng.standard_normal((r, n_offspring, d))
        y = (z * D[:, None]) @ B.transpose(0, 2, 1)
        x = m[:, None] + sigmas[:, None, None] * y
        allowed = repair(x.reshape(-1, d))
        values = function(allowed)
        # Repaired points are judged, but the way back to them costs: runs stay near the region.
        far = np.sum((x.reshape(-1, d) - allowed) ** 2, axis=1)
        merit = (values - _OUTSIDE_WEIGHT * far).reshape(r, n_offspring)
        values, allowed = values.reshape(r, n_offspring), allowed.reshape(r, n_offspring, d)
        top = np.argmax(values, axis=1)
        is_better = values[runs, top] > best_values
        best[is_better] = allowed[runs, top][is_better]
        best_values[is_better] = values[runs, top][is_better]

        order = np.argsort(-merit, axis=1, kind="stable")[:, : len(s.weights)]
        y_parents = y[runs[:, None], order]
        y_w = np.einsum("i,rid->rd", s.weights, y_parents)
        m = m + sigmas[:, None] * y_w
        whitened = (B @ ((B.transpose(0, 2, 1) @ y_w[:, :, None]) / D[:, :, None]))[:, :, 0]
        p_sigma = (1 - s.c_sigma) * p_sigma + math.sqrt(
            s.c_sigma * (2 - s.c_sigma) * s.mu_eff
        ) * whitened
        length = np.sqrt(np.sum(p_sigma**2, axis=1))
        expected = math.sqrt(1 - (1 - s.c_sigma) ** (2 * (generation + 1)))
        h = (length / expected < (1.4 + 2 / (d + 1)) * s.chi).astype(np.float64)
        p_c = (1 - s.c_c) * p_c + (h * math.sqrt(s.c_c * (2 - s.c_c) * s.mu_eff))[:, None] * y_w
        rank_mu = (y_parents * s.weights[:, None]).transpose(0, 2, 1) @ y_parents
        rank_one = p_c[:, :, None] * p_c[:, None, :]
        lost = (1 - h) * s.c_c * (2 - s.c_c)
        C = (
            (1 - s.c_1 - s.c_mu + s.c_1 * lost)[:, None, None] * C
            + s.c_1 * rank_one
            + s.c_mu * rank_mu
        )
        sigmas = sigmas * np.exp(np.minimum(1.0, s.c_sigma / s.d_sigma * (length / s.chi - 1)))
        sigmas = np.clip(sigmas, 1e-12, 1.0)
        if (generation + 1) % n_lazy == 0:
            eigenvalues, B = np.linalg.eigh(0.5 * (C + C.transpose(0, 2, 1)))
            D = np.sqrt(np.maximum(eigenvalues, 1e-20))
    return best, best_values
