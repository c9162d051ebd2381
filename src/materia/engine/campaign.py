"""The campaign: ask for candidates, tell what came out, dump and go on later.

Nothing is hidden: candidates follow from the definition, the observations in candidate order, how
many candidates were asked before, and the number of the iteration. `dump` holds all of that.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine.candidates import (
    FAILED,
    INITIAL_DESIGN,
    TOLD,
    Addition,
    Candidate,
    Record,
)
from materia.engine.constraints import Constraints
from materia.engine.convergence import stalled
from materia.engine.diagnostics import quality
from materia.engine.objectives import Objectives
from materia.engine.pareto import hypervolume, is_non_dominated
from materia.engine.proposal import Key, Knowledge, Proposal, Proposer, key_of
from materia.engine.sampling import Design
from materia.engine.space import SearchSpace
from materia.engine.surrogates import independent
from materia.engine.surrogates.gp import Hyperparameters
from materia.engine.threads import single_threaded
from materia.errors import DataError, InfeasibleError, NotFoundError, StateError
from materia.mdl.definition import Definition

FloatArray = NDArray[np.float64]
Params = dict[str, Any]

FORMAT = 1
_CLOUD_POINTS = 512
# A finite space up to this size is listed whole, and every point of it is considered.
_ENUMERATED = 20_000


@dataclass(frozen=True)
class SurrogateFit:
    """A fitted surrogate as plain data.

    Attributes:
        quality: Leave-one-out figures per objective: r2, rmse, coverage_95, n.
        arrays: Hyper-parameters and observations, enough to rebuild the posterior.
        meta: JSON-able description, with a digest of the observations it belongs to.
    """

    quality: dict[str, dict[str, float]]
    arrays: dict[str, FloatArray]
    meta: dict[str, Any]


@dataclass(frozen=True)
class _Observations:
    """Everything measured, additions first, then candidates in their order.

    Attributes:
        ids: Candidate ids; a0001 … for additions.
        X: (n, d).
        outcomes: In the user's units, (n, m), NaN where not known.
        errors: Standard errors, (n, m), NaN where not stated.
        iteration: Of each candidate; -1 for additions.
        is_initial: Whether it belongs to the data that fixes the reference point, (n,).
        is_inside: Whether it is in the search space and breaks no constraint, (n,).
    """

    ids: list[str]
    params: list[Params]
    X: FloatArray
    outcomes: FloatArray
    errors: FloatArray
    iteration: NDArray[np.int64]
    is_initial: NDArray[np.bool_]
    is_inside: NDArray[np.bool_]


class Campaign:
    """One optimisation campaign, in memory.

    Args:
        definition: What the user declared; at most two objectives.
        pool: Rows of `params` that alone may be asked, for campaigns over a fixed table. Rows
            outside the search space or against a constraint are left out.

    Raises:
        InfeasibleError: Nothing satisfies the declaration.
        StateError: The definition names a table of candidates and no pool was given.
    """

    def __init__(
        self, definition: Definition, pool: Iterable[Mapping[str, Any]] | None = None
    ) -> None:
        if len(definition.objectives) > 2:
            raise StateError(
                f"{len(definition.objectives)} objectives are declared; at most two can be "
                "optimised together for now",
                "turn the others into outcome constraints or leave them out",
            )
        needs_pool = definition.candidates is not None or (
            definition.evaluator is not None and definition.evaluator.type == "table"
        )
        if needs_pool and pool is None:
            raise StateError(
                "this campaign runs over a table of candidates, which was not given",
                "pass its rows as Campaign.from_definition(definition, pool=rows)",
            )
        self.definition = definition
        self.space = SearchSpace(definition)
        self.constraints = Constraints(definition, self.space)
        self.objectives = Objectives(definition)
        self._given_pool = None if pool is None else [self._plain(row) for row in pool]
        self._records: list[Record] = []
        self._additions: list[Addition] = []
        self._hyperparameters: tuple[str, list[Hyperparameters]] | None = None
        self._check_feasible()

    @classmethod
    def from_definition(
        cls, definition: Definition, pool: Iterable[Mapping[str, Any]] | None = None
    ) -> Campaign:
        """Return a new campaign for a validated definition."""
        return cls(definition, pool)

    @classmethod
    def from_dict(
        cls, definition: Mapping[str, Any], pool: Iterable[Mapping[str, Any]] | None = None
    ) -> Campaign:
        """Return a new campaign for a definition given as plain data.

        Raises:
            DefinitionError: With every finding.
        """
        from materia.mdl.validation import load

        return cls(load(copy.deepcopy(dict(definition))), pool)

    @classmethod
    def from_yaml(
        cls, source: str | Path, pool: Iterable[Mapping[str, Any]] | None = None
    ) -> Campaign:
        """Return a new campaign for a YAML file, or for YAML text.

        Args:
            source: A path, or text (anything with a line break or a colon followed by a space).
            pool: As of `Campaign`.
        """
        from materia.mdl.validation import load

        is_text = isinstance(source, str) and ("\n" in source or ": " in source)
        return cls(load(str(source) if is_text else Path(source).read_bytes()), pool)

    # Asking

    def ask(self, n: int | None = None) -> list[Candidate]:
        """Return the next candidates; one call is one iteration.

        Args:
            n: How many; by default `next_batch_size()`. Never more than the budget leaves.

        Raises:
            StateError: The budget is spent, or every point of a finite space was asked.
        """
        n = self._wanted(n)
        iteration = self._next_iteration()
        proposed = self._propose(n, iteration)
        if not proposed:
            raise StateError(
                f"all {len(self._taken())} possible candidates have been asked",
                "the space is finite and exhausted; widen it or stop the campaign",
            )
        self._records += [Record(candidate) for candidate in proposed]
        return copy.deepcopy(proposed)

    def _wanted(self, n: int | None) -> int:
        if n is None:
            n = max(self.next_batch_size(), 1)
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise DataError(f"ask({n!r}): the number of candidates is a whole number above 0")
        left = self.definition.optimizer.budget - len(self._records)
        if left <= 0:
            raise StateError(
                f"the budget of {self.definition.optimizer.budget} evaluations is spent",
                "raise optimizer.budget to go on",
            )
        return min(int(n), left)

    @single_threaded
    def _propose(self, n: int, iteration: int) -> list[Candidate]:
        first = len(self._records)
        knowledge = self._knowledge()
        n_design = n
        if knowledge is not None:
            n_design = min(n, max(0, self.initial_samples - len(self._additions) - first))
        points = self._design_points(n_design)
        candidates = [
            self._candidate(first + i, iteration, params, None, {"source": INITIAL_DESIGN})
            for i, params in enumerate(points)
        ]
        if knowledge is not None and len(candidates) < n:
            knowledge = self._with_pending(knowledge, [c.params for c in candidates])
            taken = self._taken() | {key_of(c.params) for c in candidates}
            rng = np.random.default_rng(
                np.random.SeedSequence([self.definition.optimizer.seed, iteration, first])
            )
            for proposal in self._proposer.propose(knowledge, n - len(candidates), taken, rng):
                number = first + len(candidates)
                candidates.append(self._explained(number, iteration, proposal))
        return candidates

    def _candidate(
        self,
        number: int,
        iteration: int,
        params: Params,
        predicted: dict[str, dict[str, float]] | None,
        why: dict[str, Any],
    ) -> Candidate:
        return Candidate(f"c{number + 1:04d}", number, iteration, params, predicted, why)

    def _explained(self, number: int, iteration: int, proposal: Proposal) -> Candidate:
        mean = self.objectives.measured(proposal.mean[None])[0]
        predicted = {
            name: {"mean": float(mean[j]), "std": float(proposal.std[j])}
            for j, name in enumerate(self.objectives.names)
        }
        value = proposal.acquisition
        why = {
            "source": "ei" if self.objectives.m == 1 else "ehvi",
            "acquisition": math.exp(min(value, 700.0)),
            "log_acquisition": value if math.isfinite(value) else None,
        }
        return self._candidate(number, iteration, proposal.params, predicted, why)

    @cached_property
    def initial_samples(self) -> int:
        """Points of the initial design: as declared, else 2 (d + 1) and at most half the budget."""
        optimizer = self.definition.optimizer
        declared = optimizer.active_learning.initial_samples
        if declared is not None:
            return declared
        return max(2, min(2 * (self.space.n_free + 1), optimizer.budget // 2))

    def next_batch_size(self) -> int:
        """Return how many candidates the next iteration should ask; 0 when the budget is spent."""
        optimizer = self.definition.optimizer
        left = optimizer.budget - len(self._records)
        missing = self.initial_samples - len(self._additions)
        if not self._records and missing > 0:
            return min(missing, left)
        return max(0, min(optimizer.batch_size, left))

    def _design_points(self, n: int) -> list[Params]:
        """Return the next n points of the initial design that were not asked or added before."""
        if n == 0:
            return []
        taken, points = self._taken(), []
        for params in self._design_order():
            if key_of(params) not in taken:
                taken.add(key_of(params))
                points.append(params)
            if len(points) == n:
                break
        return points

    def _design_order(self) -> Iterable[Params]:
        if self._given_pool is not None:
            yield from self._pool_order()
            return
        # Points of a discrete space repeat; after many repeats the listed space fills the rest.
        n_tries = 50 * (len(self._records) + 100)
        batch = list(islice(iter(self._design), 0))
        for x in islice(iter(self._design), n_tries):
            batch.append(x)
            if len(batch) == 64:
                yield from self._allowed(np.array(batch))
                batch = []
        if batch:
            yield from self._allowed(np.array(batch))
        if self._pool is not None:
            yield from (dict(row) for row in self._pool[1])

    def _allowed(self, X: FloatArray) -> list[Params]:
        return [
            params
            for params in self.space.decode(X)
            if self.space.contains(params) and not self.constraints.broken(params)
        ]

    def _pool_order(self) -> Iterable[Params]:
        """Yield all rows of the table, those nearest to quasi-random points first."""
        assert self._pool is not None
        X, rows = self._pool
        left = np.ones(len(rows), dtype=np.bool_)
        cloud = Design(
            self.space, Constraints(_unconstrained(self.definition), self.space), self._seed
        )
        low, high = X.min(axis=0), X.max(axis=0)
        for x in islice(iter(cloud), len(rows)):
            distance = np.sum((X - (low + x * (high - low))) ** 2, axis=1)
            row = int(np.argmin(np.where(left, distance, np.inf)))
            left[row] = False
            yield dict(rows[row])

    @property
    def _seed(self) -> int:
        return self.definition.optimizer.seed

    @cached_property
    def _design(self) -> Design:
        return Design(self.space, self.constraints, self._seed)

    @cached_property
    def _pool(self) -> tuple[FloatArray, list[Params]] | None:
        """Every point that may be asked, when they can be listed: encoded, and as params."""
        rows: list[Params]
        if self._given_pool is not None:
            rows = list({key_of(row): row for row in self._given_pool}.values())
        elif self.space.size is not None and self.space.size <= _ENUMERATED:
            rows = self.space.decode(self.space.grid())
        else:
            return None
        rows = [
            row for row in rows if self.space.contains(row) and not self.constraints.broken(row)
        ]
        return self.space.encode(rows), rows

    @cached_property
    def _proposer(self) -> Proposer:
        if self._pool is not None:
            X, rows = self._pool
            return Proposer(self.space, self.constraints, self.objectives, X, rows)
        cloud = self._design.sample(_CLOUD_POINTS)
        return Proposer(self.space, self.constraints, self.objectives, cloud)

    def _check_feasible(self) -> None:
        if self._pool is not None:
            if not self._pool[1]:
                raise InfeasibleError(
                    "no possible candidate lies in the search space and satisfies all constraints",
                    "compare the bounds and constraints with the table of candidates",
                )
            return
        if self.constraints.n:
            self._design.sample(1)

    def _taken(self) -> set[Key]:
        asked = {key_of(record.candidate.params) for record in self._records}
        return asked | {key_of(addition.params) for addition in self._additions}

    def _next_iteration(self) -> int:
        return max((r.candidate.iteration for r in self._records), default=-1) + 1

    # Telling

    def tell(self, outcomes: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Take in what came out for some candidates, in any order and partly.

        A later value replaces an earlier one of the same objective. The call takes effect as a
        whole or, when it raises, not at all.

        Args:
            outcomes: {candidate id: {objective: value or (mean, standard error)}}; None instead of
                the inner mapping says that the evaluation failed.

        Raises:
            NotFoundError: No such candidate.
            DataError: An unknown objective, or something that is not a number.
            EvaluationError: NaN or infinity, which is no outcome.
        """
        rows = {record.candidate.id: i for i, record in enumerate(self._records)}
        changed: dict[int, Record] = {}
        for name, told in outcomes.items():
            if name not in rows:
                raise NotFoundError(
                    f"there is no candidate '{name}'", "ids are those of the candidates of ask()"
                )
            record = self._records[rows[name]]
            if told is None:
                changed[rows[name]] = replace(record, state=FAILED, outcomes=None)
                continue
            checked = self.objectives.check(told, where=f"candidate '{name}'")
            merged = {**(record.outcomes or {}), **checked}
            changed[rows[name]] = replace(record, state=TOLD, outcomes=merged)
        for i, record in changed.items():
            self._records[i] = record

    def add(self, params: Mapping[str, Any], outcomes: Mapping[str, Any]) -> None:
        """Take in a point of one's own, or earlier data; it costs no budget.

        A point outside the bounds or against a constraint informs the surrogate, but never the
        front, the best point or the hypervolume.

        Raises:
            DataError: The params do not fit the search space, or an outcome is no number.
            EvaluationError: NaN or infinity, which is no outcome.
        """
        plain = self._plain(params)
        self.space.encode([plain])
        checked = self.objectives.check(outcomes, where="the added point")
        self._additions.append(Addition(plain, checked, after=len(self._records)))

    def _plain(self, params: Mapping[str, Any]) -> Params:
        """Return params in declared order and Python's own types."""
        self.space.check_names(params)
        return {
            name: params[name].item() if isinstance(params[name], np.generic) else params[name]
            for name in self.space.names
        }

    # What is known

    def _observations(self) -> _Observations:
        told = [r for r in self._records if r.state == TOLD]
        params = [a.params for a in self._additions] + [r.candidate.params for r in told]
        outcomes = [a.outcomes for a in self._additions] + [r.outcomes or {} for r in told]
        means, errors = self.objectives.arrays(outcomes)
        first_model = self._first_model_number()
        is_initial = [a.after <= first_model for a in self._additions]
        is_initial += [r.candidate.number < first_model for r in told]
        return _Observations(
            ids=[f"a{i + 1:04d}" for i in range(len(self._additions))]
            + [r.candidate.id for r in told],
            params=params,
            X=self.space.encode(params),
            outcomes=means,
            errors=errors,
            iteration=np.array(
                [-1] * len(self._additions) + [r.candidate.iteration for r in told], dtype=np.int64
            ),
            is_initial=np.array(is_initial, dtype=np.bool_),
            is_inside=np.array(
                [self.space.contains(p) and not self.constraints.broken(p) for p in params],
                dtype=np.bool_,
            ),
        )

    def _first_model_number(self) -> int:
        """Return the number of the first candidate that a surrogate chose, or their count."""
        for record in self._records:
            if record.candidate.why.get("source", INITIAL_DESIGN) != INITIAL_DESIGN:
                return record.candidate.number
        return len(self._records)

    @single_threaded
    def fit(self) -> SurrogateFit:
        """Return the surrogate of the present observations as plain data, and keep it for `ask`.

        Raises:
            StateError: An objective has not been observed yet.
        """
        observed = self._observations()
        surrogate = self._surrogate(observed)
        if surrogate is None or self._hyperparameters is None:
            raise StateError(
                "a surrogate needs at least one observation of every objective",
                "tell outcomes first",
            )
        digest, hyperparameters = self._hyperparameters
        arrays = {
            **independent.pack(hyperparameters),
            "X": observed.X,
            "outcomes": observed.outcomes,
            "errors": observed.errors,
        }
        meta = {
            "surrogate": "gp",
            "format": FORMAT,
            "observations": digest,
            "objectives": list(self.objectives.names),
            "parameters": list(self.space.names),
            "categorical": [self.space.names[j] for j in self.space.categorical],
        }
        return SurrogateFit(self._quality(surrogate), arrays, meta)

    def use_surrogate(self, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> bool:
        """Use a stored fit for the next `ask` if it belongs to the present observations.

        Returns:
            Whether it does; otherwise the next `ask` fits anew. Candidates are the same.
        """
        digest = self._digest(self._observations())
        if meta.get("surrogate") != "gp" or meta.get("observations") != digest:
            return False
        self._hyperparameters = (digest, independent.unpack(arrays))
        return True

    def _pivot_floors(self, observed: _Observations) -> FloatArray:
        """Return above which turned outcome nothing counts any more, (m,)."""
        if self.objectives.m == 1:
            floors = np.array([-math.inf])
        else:
            floors = self._reference_point(observed)
        return np.where(self.objectives.folded, math.inf, floors)

    def _digest(self, observed: _Observations) -> str:
        floors = self._pivot_floors(observed)
        parts = (observed.X, observed.outcomes, observed.errors, floors)
        return hashlib.sha256(b"gp1" + b"".join(part.tobytes() for part in parts)).hexdigest()

    def _surrogate(self, observed: _Observations) -> independent.IndependentProcesses | None:
        if len(observed.X) == 0 or np.isnan(observed.outcomes).all(axis=0).any():
            return None
        turned = self.objectives.turned(observed.outcomes)
        categorical = self.space.categorical
        digest = self._digest(observed)
        if self._hyperparameters is None or self._hyperparameters[0] != digest:
            fitted = independent.fit_each(
                observed.X, turned, observed.errors, categorical, self._pivot_floors(observed)
            )
            self._hyperparameters = (digest, fitted)
        return independent.build(
            observed.X, turned, observed.errors, self._hyperparameters[1], categorical
        )

    def _knowledge(self) -> Knowledge | None:
        observed = self._observations()
        surrogate = self._surrogate(observed)
        if surrogate is None:
            return None
        reference = self._reference_point(observed)
        inside = observed.is_inside
        pending = [r for r in self._records if r.state != FAILED and not self._is_complete(r)]
        means, _ = self.objectives.arrays([r.outcomes or {} for r in pending])
        complete = ~np.isnan(observed.outcomes).any(axis=1)
        return Knowledge(
            surrogate=surrogate,
            X=observed.X[inside & complete],
            turned=self.objectives.turned(observed.outcomes[inside & complete]),
            pending=self.space.encode([r.candidate.params for r in pending]),
            pending_turned=self.objectives.turned(means),
            reference_point=reference,
        )

    def _with_pending(self, knowledge: Knowledge, params: list[Params]) -> Knowledge:
        if not params:
            return knowledge
        unknown = np.full((len(params), self.objectives.m), np.nan)
        return replace(
            knowledge,
            pending=np.vstack([knowledge.pending, self.space.encode(params)]),
            pending_turned=np.vstack([knowledge.pending_turned, unknown]),
        )

    def _is_complete(self, record: Record) -> bool:
        return record.outcomes is not None and len(record.outcomes) == self.objectives.m

    def _counted(self, observed: _Observations) -> NDArray[np.bool_]:
        """Return which observations count for front, best and hypervolume, (n,)."""
        complete = ~np.isnan(observed.outcomes).any(axis=1)
        return complete & observed.is_inside & self.objectives.is_feasible(observed.outcomes)

    def _reference_point(self, observed: _Observations) -> FloatArray:
        """Return the reference point in `Y`, (m,): the user's, else inferred.

        Inferred, per objective: the worst value on the front of the initial design or its median,
        whichever is worse, and a tenth of the way from the best value further.
        """
        given = self.objectives.reference_point
        complete = ~np.isnan(observed.outcomes).any(axis=1)
        Y = self.objectives.minimised(observed.outcomes[complete & observed.is_initial])
        if len(Y) == 0:
            Y = self.objectives.minimised(observed.outcomes[complete])[:1]
        if len(Y) == 0:
            return np.where(np.isnan(given), 0.0, given)
        worst = np.maximum(Y[is_non_dominated(Y)].max(axis=0), np.median(Y, axis=0))
        span = worst - Y.min(axis=0)
        span = np.where(span > 0, span, np.maximum(np.abs(worst), 1.0))
        return np.asarray(np.where(np.isnan(given), worst + 0.1 * span, given))

    def _is_reference_fixed(self) -> bool:
        """Whether the initial design is through, so that the reference point stays for ever."""
        if not np.isnan(self.objectives.reference_point).any():
            return True
        first_model = self._first_model_number()
        initial = [r for r in self._records if r.candidate.number < first_model]
        is_asked = (
            first_model < len(self._records)
            or len(initial) + len(self._additions) >= self.initial_samples
        )
        return is_asked and all(r.state == FAILED or self._is_complete(r) for r in initial)

    # Results

    def pareto_front(self) -> list[dict[str, Any]]:
        """Return the non-dominated observations that satisfy everything, by first objective.

        Returns:
            [{"id", "params", "outcomes"}]; with one objective, all points that share the best
            value. Points with a missing outcome are not part of it.
        """
        observed = self._observations()
        rows = np.flatnonzero(self._counted(observed))
        Y = self.objectives.minimised(observed.outcomes[rows])
        front = rows[is_non_dominated(Y)] if len(rows) else rows
        order = np.argsort(self.objectives.minimised(observed.outcomes[front])[:, 0], kind="stable")
        return [self._point(observed, int(row)) for row in front[order]]

    def _point(self, observed: _Observations, row: int) -> dict[str, Any]:
        return {
            "id": observed.ids[row],
            "params": dict(observed.params[row]),
            "outcomes": {
                name: float(observed.outcomes[row, j])
                for j, name in enumerate(self.objectives.names)
            },
        }

    def best(self) -> dict[str, Any] | None:
        """Return the best observation, {"id", "params", "outcomes"}, or None.

        With two objectives it is a compromise: the point of the front that is nearest to the best
        value of every objective, each scaled to its range on the front.
        """
        front = self.pareto_front()
        if len(front) <= 1 or self.objectives.m == 1:
            return front[0] if front else None
        means, _ = self.objectives.arrays([point["outcomes"] for point in front])
        Y = self.objectives.minimised(means)
        span = np.maximum(Y.max(axis=0) - Y.min(axis=0), 1e-300)
        distance = np.sum(((Y - Y.min(axis=0)) / span) ** 2, axis=1)
        return front[int(np.argmin(distance))]

    def hypervolume(self) -> float | None:
        """Return the dominated hypervolume against the fixed reference point.

        None until the reference point is fixed: at once if the user gave one, else when the
        initial design is through.
        """
        observed = self._observations()
        return self._hypervolume(observed, self._counted(observed))

    def _hypervolume(self, observed: _Observations, rows: NDArray[np.bool_]) -> float | None:
        if not self._is_reference_fixed() or len(observed.X) == 0:
            return None
        Y = self.objectives.minimised(observed.outcomes[rows])
        return hypervolume(Y, self._reference_point(observed))

    def reference_point(self) -> dict[str, float] | None:
        """Return the reference point per objective in the user's units, None until it is fixed.

        For an objective with a target it is the largest deviation that counts.
        """
        if not self._is_reference_fixed():
            return None
        observed = self._observations()
        point = self._reference_point(observed)
        measured = np.where(self.objectives.folded, point, self.objectives.measured(point[None])[0])
        return {name: float(measured[j]) for j, name in enumerate(self.objectives.names)}

    def convergence(self) -> dict[str, Any]:
        """Return whether the campaign has converged, why, and its trace.

        Returns:
            {"converged", "reason", "trace"}; the trace has one entry per iteration whose
            candidates all have an answer: iteration, n_observations, hypervolume, best (the best
            value of a single objective).
        """
        observed = self._observations()
        counted = self._counted(observed)
        trace = []
        for iteration in range(self._resolved_iterations()):
            rows = counted & (observed.iteration <= iteration)
            trace.append(
                {
                    "iteration": iteration,
                    "n_observations": int(np.sum(observed.iteration <= iteration)),
                    "hypervolume": self._hypervolume(observed, rows),
                    "best": self._best_value(observed, rows),
                }
            )
        reason = self._stalled(observed, trace)
        return {"converged": reason is not None, "reason": reason, "trace": trace}

    def _resolved_iterations(self) -> int:
        """Return how many iterations, from the first one on, have no open candidate."""
        open_ones = [
            r.candidate.iteration
            for r in self._records
            if r.state != FAILED and not self._is_complete(r)
        ]
        return min(open_ones, default=self._next_iteration())

    def _best_value(self, observed: _Observations, rows: NDArray[np.bool_]) -> float | None:
        if self.objectives.m > 1 or not rows.any():
            return None
        Y = self.objectives.minimised(observed.outcomes[rows])[:, 0]
        return float(observed.outcomes[rows][int(np.argmin(Y)), 0])

    def _stalled(self, observed: _Observations, trace: list[dict[str, Any]]) -> str | None:
        rule = self.definition.optimizer.active_learning
        patience, threshold = rule.convergence_patience, rule.convergence_threshold
        first = self._first_model_number()
        last_initial = self._records[first - 1].candidate.iteration if first else 0
        if patience is None or first == len(self._records):
            return None
        key = "hypervolume" if self.objectives.m > 1 else "best"
        values = [entry[key] for entry in trace[last_initial:]]
        if any(value is None for value in values) or not values:
            return None
        if self.objectives.m == 1:
            values = self.objectives.minimised(np.array(values)[:, None])[:, 0].tolist()
            Y = self.objectives.minimised(observed.outcomes[observed.is_initial])[:, 0]
            scale = float(np.nanmax(Y) - np.nanmin(Y)) if np.any(~np.isnan(Y)) else 0.0
        else:
            scale = values[-1]
        if not stalled(values, patience, threshold, scale):
            return None
        return (
            f"{patience} iterations together improved the "
            f"{'hypervolume' if self.objectives.m > 1 else 'best value'} "
            f"by less than {threshold:g} of its scale"
        )

    @single_threaded
    def parity(self) -> dict[str, dict[str, list[float]]]:
        """Return leave-one-out predictions, {objective: {"measured", "predicted", "std"}}.

        Empty while an objective has no observation. All in the user's units.
        """
        surrogate = self._surrogate(self._observations())
        return {} if surrogate is None else self._parity(surrogate)

    def _parity(
        self, surrogate: independent.IndependentProcesses
    ) -> dict[str, dict[str, list[float]]]:
        result = {}
        for j, (name, process) in enumerate(
            zip(self.objectives.names, surrogate.processes, strict=True)
        ):
            mean, std = process.leave_one_out()
            both = np.zeros((len(mean), self.objectives.m, 2))
            both[:, j, 0], both[:, j, 1] = process.y, mean
            result[name] = {
                "measured": self.objectives.measured(both[:, :, 0])[:, j].tolist(),
                "predicted": self.objectives.measured(both[:, :, 1])[:, j].tolist(),
                "std": std.tolist(),
            }
        return result

    def _quality(self, surrogate: independent.IndependentProcesses) -> dict[str, dict[str, float]]:
        return {
            name: quality(*(np.array(column[key]) for key in ("measured", "predicted", "std")))
            for name, column in self._parity(surrogate).items()
        }

    # Life

    @property
    def state(self) -> str:
        """created, running, waiting (all asked, some not answered), converged or completed."""
        if not self._records:
            return "created"
        is_open = self._resolved_iterations() < self._next_iteration()
        if len(self._records) >= self.definition.optimizer.budget:
            return "waiting" if is_open else "completed"
        return "converged" if self.convergence()["converged"] else "running"

    @property
    def candidates(self) -> list[dict[str, Any]]:
        """Every candidate so far with its state and outcomes, as in `dump`."""
        return copy.deepcopy([record.as_dict() for record in self._records])

    def dump(self) -> dict[str, Any]:
        """Return the whole campaign as JSON-able data for `load`."""
        saved = {
            "format": FORMAT,
            "definition": self.definition.model_dump(mode="json"),
            "candidates": [record.as_dict() for record in self._records],
            "added": [
                {"params": a.params, "outcomes": a.outcomes, "after": a.after}
                for a in self._additions
            ],
            "pool": self._given_pool,
        }
        return copy.deepcopy(saved)

    @classmethod
    def load(cls, saved: Mapping[str, Any]) -> Campaign:
        """Return the campaign that `dump` described; it goes on as if never saved.

        Candidates may stand in any order; `predicted`, `why` and `after` may be missing.

        Raises:
            DataError: The data is of another format or incomplete.
        """
        if saved.get("format") != FORMAT:
            raise DataError(
                f"this campaign was saved in format {saved.get('format')!r}, not {FORMAT}",
                "load it with the version of MatCraft that saved it",
            )
        definition = Definition.model_validate(saved["definition"])
        campaign = cls(definition, copy.deepcopy(saved.get("pool")))
        records = [Record.from_dict(row) for row in copy.deepcopy(list(saved["candidates"]))]
        campaign._records = sorted(records, key=lambda record: record.candidate.number)
        campaign._additions = [
            Addition(campaign._plain(row["params"]), dict(row["outcomes"]), row.get("after", 0))
            for row in copy.deepcopy(list(saved.get("added", ())))
        ]
        return campaign


def _unconstrained(definition: Definition) -> Definition:
    return definition.model_copy(update={"constraints": []})
