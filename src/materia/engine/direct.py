"""Evolution without a surrogate, for evaluators so cheap that a model would cost more.

One objective: CMA-ES (N. Hansen, arXiv:1604.00772). Several: MO-CMA-ES (C. Igel, N. Hansen, S.
Roth, "Covariance matrix adaptation for multi-objective optimization", Evol. Comput. 15, 2007).
Nothing is remembered between calls: the evolution is replayed from what was told, generation by
generation, in the order of asking.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine.cmaes import Runs, Strategy
from materia.engine.objectives import Objectives
from materia.engine.pareto import is_non_dominated
from materia.engine.reachable import Key, Params, Reachable, key_of
from materia.engine.space import SearchSpace

FloatArray = NDArray[np.float64]

_SIGMA = 0.2
_MIN_POPULATION = 10
_MAX_TRIALS = 20
# Success rule of the (1+1)-CMA-ES.
_TARGET, _THRESHOLD = 1.0 / 5.5, 0.44


@dataclass(frozen=True)
class Told:
    """What the evolution starts from, or a generation of it.

    Attributes:
        X: Evaluated points, (n, d).
        Y: Minimised outcomes, (n, m), infinite where an evaluation failed.
        penalty: (n,), 0 where every constraint holds; points with less of it come first.
    """

    X: FloatArray
    Y: FloatArray
    penalty: FloatArray

    @classmethod
    def of(
        cls,
        answers: Sequence[tuple[Params, Mapping[str, Any] | None]],
        space: SearchSpace,
        objectives: Objectives,
    ) -> Told:
        """Return params with their outcomes, None where an evaluation failed."""
        means, _ = objectives.arrays([outcomes or {} for _, outcomes in answers])
        Y = objectives.minimised(means)
        is_broken = ~objectives.is_feasible(means)
        return cls(
            space.encode([params for params, _ in answers]),
            np.where(np.isnan(Y), np.inf, Y),
            is_broken.astype(np.float64),
        )

    def equals(self, other: Told) -> bool:
        """Return whether both hold the same."""
        pairs = ((self.X, other.X), (self.Y, other.Y), (self.penalty, other.penalty))
        return all(np.array_equal(a, b) for a, b in pairs)

    def rows(self, rows: slice) -> Told:
        """Return some of it."""
        return Told(self.X[rows], self.Y[rows], self.penalty[rows])


NAMES = ("cma-es", "mo-cma-es")
"""Sources of candidates that an evolution asked."""


def population_size(d: int, m: int, batch_size: int) -> int:
    """Return how many points make a generation."""
    return max(batch_size, Strategy.of(d).n_offspring if m == 1 else _MIN_POPULATION)


def ranked(told: Told) -> NDArray[np.intp]:
    """Return the rows from best to worst: less penalty, earlier front, more hypervolume alone."""
    if told.Y.shape[1] == 1:
        return np.lexsort((told.Y[:, 0], told.penalty, np.isinf(told.Y[:, 0])))
    order: list[int] = []
    left = np.arange(len(told.X))
    key = told.penalty + np.where(np.isfinite(told.Y).all(axis=1), 0.0, np.inf)
    for level in np.unique(key):
        group = left[key[left] == level]
        while len(group):
            Y = told.Y[group]
            is_front = is_non_dominated(np.where(np.isfinite(Y), Y, 1e300))
            front = group[is_front]
            order += [int(row) for row in front[_by_contribution(told.Y[front])]]
            group = group[~is_front]
    return np.array(order, dtype=np.intp)


def _by_contribution(Y: FloatArray) -> NDArray[np.intp]:
    """Return rows of a front, those first that add most to its hypervolume; the ends lead."""
    if Y.shape[1] == 1 or len(Y) < 3 or not np.isfinite(Y).all():
        return np.arange(len(Y))
    import moocore

    low, span = Y.min(axis=0), np.ptp(Y, axis=0)
    scaled = (Y - low) / np.where(span > 0, span, 1.0)
    contributions = moocore.hv_contributions(scaled, ref=np.full(Y.shape[1], 1.0 + 1.0 / len(Y)))
    contributions[np.argmin(scaled, axis=0)] = np.inf
    return np.argsort(-contributions, kind="stable")


class Evolution:
    """CMA-ES of one objective.

    Args:
        start: Points to begin with, n >= 1.
        n: Points of a generation.
    """

    name = "cma-es"

    def __init__(self, start: Told, n: int) -> None:
        best = start.X[ranked(start)[0]]
        self._runs = Runs(best[None], _SIGMA)
        self._n = n

    def offspring(self, rng: np.random.Generator) -> FloatArray:
        """Return a generation, (n, d), which may lie outside of what is allowed."""
        blocks = -(-self._n // self._runs.n_offspring)
        return np.vstack([self._runs.sample(rng)[0] for _ in range(blocks)])[: self._n]

    def learn(self, told: Told) -> None:
        """Take in a generation."""
        self._runs.learn(told.X[ranked(told)])


class SeveralEvolution:
    """MO-CMA-ES: a population of (1+1) strategies that are selected together.

    Args:
        start: Points to begin with, n >= 1.
        n: Points of the population, and of a generation.
    """

    name = "mo-cma-es"

    def __init__(self, start: Told, n: int) -> None:
        chosen = ranked(start)[:n]
        chosen = np.resize(chosen, n)
        d = start.X.shape[1]
        self._told = Told(start.X[chosen], start.Y[chosen], start.penalty[chosen])
        self._sigma, self._success = np.full(n, _SIGMA), np.full(n, _TARGET)
        self._path, self._C = np.zeros((n, d)), np.tile(np.eye(d), (n, 1, 1))

    def offspring(self, rng: np.random.Generator) -> FloatArray:
        """Return one point for each of the population, (n, d)."""
        n, d = self._told.X.shape
        steps = np.linalg.cholesky(self._C) @ rng.standard_normal((n, d, 1))
        return np.asarray(self._told.X + self._sigma[:, None] * steps[:, :, 0])

    def learn(self, told: Told) -> None:
        """Take in a generation: select among it and its parents, and adapt both."""
        n, d = self._told.X.shape
        both = Told(
            np.vstack([self._told.X, told.X]),
            np.vstack([self._told.Y, told.Y]),
            np.append(self._told.penalty, told.penalty),
        )
        order = ranked(both)
        place = np.empty(2 * n, dtype=np.intp)
        place[order] = np.arange(2 * n)
        is_success = place[n:] < place[:n]
        step = (told.X - self._told.X) / self._sigma[:, None]
        # A parent may have moved since an offspring was made: no step is longer than it can be.
        length = np.sqrt(np.sum(step**2, axis=1, keepdims=True))
        step = step * np.minimum(1.0, 3.0 * math.sqrt(d) / np.maximum(length, 1e-300))
        pace = _TARGET / (2.0 + _TARGET)
        success = (1 - pace) * self._success + pace * is_success
        damping = (1.0 + d / 2.0) * (1 - _TARGET)
        sigma = np.clip(self._sigma * np.exp((success - _TARGET) / damping), 1e-12, 1.0)
        path, C = self._adapted(step, success)
        kept = order[:n]
        self._told = Told(both.X[kept], both.Y[kept], both.penalty[kept])
        self._sigma = np.tile(sigma, 2)[kept]
        self._success = np.tile(success, 2)[kept]
        self._path = np.vstack([self._path, path])[kept]
        self._C = np.concatenate([self._C, C])[kept]

    def _adapted(self, step: FloatArray, success: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return evolution paths (n, d) and covariances (n, d, d) of the offspring."""
        d = step.shape[1]
        c_path, c_cov = 2.0 / (d + 2.0), 2.0 / (d * d + 6.0)
        is_slow = (success < _THRESHOLD)[:, None]
        gain = math.sqrt(c_path * (2 - c_path))
        path = (1 - c_path) * self._path + np.where(is_slow, gain * step, 0.0)
        outer = path[:, :, None] * path[:, None, :]
        lost = np.where(is_slow[:, :, None], 0.0, c_path * (2 - c_path))
        return path, (1 - c_cov) * self._C + c_cov * (outer + lost * self._C)


