"""What a report says, read from plain data once so that table, figures and page agree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from materia.engine.candidates import Record
from materia.engine.objectives import Objectives
from materia.engine.pareto import is_non_dominated
from materia.engine.replicates import grouped, merged
from materia.mdl.breaches import broken
from materia.mdl.definition import (
    CategoricalParameter,
    CompositionParameter,
    ContinuousParameter,
    Definition,
    IntegerParameter,
    Objective,
)
from materia.report.learnt import Learnt

MAX_EXTRAS = 100
"""Columns of what evaluators tell beyond the outcomes."""


@dataclass(frozen=True)
class Column:
    """One parameter, part or objective, as an axis or a column.

    Attributes:
        choices: Of a categorical parameter, in declared order; None for a number.
        aim: "maximize", "minimize" or "target" for an objective, None for a parameter.
    """

    name: str
    unit: str | None = None
    choices: tuple[Any, ...] | None = None
    is_log: bool = False
    aim: str | None = None

    @property
    def is_text(self) -> bool:
        """Whether it holds words; choices that are numbers are read as numbers."""
        choices = self.choices or ()
        return any(isinstance(choice, str | bool) for choice in choices)

    @property
    def label(self) -> str:
        """Name with its unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name

    @property
    def title(self) -> str:
        """Name and unit and, for an objective, where the good values are."""
        arrow = {"maximize": " ↑", "minimize": " ↓", "target": " → target"}.get(self.aim or "", "")
        return f"{self.label}{arrow}"


