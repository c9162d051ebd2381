"""The next batch: a surrogate's acquisition function searched point by point."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine import cmaes
from materia.engine.acquisition.expected_improvement import ExpectedImprovement
from materia.engine.acquisition.hypervolume_improvement import HypervolumeImprovement
from materia.engine.constraints import Constraints
from materia.engine.objectives import Objectives
from materia.engine.pareto import is_non_dominated
from materia.engine.space import SearchSpace
from materia.engine.surrogates.independent import IndependentProcesses

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Key = tuple[Any, ...]
Params = dict[str, Any]

_N_RUNS = 4
_N_GENERATIONS = 40
_MAX_RETRIES = 5


@dataclass(frozen=True)
class Proposal:
    """One point to evaluate next.

    Attributes:
        params: In the user's units.
        mean: Predicted turned outcomes, (m,).
        std: Their standard deviations, (m,).
        acquisition: Log of the expected improvement it was chosen for.
    """

    params: Params
    mean: FloatArray
    std: FloatArray
    acquisition: float


@dataclass(frozen=True)
class Knowledge:
    """What is known when a batch is chosen.

    Attributes:
        surrogate: Posterior of the turned outcomes, pending points not yet believed.
        X: Points that count for the front: observed, inside the space, (n, d).
        turned: Their turned outcomes, (n, m), NaN where not known.
        pending: Points under evaluation, (k, d).
        pending_turned: What is known of their outcomes, (k, m), NaN where not known.
        reference_point: In `Y`, (m,).
    """

    surrogate: IndependentProcesses
    X: FloatArray
    turned: FloatArray
    pending: FloatArray
    pending_turned: FloatArray
    reference_point: FloatArray


class Proposer:
    """Chooses points in one search space.

    Args:
        space: Where the points live.
        constraints: What they must satisfy.
        objectives: What they are chosen for.
        cloud: Feasible points all over the space, (n, d), where every search begins.
        pool: The rows of `cloud` in the user's units when they are all that may be asked: a fixed
            table or an enumerated space.
    """

    def __init__(
        self,
        space: SearchSpace,
        constraints: Constraints,
        objectives: Objectives,
        cloud: FloatArray,
        pool: Sequence[Params] | None = None,
    ) -> None:
        self._space, self._constraints, self._objectives = space, constraints, objectives
        self._cloud, self._pool = cloud, pool

    def propose(
        self, known: Knowledge, n: int, taken: Set[Key], rng: np.random.Generator
    ) -> list[Proposal]:
        """Return up to n points, none of them in `taken`; fewer when nothing else is left.

        Points are chosen one after another; each is believed to come out at its predicted mean
        before the next is chosen, and so are the points under evaluation.
        """
        taken = set(taken)
        surrogate = known.surrogate
        X, turned = known.pending, known.pending_turned.copy()
        if len(X):
            is_open = np.isnan(turned)
            mean, _ = surrogate.predict(X)
            turned = np.where(is_open, mean, turned)
            surrogate = surrogate.believe(X, is_open)
        believed = np.vstack([known.turned, turned])
        proposals: list[Proposal] = []
        for _ in range(n):
            acquisition = self._acquisition(surrogate, believed, known.reference_point)
            seeds = self._seeds(known, believed)
            found = self._search(acquisition, seeds, taken, rng)
            if found is None:
                break
            params, value = found
            x = self._space.encode([params])
            mean, std = surrogate.predict(x)
            proposals.append(Proposal(params, mean[0], std[0], value))
            taken.add(key_of(params))
            surrogate = surrogate.believe(x, np.ones((1, self._objectives.m), dtype=np.bool_))
            believed = np.vstack([believed, mean])
        return proposals

    def _acquisition(
        self, surrogate: IndependentProcesses, turned: FloatArray, reference_point: FloatArray
    ) -> Callable[[FloatArray], FloatArray]:
        objectives = self._objectives
        complete = turned[~np.isnan(turned).any(axis=1)]
        feasible = complete[objectives.is_feasible(objectives.measured(complete))]
        Y = objectives.fold(feasible)
        improvement: Callable[[FloatArray], FloatArray] | None
        if objectives.m == 1:
            improvement = (
                ExpectedImprovement(surrogate, surrogate.warped_best(Y), objectives.folded[0])
                if len(Y)
                else None
            )
        else:
            folded = (objectives.folded[0], objectives.folded[1])
            front = Y[is_non_dominated(Y)]
            improvement = HypervolumeImprovement(surrogate, front, reference_point, folded)
        if objectives.n_outcome_constraints == 0 and improvement is not None:
            return improvement

        def constrained(X: FloatArray) -> FloatArray:
            probability = objectives.log_probability_feasible(*surrogate.predict(X))
            return probability if improvement is None else probability + improvement(X)

        return constrained

    def _seeds(self, known: Knowledge, turned: FloatArray) -> FloatArray:
        """Return observed points on the front, or the best ones of a single objective."""
        n = len(known.X)
        Y = self._objectives.fold(turned[:n])
        if self._objectives.m == 1:
            order = np.argsort(Y[:, 0], kind="stable")[:3]
            return known.X[order]
        return known.X[is_non_dominated(Y)]

    def _search(
        self,
        acquisition: Callable[[FloatArray], FloatArray],
        seeds: FloatArray,
        taken: Set[Key],
        rng: np.random.Generator,
    ) -> tuple[Params, float] | None:
        if self._pool is not None:
            return self._best_row(self._pool, acquisition(self._cloud), taken)
        near = self._neighbours(seeds, rng)
        X = np.vstack([self._cloud, near])
        values = acquisition(X)
        starts = X[_spread_best(X, values, _N_RUNS)]
        best, best_values = cmaes.maximise(
            self._judged(acquisition),
            self._constraints.repair,
            starts,
            rng,
            sigma=0.1,
            n_generations=_N_GENERATIONS,
        )
        X, values = np.vstack([best, X]), np.concatenate([best_values, values])
        return self._best_free(X, values, taken)

    def _judged(
        self, acquisition: Callable[[FloatArray], FloatArray]
    ) -> Callable[[FloatArray], FloatArray]:
        """Return the acquisition function with infeasible points behind all feasible ones."""
        if self._constraints.n == 0:
            return acquisition

        def judged(X: FloatArray) -> FloatArray:
            values = acquisition(X)
            is_broken = ~self._constraints.is_feasible(X)
            if is_broken.any():
                values[is_broken] = -1e6 * (1.0 + self._constraints.distance(X[is_broken]))
            return values

        return judged

    def _neighbours(self, seeds: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Return feasible points around seeds: small and larger steps in some of the columns."""
        d = self._space.d
        if len(seeds) == 0:
            return np.empty((0, d))
        centres = seeds[rng.integers(len(seeds), size=256)]
        steps = rng.standard_normal((256, d)) * rng.choice([0.003, 0.03, 0.15], size=(256, 1))
        chosen = rng.random((256, d)) < rng.choice([1.5 / d, 0.5, 1.0], size=(256, 1))
        X = self._constraints.repair(centres + steps * chosen)
        return X[self._constraints.is_feasible(X)]

    def _best_free(
        self, X: FloatArray, values: FloatArray, taken: Set[Key]
    ) -> tuple[Params, float] | None:
        """Return the best row that is allowed, checked in the user's units, and not taken."""
        order = np.argsort(-values, kind="stable")
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            for params, value in zip(self._space.decode(X[rows]), values[rows], strict=True):
                if key_of(params) not in taken and self._is_allowed(params):
                    return params, float(value)
        return None

    def _best_row(
        self, pool: Sequence[Params], values: FloatArray, taken: Set[Key]
    ) -> tuple[Params, float] | None:
        for row in np.argsort(-values, kind="stable"):
            if key_of(pool[row]) not in taken:
                return dict(pool[row]), float(values[row])
        return None

    def _is_allowed(self, params: Params) -> bool:
        return self._space.contains(params) and not self._constraints.broken(params)


def key_of(params: Params) -> Key:
    """Return what makes two points the same."""
    return tuple(params.values())


def _spread_best(X: FloatArray, values: FloatArray, n: int) -> NDArray[np.intp]:
    """Return rows of the n best points that are not close to a better one."""
    order = np.argsort(-values, kind="stable")[:200]
    chosen: list[int] = []
    for row in order:
        distances = [float(np.max(np.abs(X[row] - X[other]))) for other in chosen]
        if all(distance > 0.05 for distance in distances):
            chosen.append(int(row))
        if len(chosen) == n:
            break
    return np.array(chosen, dtype=np.intp)
