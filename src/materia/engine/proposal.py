"""The next batch: a surrogate's acquisition function searched point by point."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from materia.engine import cmaes
from materia.engine.acquisition.choice import PLAIN, Choice, chosen
from materia.engine.acquisition.success import Success
from materia.engine.climbing import climb
from materia.engine.objectives import Objectives
from materia.engine.pareto import foremost, hypervolume, is_non_dominated
from materia.engine.reachable import Key, Params, Reachable, key_of
from materia.engine.surrogates.independent import IndependentProcesses
from materia.engine.surrogates.paths import can_be_drawn, drawn

FloatArray = NDArray[np.float64]
Acquisition = Callable[[FloatArray], FloatArray]

# A posterior of n observations costs n^2 per point: with many of them fewer searches run.
_MIN_RUNS, _MAX_RUNS, _RUN_OBSERVATIONS = 2, 8, 2400
_MIN_GENERATIONS, _MAX_GENERATIONS = 40, 150
# Where points can climb, CMA-ES only has to find the hills: more runs, few generations. The best of
# them climb, and the better half of these to the top.
_RUNS_BEFORE_CLIMBING, _FEW_GENERATIONS = 10, 5
_N_CLIMBING, _N_TO_THE_TOP, _N_STEPS = 4, 2, 15
# Points that are looked at before a search, everywhere and half as many around the best ones: fewer
# where each costs more.
_MIN_CLOUD, _MAX_CLOUD, _CLOUD_OBSERVATIONS = 128, 512, 51_200
_MAX_MOVES = 10
# Points closer than this in every ordered column, the same in all others, are one experiment for a
# surrogate that believes in noise of more than this variance, in standardised units.
_SAME, _NOISE = 0.0005, 1e-4
# Rows of a listed space that are judged together, to bound the memory of the posterior.
_BLOCK = 4096
# Draws of the surrogate, at so many promising points and as many of the best measured ones.
_N_FUTURES, _N_PROMISING = 32, 64


@dataclass(frozen=True)
class Proposal:
    """One point to evaluate next.

    Attributes:
        params: In the user's units.
        mean: Predicted turned outcomes, (m,).
        std: Their standard deviations, (m,).
        acquisition: Log of the acquisition function that it was chosen for.
        source: Name of that function.
    """

    params: Params
    mean: FloatArray
    std: FloatArray
    acquisition: float
    source: str


@dataclass(frozen=True)
class Knowledge:
    """What is known when a batch is chosen.

    Attributes:
        surrogate: Posterior of the turned outcomes, pending points not yet believed.
        X: Points that count for the front: complete observations inside the space, (n, d).
        pending: Points under evaluation, (k, d).
        pending_turned: What is known of their outcomes, (k, m), NaN where not known.
        measured: All points with an outcome, (l, d).
        failed: Points whose evaluation failed, (f, d).
        reference_point: In `Y`, (m,).
    """

    surrogate: IndependentProcesses
    X: FloatArray
    pending: FloatArray
    pending_turned: FloatArray
    measured: FloatArray
    failed: FloatArray
    reference_point: FloatArray

    @cached_property
    def denoised(self) -> FloatArray:
        """What the surrogate takes the turned outcomes of `X` for, (n, m).

        A lucky observation must not set the level to improve on.
        """
        return self.surrogate.predicted_means(self.X)


class Proposer:
    """Chooses points among the reachable ones.

    Args:
        reachable: Which points may be asked.
        objectives: What they are chosen for.
        acquisition: Name of the acquisition function, or "auto".
    """

    def __init__(
        self, reachable: Reachable, objectives: Objectives, acquisition: str = "auto"
    ) -> None:
        self._reachable, self._objectives = reachable, objectives
        self._acquisition_name = acquisition
        self._space, self._constraints = reachable.space, reachable.constraints

    def propose(
        self, known: Knowledge, n: int, taken: Set[Key], rng: np.random.Generator
    ) -> list[Proposal]:
        """Return up to n points, none of them in `taken`; fewer when nothing else is left.

        Points are chosen one after another; each is believed to come out at its predicted mean
        before the next is chosen, and so are the points under evaluation. While anything else is
        found, none repeats another: a surrogate that takes its own misfit for noise would spend
        whole batches on one experiment. One without noise may refine as closely as it likes.
        """
        taken = set(taken)
        surrogate = known.surrogate
        asked = np.empty((0, self._space.d))
        if surrogate.noise > _NOISE:
            asked = np.vstack([known.measured, known.failed, known.pending])
        turned = known.denoised
        seeds = self._seeds(known.X, turned)
        if len(known.pending):
            is_open = np.isnan(known.pending_turned)
            expected = self._objectives.expected(*surrogate.predict(known.pending))
            expected = np.where(is_open, expected, known.pending_turned)
            turned = np.vstack([turned, expected])
            surrogate = surrogate.believe(known.pending, is_open)
        success = Success.of(known.measured, known.failed, known.surrogate)
        affordable = _RUN_OBSERVATIONS // max(len(known.measured), 1)
        most = _RUNS_BEFORE_CLIMBING if len(self._climbed_columns) else _MAX_RUNS
        n_runs = min(max(affordable, _MIN_RUNS), most)
        affordable = _CLOUD_OBSERVATIONS // max(len(known.measured), 1)
        n_cloud = min(max(affordable, _MIN_CLOUD), _MAX_CLOUD)
        choice = self._choice(known, chosen(self._acquisition_name, known.surrogate), rng)
        points = np.vstack([known.X, known.pending])
        proposals: list[Proposal] = []
        for _ in range(n):
            improvement = choice.improvement(surrogate, points, turned)
            acquisition = self._acquisition(surrogate, improvement, success)
            found = self._search(acquisition, seeds, taken, asked, rng, n_runs, n_cloud)
            if found is None:
                break
            params, value = found
            x = self._space.encode([params])
            mean, std = surrogate.predict(x)
            proposals.append(Proposal(params, mean[0], std[0], value, choice.name))
            taken.add(key_of(params))
            asked = np.vstack([asked, x]) if surrogate.noise > _NOISE else asked
            surrogate = surrogate.believe(x, np.ones((1, self._objectives.m), dtype=np.bool_))
            turned = np.vstack([turned, self._objectives.expected(mean, std)])
            points = np.vstack([points, x])
        return proposals

    def _choice(self, known: Knowledge, name: str, rng: np.random.Generator) -> Choice:
        return Choice(
            name,
            self._objectives,
            known.surrogate,
            known.reference_point,
            len(known.measured),
            rng,
        )

    def remaining_gain(
        self, known: Knowledge, rng: np.random.Generator
    ) -> tuple[float, float] | None:
        """Return mean and std of what the best possible points would still add.

        The unit is that of the objective or, of several, of the hypervolume. Draws of the
        surrogate are optimised over the most promising points of those everywhere and around the
        best ones, which finds a little less than there is. None where it cannot be drawn.
        """
        if not can_be_drawn(known.surrogate) or len(known.X) == 0:
            return None
        turned = known.denoised
        cloud = self._reachable.cloud[:_BLOCK]
        if self._reachable.listed is None:
            near = self._neighbours(self._seeds(known.X, turned), rng, _N_PROMISING)
            cloud = np.vstack([cloud[: 4 * _N_PROMISING], near])
        plain = PLAIN.get(name := chosen(self._acquisition_name, known.surrogate), name)
        choice = self._choice(known, plain, rng)
        improvement = choice.improvement(known.surrogate, known.X, turned)
        values = self._acquisition(known.surrogate, improvement, None)(cloud)
        promising = cloud[np.argsort(-values, kind="stable")[:_N_PROMISING]]
        measured = known.X[foremost(self._objectives.fold(turned), _N_PROMISING)]
        futures = self._outcomes(known.surrogate, np.vstack([measured, promising]), rng)
        if self._objectives.m == 1:
            gains = self._gains_of_best(futures, len(measured))
        else:
            gains = self._gains_of_volume(futures, len(measured), known.reference_point)
        return float(np.mean(gains)), float(np.std(gains))

    def _outcomes(
        self, surrogate: IndependentProcesses, X: FloatArray, rng: np.random.Generator
    ) -> FloatArray:
        """Return turned outcomes (n, s, m) at points (n, d), drawn s times."""
        values = drawn(surrogate, X, _N_FUTURES, rng)
        for j, process in enumerate(surrogate.processes):
            values[:, j] = process.warp.invert(values[:, j], np.zeros_like(values[:, j]))[0]
        return values.transpose(0, 2, 1)

    def _counted(self, futures: FloatArray) -> FloatArray:
        """Return Y (n, s, m) of turned outcomes (n, s, m), infinite where it does not count."""
        flat = futures.reshape(-1, self._objectives.m)
        counts = self._objectives.is_feasible(self._objectives.measured(flat))
        Y = np.where(counts[:, None], self._objectives.fold(flat), np.inf)
        return np.asarray(Y.reshape(futures.shape))

    def _gains_of_best(self, futures: FloatArray, n_measured: int) -> FloatArray:
        """Return how much better the best of all n points is than that of the first, (s,)."""
        Y = self._counted(futures)[:, :, 0]
        before, after = Y[:n_measured].min(axis=0), Y.min(axis=0)
        is_known = np.isfinite(before)
        return np.where(is_known, before - np.where(is_known, after, 0.0), 0.0)

    def _gains_of_volume(
        self, futures: FloatArray, n_measured: int, reference_point: FloatArray
    ) -> FloatArray:
        """Return by how much the hypervolume of all n points is larger than that of the first."""
        Y = self._counted(futures)
        return np.array(
            [
                hypervolume(Y[:, s], reference_point)
                - hypervolume(Y[:n_measured, s], reference_point)
                for s in range(Y.shape[1])
            ]
        )

    def _acquisition(
        self,
        surrogate: IndependentProcesses,
        improvement: Acquisition | None,
        success: Success | None,
    ) -> Acquisition:
        """Return the log of the improvement times what makes it count at all.

        Args:
            surrogate: With pending points believed.
            improvement: Log of what a point is worth; None where nothing can be improved on.
            success: Chance that an evaluation does not fail; None where none ever did.
        """
        objectives = self._objectives
        factors: list[Acquisition] = []
        if improvement is not None:
            factors.append(improvement)
        if objectives.n_outcome_constraints:
            factors.append(lambda X: objectives.log_probability_feasible(*surrogate.predict(X)))
        if success is not None:
            factors.append(success)
        if not factors:
            # Nothing measured inside the space yet: learn where least is known.
            factors.append(lambda X: np.log(surrogate.posterior(X)[1]).sum(axis=1))
        if len(factors) == 1:
            return factors[0]
        return lambda X: np.sum([factor(X) for factor in factors], axis=0)

    def _seeds(self, X: FloatArray, turned: FloatArray) -> FloatArray:
        """Return observed points on the front, or the best ones of a single objective."""
        Y = self._objectives.fold(turned)
        if self._objectives.m == 1:
            return X[np.argsort(Y[:, 0], kind="stable")[:3]]
        return X[is_non_dominated(Y)]

    def _search(
        self,
        acquisition: Acquisition,
        seeds: FloatArray,
        taken: Set[Key],
        asked: FloatArray,
        rng: np.random.Generator,
        n_runs: int,
        n_cloud: int,
    ) -> tuple[Params, float] | None:
        """Return the best point that is not taken and its acquisition value, or None.

        One that repeats a row of `asked`, (k, d), comes behind all that do not.
        """
        X = self._reachable.cloud
        if self._reachable.listed is not None:
            blocks = np.array_split(X, -(-len(X) // _BLOCK))
            values = np.concatenate([acquisition(block) for block in blocks])
            return self._best_free(X, values, taken)
        X = np.vstack([X[:n_cloud], self._neighbours(seeds, rng, n_cloud // 2)])
        values = acquisition(X)
        n_generations = min(_MIN_GENERATIONS + 5 * self._space.d, _MAX_GENERATIONS)
        climbed = self._climbed_columns
        best, best_values = cmaes.maximise(
            self._judged(acquisition),
            partial(self._constraints.repair, is_thorough=False),
            X[_spread_best(X, values, n_runs)],
            rng,
            sigma=0.1,
            n_generations=_FEW_GENERATIONS if len(climbed) else n_generations,
        )
        if len(climbed):
            top = np.argsort(-best_values, kind="stable")[:_N_CLIMBING]
            best, best_values = climb(
                acquisition,
                best[top],
                best_values[top],
                climbed,
                n_steps=_N_STEPS,
                n_kept=_N_TO_THE_TOP,
            )
        X, values = np.vstack([best, X]), np.concatenate([best_values, values])
        if self._space.discrete.any():
            X, values = self._with_neighbours(acquisition, X, values)
        new = self._best_free(X, values, taken, asked)
        return new or self._best_free(X, values, taken)

    @cached_property
    def _climbed_columns(self) -> NDArray[np.intp]:
        """Columns to climb along: all where every one moves freely, else none."""
        space = self._space
        is_free = not space.discrete.any() and space.n_free == space.d
        return np.arange(space.d if is_free and self._constraints.n == 0 else 0)

    def _repeats(self, X: FloatArray, asked: FloatArray) -> NDArray[np.bool_]:
        """Return which rows of X (n, d) are the same experiment as some row of `asked` (k, d)."""
        limits = np.where(self._space.discrete, 1e-9, _SAME)
        is_same = np.all(np.abs(X[:, None] - asked) <= limits, axis=2)
        return np.asarray(np.any(is_same, axis=1))

    def _with_neighbours(
        self, acquisition: Acquisition, X: FloatArray, values: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return more points: the best one's neighbours in discrete columns, while they gain.

        CMA-ES sees a plateau wherever its step is smaller than that of a discrete parameter.
        """
        for _ in range(_MAX_MOVES):
            top = int(np.argmax(values))
            near = self._constraints.repair(self._space.neighbours(X[top]))
            near = near[self._constraints.is_feasible(near)]
            if len(near) == 0:
                break
            near_values = acquisition(near)
            has_gained = near_values.max() > values[top]
            X, values = np.vstack([X, near]), np.concatenate([values, near_values])
            if not has_gained:
                break
        return X, values

    def _judged(self, acquisition: Acquisition) -> Acquisition:
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

    def _neighbours(self, seeds: FloatArray, rng: np.random.Generator, n: int) -> FloatArray:
        """Return feasible points around seeds: small and larger steps in some of the columns."""
        d = self._space.d
        if len(seeds) == 0:
            return np.empty((0, d))
        centres = seeds[rng.integers(len(seeds), size=n)]
        steps = rng.standard_normal((n, d)) * rng.choice([0.003, 0.03, 0.15], size=(n, 1))
        chosen = rng.random((n, d)) < rng.choice([1.5 / d, 0.5, 1.0], size=(n, 1))
        X = centres + steps * chosen
        # A step along a column of few values must reach the next one, and any category is near.
        is_redrawn = chosen & self._space.discrete & (rng.random((n, d)) < 0.5)
        X = np.where(is_redrawn, rng.random((n, d)), X)
        X = self._constraints.repair(X)
        return X[self._constraints.is_feasible(X)]

    def _best_free(
        self, X: FloatArray, values: FloatArray, taken: Set[Key], asked: FloatArray | None = None
    ) -> tuple[Params, float] | None:
        """Return the best row that is allowed, checked in the user's units, and not taken.

        Where points `asked`, (k, d), are given, rows that repeat one are left out as well.
        """
        order = np.argsort(-values, kind="stable")
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            if asked is not None and len(asked):
                rows = rows[~self._repeats(X[rows], asked)]
            for params, value in zip(self._reachable.params(X, rows), values[rows], strict=True):
                if key_of(params) not in taken and self._reachable.allows(params):
                    return params, float(value)
        return None


def _spread_best(X: FloatArray, values: FloatArray, n: int) -> NDArray[np.intp]:
    """Return rows of the n best points that are not close to a better one."""
    order = np.argsort(-values, kind="stable")[:200]
    is_left = np.ones(len(order), dtype=np.bool_)
    chosen: list[int] = []
    while is_left.any() and len(chosen) < n:
        row = order[int(np.argmax(is_left))]
        chosen.append(int(row))
        is_left &= np.max(np.abs(X[order] - X[row]), axis=1) > 0.05
    return np.array(chosen, dtype=np.intp)