@dataclass(frozen=True)
class Row:
    """One candidate.

    Attributes:
        values: Params and measured outcomes by name; missing are outcomes that are not known and
            parameters that do not exist there.
        errors: Standard errors of outcomes that came with one.
        predicted: Mean and standard deviation by objective, from before the evaluation.
        is_initial: Whether it belongs to the initial design.
        breaks: Outcome constraints that the outcomes break.
        extras: What the evaluator tells beyond the outcomes, by column.
    """

    id: str
    iteration: int
    state: str
    values: Mapping[str, Any]
    errors: Mapping[str, float]
    predicted: Mapping[str, Mapping[str, float]]
    source: str
    is_initial: bool
    is_front: bool
    error: str | None = None
    breaks: Sequence[str] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Content:
    """Everything that a report shows.

    Attributes:
        facts: Short statements about the campaign, label and value.
        rows: Every candidate in the order of asking.
        points: The same, but of replicates one row: the first one's, with their means.
        trace: Per iteration: n_observations, hypervolume, best.
        parity: Per objective: measured, predicted and std, equally long lists.
        outcome_constraints: As declared.
        learnt: What the surrogate has learnt, None where that is not known.
    """

    name: str
    description: str | None
    definition: Mapping[str, Any]
    facts: Sequence[tuple[str, str]]
    parameters: Sequence[Column]
    objectives: Sequence[Column]
    rows: Sequence[Row]
    points: Sequence[Row]
    trace: Sequence[Mapping[str, Any]]
    parity: Mapping[str, Mapping[str, Sequence[float]]]
    targets: Mapping[str, float] = field(default_factory=dict)
    outcome_constraints: Sequence[str] = ()
    learnt: Learnt | None = None

    @property
    def front(self) -> list[Row]:
        """Rows of the front (or the best ones), best first objective first."""
        first = self.objectives[0]
        goal = self.targets.get(first.name)

        def badness(row: Row) -> float:
            value = float(row.values[first.name])
            if goal is not None:
                return abs(value - goal)
            return -value if first.aim == "maximize" else value

        return sorted((row for row in self.points if row.is_front), key=badness)

    @property
    def measured(self) -> list[Row]:
        """Points with a value for every objective."""
        return [r for r in self.points if all(o.name in r.values for o in self.objectives)]

    @property
    def extras(self) -> list[str]:
        """Names of all further columns, in the order in which they appear first."""
        return list(dict.fromkeys(name for row in self.rows for name in row.extras))[:MAX_EXTRAS]

    @classmethod
    def of(
        cls,
        campaign: Mapping[str, Any],
        candidates: Sequence[Mapping[str, Any]],
        convergence: Mapping[str, Any],
        parity: Mapping[str, Any],
        learnt: Learnt | None = None,
    ) -> Content:
        """Return the content of a campaign; arguments as for `materia.report.write`."""
        definition = Definition.model_validate(campaign["definition"])
        limits = [constraint.expression for constraint in definition.outcome_constraints]
        rows = []
        for candidate in candidates:
            means, errors = _outcomes(candidate)
            rows.append(_row(candidate, means, errors, broken(limits, means)))
        points = _points(definition, candidates, rows, limits)
        if not any("is_pareto" in candidate for candidate in candidates):
            points = _with_front(definition, points)
        replicates = definition.optimizer.replicates
        if replicates == 1:
            rows = points
        elif points:
            rows = [
                replace(row, is_front=row.state == "told" and points[i // replicates].is_front)
                for i, row in enumerate(rows)
            ]
        return cls(
            name=str(campaign["name"]),
            description=definition.description,
            definition=campaign["definition"],
            facts=_facts(campaign, definition, rows, points, convergence),
            parameters=[column for p in definition.parameters for column in _columns(p)],
            objectives=[_objective(objective) for objective in definition.objectives],
            rows=rows,
            points=points,
            trace=list(convergence.get("trace") or []),
            parity=parity,
            targets={o.name: o.target for o in definition.objectives if o.target is not None},
            outcome_constraints=limits,
            learnt=learnt,
        )


def number(value: Any, digits: int = 5) -> str:
    """Return a number as people read it, to so many digits; anything else as text."""
    if value is None:
        return ""  # a parameter that does not exist there
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e6):
        return str(int(value))
    if 10**digits <= abs(value) < 1e5:
        return f"{value:.0f}"  # shorter than with an exponent
    return f"{value:.{digits}g}" if math.isfinite(value) else "–"


def _outcomes(candidate: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """Return measured means and standard errors; an outcome may be a number or a pair."""
    means, errors = {}, {}
    for name, outcome in (candidate.get("outcomes") or {}).items():
        if isinstance(outcome, list | tuple):
            means[name], errors[name] = float(outcome[0]), float(outcome[1])
        elif outcome is not None:
            means[name] = float(outcome)
    return means, errors


def _points(
    definition: Definition,
    candidates: Sequence[Mapping[str, Any]],
    rows: Sequence[Row],
    limits: Sequence[str],
) -> list[Row]:
    """Return one row per point, with means and standard errors where it has replicates."""
    replicates = definition.optimizer.replicates
    if replicates == 1:
        return list(rows)
    records = [Record.from_dict({**one, "number": i}) for i, one in enumerate(candidates)]
    asked = grouped(records, replicates)
    objectives = Objectives(definition)
    found = merged(asked, objectives)
    points = []
    for k in range(len(asked)):
        members = rows[k * replicates : (k + 1) * replicates]
        first = next((row for row in members if row.state == "told"), members[0])
        means, errors = (
            {n: float(v) for n, v in zip(objectives.names, values[k], strict=True) if v == v}
            for values in (found.means, found.errors)
        )
        points.append(
            replace(
                first,
                values={**first.values, **means},
                errors=errors,
                is_front=any(row.is_front for row in members),
                breaks=broken(limits, means),
            )
        )
    return points


def _with_front(definition: Definition, points: Sequence[Row]) -> list[Row]:
    """Return the points, those on the front marked."""
    objectives = Objectives(definition)
    outcomes = np.array(
        [[row.values.get(name, math.nan) for name in objectives.names] for row in points]
    ).reshape(len(points), objectives.m)
    counted = ~np.isnan(outcomes).any(axis=1) & objectives.is_feasible(outcomes)
    front = np.zeros(len(points), dtype=bool)
    if counted.any():
        front[counted] = is_non_dominated(objectives.minimised(outcomes[counted]))
    return [replace(row, is_front=bool(flag)) for row, flag in zip(points, front, strict=True)]


def _row(
    candidate: Mapping[str, Any],
    means: Mapping[str, float],
    errors: Mapping[str, float],
    breaks: Sequence[str],
) -> Row:
    source = str((candidate.get("why") or {}).get("source", ""))
    error = candidate.get("error")
    existing = {name: v for name, v in candidate["params"].items() if v is not None}
    values = {**existing, **means}
    return Row(
        id=str(candidate["id"]),
        iteration=int(candidate["iteration"]),
        state=str(candidate["state"]),
        values=values,
        errors=errors,
        predicted=candidate.get("predicted") or {},
        source=source,
        is_initial=source in ("", "initial design"),
        is_front=bool(candidate.get("is_pareto")),
        error=error.get("message") if isinstance(error, Mapping) else error,
        breaks=breaks,
        extras=_extras(candidate.get("metadata") or {}, values),
    )


def _extras(metadata: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata as columns: what lies inside has the names on the way there before its own.

    Properties that an evaluator computed besides stand under their own name, once.
    """
    found: dict[str, Any] = {}
    for name, value in metadata.items():
        if name == "properties" and isinstance(value, Mapping):
            found |= {key: inner for key, inner in value.items() if key not in known}
        elif isinstance(value, Mapping):
            found |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            found[name] = value
    plain = {key: value for key, value in found.items() if value is not None}
    return {
        key: "x".join(map(str, value)) if isinstance(value, list | tuple) else value
        for key, value in plain.items()
    }


def _columns(parameter: Any) -> list[Column]:
    if isinstance(parameter, CompositionParameter):
        return [Column(part.name, parameter.unit) for part in parameter.parts]
    if isinstance(parameter, CategoricalParameter):
        return [Column(parameter.name, parameter.unit, choices=tuple(parameter.choices))]
    assert isinstance(parameter, ContinuousParameter | IntegerParameter)
    return [Column(parameter.name, parameter.unit, is_log=parameter.log_scale)]


def _objective(objective: Objective) -> Column:
    aim = "target" if objective.target is not None else objective.direction
    return Column(objective.name, objective.unit, aim=aim)


def _facts(
    campaign: Mapping[str, Any],
    definition: Definition,
    rows: Sequence[Row],
    points: Sequence[Row],
    convergence: Mapping[str, Any],
) -> list[tuple[str, str]]:
    n_told = sum(row.state == "told" for row in rows)
    n_failed = sum(row.state == "failed" for row in rows)
    facts = [("state", str(campaign.get("state", "")))]
    facts += [("evaluations", f"{n_told} of {definition.optimizer.budget}")]
    if n_failed:
        facts.append(("failed", str(n_failed)))
    n_broken = sum(bool(row.breaks) for row in rows)
    if n_broken:
        facts.append(("break outcome constraints", str(n_broken)))
    facts.append(("iteration", str(max((row.iteration for row in rows), default=0))))
    if len(definition.objectives) > 1:
        facts.append(("on the front", str(sum(row.is_front for row in points))))
        if campaign.get("hypervolume") is not None:
            facts.append(("hypervolume", number(campaign["hypervolume"])))
    facts.append(("seed", str(definition.optimizer.seed)))
    if definition.evaluator is not None:
        facts.append(("evaluator", definition.evaluator.type))
    if convergence.get("reason"):
        facts.append(("ended", str(convergence["reason"])))
    return [(label, value) for label, value in facts if value]
