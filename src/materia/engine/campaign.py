"""The campaign: ask for candidates, tell what came out, dump and go on later.

Nothing is hidden: candidates follow from the definition, the observations in candidate order, how
many candidates were asked before, and the number of the iteration. `dump` holds all of that.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from materia.engine import convergence, explanations, fitting
from materia.engine.candidates import (
    FAILED,
    INITIAL_DESIGN,
    TOLD,
    Addition,
    Candidate,
    Record,
)
from materia.engine.constraints import Constraints
from materia.engine.evolution import Evolving
from materia.engine.explained import Explained
from materia.engine.fitting import Fitted, Fitting, SurrogateFit
from materia.engine.objectives import Objectives
from materia.engine.observations import Observations, Places, first_model_number, gather
from materia.engine.proposal import Knowledge, Proposal, Proposer
from materia.engine.reachable import Key, Params, Reachable, key_of
from materia.engine.replicates import Asked, grouped, merged
from materia.engine.space import SearchSpace
from materia.engine.standing import Standing, reference_point
from materia.engine.threads import single_threaded
from materia.errors import DataError, NotFoundError, StateError, SurrogateError
from materia.mdl.definition import Definition

FORMAT = 1
EXHAUSTED = "every possible candidate has been asked"
FALLBACK = "fallback"
"""Source of candidates of the design that stand in where no surrogate could be fitted."""


class Campaign(Explained):
    """One optimisation campaign, in memory.

    Args:
        definition: What the user declared.
        pool: Rows of `params` that alone may be asked, for campaigns over a fixed table. Rows
            outside the search space or against a constraint are left out.

    Raises:
        InfeasibleError: A composition cannot reach its total.
        StateError: A surrogate that is not installed, or the definition names a table of
            candidates and no pool was given.
    """

    def __init__(
        self, definition: Definition, pool: Iterable[Mapping[str, Any]] | None = None
    ) -> None:
        _check_supported(definition, has_pool=pool is not None)
        if definition.optimizer.surrogate != "none":
            fitting.kind_declared(definition.optimizer)
        self.definition = definition
        self.space = SearchSpace(definition)
        self.constraints = Constraints(definition, self.space)
        self.objectives = Objectives(definition)
        self._pool = None if pool is None else [self._plain(row) for row in pool]
        self._reachable = Reachable(
            self.space, self.constraints, definition.optimizer.seed, self._pool
        )
        self._records: list[Record] = []
        self._additions: list[Addition] = []
        self._gathered: Observations | None = None
        self._places = Places(self._reachable), Places(self._reachable)
        self._fitted: Fitted | None = None
        self._evolving = Evolving(self._reachable, self.objectives, definition.optimizer.batch_size)

    @classmethod
    def from_definition(
        cls,
        definition: Definition,
        pool: Iterable[Mapping[str, Any]] | None = None,
        earlier: Iterable[Mapping[str, Any]] | None = None,
    ) -> Campaign:
        """Return a new campaign for a validated definition.

        Args:
            definition: What was declared.
            pool: As of `Campaign`.
            earlier: Rows {"params", "outcomes"} to `add` before anything is asked; those of the
                dataset that `warm_start` names.

        Raises:
            InfeasibleError: Nothing satisfies the declaration.
            StateError: The definition names earlier data, and none were given.
        """
        campaign = cls(definition, pool)
        campaign._reachable.check()
        if definition.warm_start is not None and earlier is None:
            raise StateError(
                f"this campaign begins with the rows of '{definition.warm_start.dataset}', which "
                "were not given",
                "pass them: Campaign.from_definition(definition, earlier=rows)",
            )
        for row in earlier or ():
            campaign.add(row["params"], row["outcomes"])
        return campaign

    @classmethod
    def _beside_files(
        cls,
        definition: Definition,
        pool: Iterable[Mapping[str, Any]] | None,
        earlier: Iterable[Mapping[str, Any]] | None,
        base_dir: Path,
    ) -> Campaign:
        """Return a new campaign; who may read files finds in `base_dir` what was not given."""
        return cls.from_definition(definition, pool, earlier)

    @classmethod
    def from_dict(
        cls,
        definition: Mapping[str, Any],
        pool: Iterable[Mapping[str, Any]] | None = None,
        earlier: Iterable[Mapping[str, Any]] | None = None,
    ) -> Campaign:
        """Return a new campaign for a definition given as plain data.

        Raises:
            DefinitionError: With every finding.
        """
        from materia.mdl.validation import load

        loaded = load(copy.deepcopy(dict(definition)))
        return cls._beside_files(loaded, pool, earlier, Path())

    @classmethod
    def from_yaml(
        cls,
        source: str | Path,
        pool: Iterable[Mapping[str, Any]] | None = None,
        earlier: Iterable[Mapping[str, Any]] | None = None,
    ) -> Campaign:
        """Return a new campaign for a YAML file, or for YAML text.

        Args:
            source: A path, or text (anything with a line break or a colon followed by a space).
            pool: As of `Campaign`.
            earlier: As of `from_definition`.

        Raises:
            DefinitionError: With every finding.
        """
        from materia.mdl.validation import load

        is_text = isinstance(source, str) and ("\n" in source or ": " in source)
        text = str(source) if is_text else Path(source).read_bytes()
        base_dir = Path() if is_text else Path(source).parent
        return cls._beside_files(load(text), pool, earlier, base_dir)

    def ask(self, n: int | None = None) -> list[Candidate]:
        """Return the next candidates; one call is one iteration.

        With `optimizer.replicates` every new point comes as so many candidates in a row; what `n`
        cuts off comes first the next time.

        Args:
            n: How many; by default `next_batch_size()`. Never more than the budget leaves, and
                fewer when a finite space runs out.

        Raises:
            StateError: The budget is spent, or every point of a finite space was asked.
        """
        n = self._wanted(n)
        iteration = self._next_iteration()
        n_points = -(-(n - self._n_lacking) // self.definition.optimizer.replicates)
        points = self._propose(n_points, iteration) if n_points > 0 else []
        proposed = self._numbered(points, n, iteration)
        if not proposed:
            raise StateError(
                "no candidate is left: every possible one has been asked or added",
                "widen the search space, add rows to the table, or stop here",
            )
        self._records += [Record(candidate) for candidate in proposed]
        self._gathered = None
        return copy.deepcopy(proposed)

    def _wanted(self, n: int | None) -> int:
        if n is None:
            n = max(self.next_batch_size(), 1)
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
            raise DataError(
                f"ask({n!r}) is not possible", "the number of candidates is a whole number above 0"
            )
        left = self._budget_left
        if left <= 0:
            raise StateError(
                f"the budget of {self.definition.optimizer.budget} evaluations is spent",
                "raise optimizer.budget to go on",
            )
        return min(int(n), left)

    @single_threaded
    def _propose(self, n: int, iteration: int) -> list[Candidate]:
        """Return up to n new points, each as its first candidate, not yet numbered."""
        first = len(self._records)
        asked, taken = self._asked, self._taken()
        optimizer = self.definition.optimizer
        n_missing = max(0, self.initial_samples - len(self._additions) - len(asked))
        rng = np.random.default_rng(np.random.SeedSequence([optimizer.seed, iteration, first]))
        if optimizer.surrogate == "none":
            found = self._evolving.propose(n, n_missing, asked, self._additions, taken, rng)
            return [_candidate(iteration, params, None, {"source": src}) for params, src in found]
        why = {"source": INITIAL_DESIGN}
        try:
            fitted = self._fit()
        except SurrogateError as error:
            fitted, why = None, {"source": FALLBACK, "reason": error.message}
        n_design = n if fitted is None else min(n, n_missing)
        points = self._reachable.design(n_design, taken)
        candidates = [_candidate(iteration, params, None, dict(why)) for params in points]
        if fitted is not None and len(candidates) < n:
            known = self._knowledge(fitted, points)
            known_keys = taken.union(map(key_of, points))
            proposals = self._proposer.propose(known, n - len(points), known_keys, rng)
            gain = self._proposer.remaining_gain(known, rng)
            candidates += [self._explained(iteration, proposal, gain) for proposal in proposals]
        return candidates

    def _numbered(self, points: list[Candidate], n: int, iteration: int) -> list[Candidate]:
        """Return the next n candidates: what the last point still lacks, then new points."""
        first, replicates = len(self._records), self.definition.optimizer.replicates
        lacking = [record.candidate for record in self._records[-1:]] * self._n_lacking
        repeated = lacking + [point for point in points for _ in range(replicates)]
        return [
            replace(
                copy.deepcopy(candidate),
                id=f"c{first + i + 1:04d}",
                number=first + i,
                iteration=iteration,
            )
            for i, candidate in enumerate(repeated[:n])
        ]

    def _explained(
        self, iteration: int, proposal: Proposal, gain: tuple[float, float] | None
    ) -> Candidate:
        mean = self.objectives.measured(proposal.mean[None])[0]
        predicted = {
            name: {"mean": float(mean[j]), "std": float(proposal.std[j])}
            for j, name in enumerate(self.objectives.names)
        }
        value = proposal.acquisition
        why: dict[str, Any] = {
            "source": proposal.source,
            "acquisition": math.exp(min(value, 700.0)),
            "log_acquisition": value if math.isfinite(value) else None,
            **self._reasons(proposal),
        }
        if gain is not None and math.isfinite(sum(gain)):
            why["remaining_gain"] = {"mean": gain[0], "std": gain[1]}
        return _candidate(iteration, proposal.params, predicted, why)

    def _reasons(self, proposal: Proposal) -> dict[str, Any]:
        observed = self._observed
        x = self.space.encode([proposal.params])[0]
        return {
            "exploration": explanations.exploration(
                proposal.mean,
                proposal.std,
                self.objectives.minimised(observed.outcomes[observed.counts]),
                reference_point(observed, self.objectives),
                self.objectives,
            ),
            "nearest": explanations.nearest(x, observed, self.space),
            "active_constraints": self.constraints.active(x),
        }

    @cached_property
    def _proposer(self) -> Proposer:
        acquisition = self.definition.optimizer.acquisition
        return Proposer(self._reachable, self.objectives, acquisition)

    def _knowledge(self, fitted: Fitted, design: list[Params]) -> Knowledge:
        """Return what the next points are chosen from; `design` has just become pending."""
        observed = self._observed
        rows = observed.is_inside & observed.is_complete
        pending = [point for point in self._asked if not point.is_settled(self.objectives.m)]
        means = np.vstack(
            [
                merged(pending, self.objectives).means,
                np.full((len(design), self.objectives.m), np.nan),
            ]
        )
        failed = [point.params for point in self._asked if point.has_failed]
        return Knowledge(
            surrogate=fitted.surrogate,
            X=observed.X[rows],
            pending=self.space.encode([point.params for point in pending] + design),
            pending_turned=self.objectives.turned(means),
            measured=observed.X,
            failed=self.space.encode(failed),
            reference_point=reference_point(observed, self.objectives),
        )

    @cached_property
    def initial_samples(self) -> int:
        """Points of the initial design: as declared, else 2 (d + 1) and at most half the budget."""
        optimizer = self.definition.optimizer
        budget = -(-optimizer.budget // optimizer.replicates)
        declared = optimizer.active_learning.initial_samples
        if declared is not None:
            return declared
        return max(2, min(2 * (self.space.n_free + 1), budget // 2))

    def next_batch_size(self) -> int:
        """Return how many candidates the next iteration should ask.

        0 when the budget is spent, or every point of a finite space was asked.
        """
        if self.is_exhausted:
            return 0
        optimizer = self.definition.optimizer
        missing = self.initial_samples - len(self._additions)
        n_points = missing if not self._records and missing > 0 else optimizer.batch_size
        return max(0, min(n_points * optimizer.replicates, self._budget_left))

    @property
    def is_exhausted(self) -> bool:
        """Whether a pool, or a finite space small enough to be listed, has no point left to ask."""
        keys = self._reachable.keys
        return keys is not None and self._n_lacking == 0 and keys <= self._taken()

    @property
    def _budget_left(self) -> int:
        return self.definition.optimizer.budget - len(self._records)

    @property
    def _n_lacking(self) -> int:
        """How many candidates the last point still needs."""
        return -len(self._records) % self.definition.optimizer.replicates

    @property
    def _asked(self) -> list[Asked]:
        """Points so far in the order of asking, each with all of its candidates."""
        return grouped(self._records, self.definition.optimizer.replicates)

    def _taken(self) -> set[Key]:
        asked = {key_of(record.candidate.params) for record in self._records}
        return asked | {key_of(addition.params) for addition in self._additions}

    def _next_iteration(self) -> int:
        return max((r.candidate.iteration for r in self._records), default=-1) + 1

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
        self._gathered = None

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
        self._gathered = None

    def _plain(self, params: Mapping[str, Any]) -> Params:
        """Return params in declared order and Python's own types."""
        return {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in self.space.completed(params).items()
        }

    @property
    def _observed(self) -> Observations:
        if self._gathered is None:
            self._gathered = gather(self._asked, self._additions, self._places, self.objectives)
        return self._gathered

    def _fitting(self) -> Fitting | None:
        return Fitting.of(self._observed, self.space, self.objectives, self.definition.optimizer)

    def _fit(self, device: str | None = None) -> Fitted | None:
        if self.definition.optimizer.surrogate == "none":
            return None
        inputs = self._fitting()
        if inputs is None:
            return None
        self._fitted = replace(inputs, device=device).fit(self._fitted)
        return self._fitted

    @single_threaded
    def fit(self, device: str | None = None) -> SurrogateFit:
        """Return the surrogate of the present observations as plain data, and keep it for `ask`.

        Args:
            device: Of PyTorch, for Gaussian processes of many observations; None is NumPy.

        Raises:
            StateError: An objective has not been observed yet, or the definition wants none.
            MissingExtraError: PyTorch is not installed.
            DeviceError: The device is not there, or its memory does not suffice.
        """
        if self.definition.optimizer.surrogate == "none":
            raise StateError(
                "this campaign searches without a surrogate", "declare surrogate: auto to have one"
            )
        inputs, fitted = self._fitting(), self._fit(device)
        if inputs is None or fitted is None:
            raise StateError(
                "a surrogate needs at least one observation of every objective",
                "tell outcomes first",
            )
        return fitting.as_data(fitted, inputs, self.space, self.objectives)

    @single_threaded
    def use_surrogate(self, arrays: Mapping[str, Any], meta: Mapping[str, Any]) -> bool:
        """Use a stored fit for the next `ask` if it belongs to the present observations.

        Returns:
            Whether it does; otherwise the next `ask` fits anew. Candidates are the same.
        """
        inputs = self._fitting()
        stored = None if inputs is None else fitting.from_data(arrays, meta, inputs)
        if stored is None:
            return False
        self._fitted = stored
        return True

    def _standing(self) -> Standing:
        return Standing(
            self._observed, self.objectives, is_reference_fixed=self._is_reference_fixed()
        )

    def _is_reference_fixed(self) -> bool:
        """Whether the initial design is through, so that the reference point stays for ever."""
        if not np.isnan(self.objectives.reference_point).any():
            return True
        first_model = first_model_number(self._records)
        initial = self._records[:first_model]
        n_initial = len(initial) + len(self._additions)
        is_asked = first_model < len(self._records) or n_initial >= self.initial_samples
        return is_asked and all(record.is_settled(self.objectives.m) for record in initial)

    def pareto_front(self) -> list[dict[str, Any]]:
        """Return the non-dominated observations that satisfy everything, by first objective.

        Returns:
            [{"id", "params", "outcomes"}]; with one objective, all points that share the best
            value. Points with a missing outcome are not part of it.
        """
        return self._standing().front()

    def best(self) -> dict[str, Any] | None:
        """Return the best observation, {"id", "params", "outcomes"}, or None.

        With several objectives it is a compromise: the point of the front that is nearest to the
        best value of every objective, each scaled to its range on the front.
        """
        return self._standing().best()

    def hypervolume(self) -> float | None:
        """Return the dominated hypervolume against the fixed reference point.

        None until the reference point is fixed: at once if the user gave one, else when the
        initial design is through.
        """
        return self._standing().hypervolume()

    def reference_point(self) -> dict[str, float] | None:
        """Return the reference point per objective in the user's units, None until it is fixed.

        For an objective with a target it is the largest deviation that counts.
        """
        point = self._standing().reference_point
        if point is None:
            return None
        measured = self.objectives.measured(point[None])[0]
        in_units = np.where(self.objectives.folded, point, measured)
        return dict(zip(self.objectives.names, in_units.tolist(), strict=True))

    def convergence(self) -> dict[str, Any]:
        """Return whether the campaign has converged, why, and its trace.

        Returns:
            {"converged", "reason", "trace", "remaining"}; the trace has one entry per iteration
            whose candidates all have an answer: iteration, n_observations, hypervolume, best (the
            best outcome of a single objective). `remaining` is what the surrogate of the last
            proposal expected that the best possible points would still add: mean and std, in the
            unit of the objective or of the hypervolume, the iteration, and an advice, "stop" or
            "go on"; None before the first proposal. It is no more than an advice.
        """
        trace = self._standing().trace(self._n_settled_iterations())
        first = first_model_number(self._records)
        rule = self.definition.optimizer.active_learning
        reason = None
        if first < len(self._records):
            reason = convergence.reason(
                trace,
                first=self._records[first - 1].candidate.iteration if first else 0,
                patience=rule.convergence_patience,
                threshold=rule.convergence_threshold,
                objectives=self.objectives,
                initial=self._observed.outcomes[self._observed.is_initial],
            )
        if (enough := self._standing().reached()) is not None:
            reason = f"'{enough}' is good enough: it reaches what 'stop_at' asks for"
        return {
            "converged": reason is not None,
            "reason": reason,
            "trace": trace,
            "remaining": self.remaining(),
        }

    def remaining(self) -> dict[str, Any] | None:
        """Return the gain that was left at the last proposal, as in `convergence`."""
        for record in reversed(self._records):
            gain = record.candidate.why.get("remaining_gain")
            if gain is not None:
                observed = self._observed
                scale = convergence.scale_of(
                    self.hypervolume() or 0.0,
                    self.objectives,
                    observed.outcomes[observed.is_initial],
                )
                threshold = self.definition.optimizer.active_learning.convergence_threshold
                found = convergence.advice(gain, threshold, scale)
                return {**gain, "iteration": record.candidate.iteration, "advice": found}
        return None

    def _n_settled_iterations(self) -> int:
        """Return how many iterations, from the first one on, have no open candidate."""
        is_open = [
            r.candidate.iteration for r in self._records if not r.is_settled(self.objectives.m)
        ]
        return min(is_open, default=self._next_iteration())

    @property
    def state(self) -> str:
        """Where the campaign is.

        created (nothing asked), running, converged, waiting (nothing left to ask, answers missing),
        completed (budget spent, all answered) or exhausted (every point of a finite space asked
        and answered before that).
        """
        if not self._records:
            return "created"
        if self._budget_left <= 0 or self.is_exhausted:
            if self._n_settled_iterations() < self._next_iteration():
                return "waiting"
            return "completed" if self._budget_left <= 0 else "exhausted"
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
            "added": [addition.as_dict() for addition in self._additions],
            "pool": self._pool,
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
        try:
            definition = Definition.model_validate(saved["definition"])
            records = [Record.from_dict(row) for row in copy.deepcopy(list(saved["candidates"]))]
            additions = [Addition.from_dict(row) for row in copy.deepcopy(saved.get("added") or [])]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"the saved campaign is incomplete: {error!r}") from error
        campaign = cls(definition, copy.deepcopy(saved.get("pool")))
        campaign._records = sorted(records, key=lambda record: record.candidate.number)
        campaign._additions = additions
        return campaign


def _candidate(
    iteration: int,
    params: Params,
    predicted: dict[str, dict[str, float]] | None,
    why: dict[str, Any],
) -> Candidate:
    return Candidate("", -1, iteration, params, predicted, why)


def _check_supported(definition: Definition, *, has_pool: bool) -> None:
    evaluator = definition.evaluator
    needs_pool = definition.candidates is not None or (
        evaluator is not None and evaluator.type == "table"
    )
    if needs_pool and not has_pool:
        raise StateError(
            "this campaign runs over a table of candidates, which was not given",
            "pass its rows: Campaign.from_definition(definition, pool=rows)",
        )