@dataclass(frozen=True)
class Replayed:
    """An evolution with what it was told, so that it need not begin anew."""

    start: Told
    told: Told
    evolution: Evolution | SeveralEvolution

    def goes_on_with(self, start: Told, told: Told) -> bool:
        """Return whether this is the beginning of a replay."""
        k = len(self.told.X)
        return self.start.equals(start) and self.told.equals(told.rows(slice(0, k)))


def replay(start: Told, told: Told, n: int, known: Replayed | None = None) -> Replayed:
    """Return the evolution after all whole generations of what was told, in order of asking.

    Args:
        start: Points of the initial design, and earlier data.
        told: Points that the evolution asked, answered without a gap.
        n: Points of a generation.
        known: An earlier replay, used up when this one goes on from it.
    """
    n_learnt = len(told.X) - len(told.X) % n
    told = told.rows(slice(0, n_learnt))
    if known is not None and known.goes_on_with(start, told):
        evolution, begin = known.evolution, len(known.told.X)
    else:
        kind = Evolution if start.Y.shape[1] == 1 else SeveralEvolution
        evolution, begin = kind(start, n), 0
    for first in range(begin, n_learnt, n):
        evolution.learn(told.rows(slice(first, first + n)))
    return Replayed(start, told, evolution)


def proposed(
    evolution: Evolution | SeveralEvolution,
    reachable: Reachable,
    n: int,
    place: int,
    taken: Set[Key],
    rng: np.random.Generator,
) -> list[Params]:
    """Return the next n points of a generation that are allowed and not taken.

    Points beside what is allowed are moved there. Where only taken ones are found, as in a small
    finite space, points of the design come instead; fewer when nothing is left.

    Args:
        evolution: Makes offspring.
        reachable: What may be asked.
        n: How many.
        place: Of the first one within its generation.
        taken: Keys of points that are not asked again.
        rng: Source of all randomness.
    """
    taken, points = set(taken), list[Params]()
    for _ in range(_MAX_TRIALS):
        X = evolution.offspring(rng)
        rows = (place + len(points) + np.arange(len(X))) % len(X)
        X = reachable.constraints.repair(np.clip(X[rows], 0.0, 1.0))
        for params in reachable.space.decode(X):
            if len(points) < n and key_of(params) not in taken and reachable.allows(params):
                taken.add(key_of(params))
                points.append(params)
        if len(points) == n:
            return points
    return points + reachable.design(n - len(points), taken)
