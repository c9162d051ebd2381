"""Objectives: the only crossing between measured outcomes and minimised `Y`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine.relations import differentiate
from materia.errors import DataError, EvaluationError
from materia.mdl.definition import Definition
from materia.mdl.expression import parse

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

# Larger outcomes are taken for the overflow they are; their squares could not be summed.
MAX_MAGNITUDE = 1e100


class Objectives:
    """All objectives of a definition.

    Surrogates model the *turned* outcome: its sign changed for maximisation, its target subtracted.
    `Y` equals the turned outcome, or its absolute value for an objective with a target; modelling
    before folding keeps the surrogate smooth.

    Attributes:
        names: In the order of declaration.
        m: Number of objectives.
        folded: Per objective, whether it has a target.
        reference_point: In `Y`, (m,), NaN where not declared.
        stop_at: What is good enough, in `Y`, (m,), NaN where not declared.
    """

    def __init__(self, definition: Definition) -> None:
        self.names = tuple(objective.name for objective in definition.objectives)
        self.m = len(self.names)
        self.folded = tuple(o.target is not None for o in definition.objectives)
        self._sign = np.array(
            [
                -1.0 if o.direction == "maximize" and o.target is None else 1.0
                for o in definition.objectives
            ]
        )
        self._target = np.array([o.target or 0.0 for o in definition.objectives])
        references = [o.reference_point for o in definition.objectives]
        raw = np.array([math.nan if r is None else float(r) for r in references])
        self.reference_point = self.minimised(raw[None])[0]
        enough = [math.nan if o.stop_at is None else o.stop_at for o in definition.objectives]
        self.stop_at = self.minimised(np.array(enough)[None])[0]
        self._relations = [parse(c.expression) for c in definition.outcome_constraints]
        self.n_outcome_constraints = len(self._relations)

    def turned(self, outcomes: FloatArray) -> FloatArray:
        """Return what surrogates model, (n, m), from outcomes (n, m) in the user's units."""
        return np.asarray(self._sign * (outcomes - self._target))

    def minimised(self, outcomes: FloatArray) -> FloatArray:
        """Return `Y`, (n, m), from outcomes (n, m) in the user's units."""
        return self.fold(self.turned(outcomes))

    def fold(self, turned: FloatArray) -> FloatArray:
        """Return `Y` from turned outcomes, (n, m)."""
        return np.where(np.array(self.folded), np.abs(turned), turned)

    def expected(self, mean: FloatArray, std: FloatArray) -> FloatArray:
        """Return the turned outcomes, (n, m), that normal ones are worth on average.

        That is the mean, except for an objective with a target: a point whose mean is the target
        will miss it by about its standard deviation, and must not be believed to hit it.
        """
        from scipy.special import erf

        z = mean / (std * math.sqrt(2.0))
        deviation = std * math.sqrt(2.0 / math.pi) * np.exp(-z * z) + mean * erf(z)
        signed = np.where(mean < 0, -deviation, deviation)
        return np.where(np.array(self.folded), signed, mean)

    def measured(self, turned: FloatArray) -> FloatArray:
        """Return outcomes in the user's units, (n, m), from turned ones."""
        return np.asarray(self._sign * turned + self._target)

    def is_feasible(self, outcomes: FloatArray) -> BoolArray:
        """Return where every outcome constraint holds, (n,); an unknown outcome breaks it."""
        values = {name: outcomes[:, j] for j, name in enumerate(self.names)}
        feasible = np.ones(len(outcomes), dtype=np.bool_)
        for relation in self._relations:
            feasible &= np.broadcast_to(relation.violation(values) <= 0, len(outcomes))
        return feasible

    def log_probability_feasible(self, mean: FloatArray, std: FloatArray) -> FloatArray:
        """Return the log probability that all outcome constraints hold, (n,).

        Independent normal outcomes; a constraint that is not linear is linearised at the mean, and
        several constraints are taken as independent.

        Args:
            mean: Of turned outcomes, (n, m).
            std: Of turned outcomes, (n, m).
        """
        from scipy.special import log_ndtr

        outcomes = self.measured(mean)
        values = {name: outcomes[:, j] for j, name in enumerate(self.names)}
        index = {name: j for j, name in enumerate(self.names)}
        total = np.zeros(len(mean))
        for relation in self._relations:
            assert relation.right is not None
            with np.errstate(all="ignore"):
                left, d_left = differentiate(relation.left, values, index)
                right, d_right = differentiate(relation.right, values, index)
                spread = np.sqrt(np.sum(((d_left - d_right) * std) ** 2, axis=-1))
                margin = (right - left) * (-1.0 if relation.relation in (">", ">=") else 1.0)
                if relation.relation == "==":
                    margin = -np.abs(margin)
                total += log_ndtr(np.nan_to_num(margin / np.maximum(spread, 1e-300), nan=-1e9))
        return total

    def check(self, outcomes: Mapping[str, Any], *, where: str) -> dict[str, Any]:
        """Return outcomes as JSON-able numbers or [mean, sem] pairs.

        Args:
            outcomes: Some or all objectives; a value, or (mean, standard error).
            where: Names the candidate in messages.

        Raises:
            DataError: No outcome, an unknown name, or something that is not a number.
            EvaluationError: A value is NaN or infinite; a failed evaluation is told as None.
        """
        unknown = [str(name) for name in outcomes if name not in self.names]
        if unknown or not outcomes:
            raise DataError(
                f"outcomes of {where} {'name ' + ', '.join(unknown) if unknown else 'are empty'}",
                f"objectives are {', '.join(self.names)}; None stands for a failed evaluation",
            )
        return {name: _number(outcomes[name], name, where) for name in outcomes}

    def arrays(self, outcomes: Sequence[Mapping[str, Any]]) -> tuple[FloatArray, FloatArray]:
        """Return measured means and standard errors, each (n, m), NaN where there is none."""
        means = np.full((len(outcomes), self.m), np.nan)
        errors = np.full((len(outcomes), self.m), np.nan)
        for i, row in enumerate(outcomes):
            for j, name in enumerate(self.names):
                value = row.get(name)
                if isinstance(value, list | tuple):
                    means[i, j], errors[i, j] = value
                elif value is not None:
                    means[i, j] = value
        return means, errors


def _number(value: Any, name: str, where: str) -> float | list[float]:
    if isinstance(value, list | tuple):
        if len(value) != 2:
            raise DataError(f"'{name}' of {where} is {value!r}", "give a value or (mean, sem)")
        mean, sem = (_finite(part, name, where) for part in value)
        if sem < 0:
            raise DataError(f"the standard error of '{name}' of {where} is negative: {sem}")
        return [mean, sem]
    return _finite(value, name, where)


def _finite(value: Any, name: str, where: str) -> float:
    is_number = isinstance(value, int | float | np.integer | np.floating)
    if isinstance(value, bool | np.bool_) or not is_number:
        raise DataError(f"'{name}' of {where} is {value!r}, not a number")
    result = float(value)
    if not abs(result) <= MAX_MAGNITUDE:
        raise EvaluationError(
            f"'{name}' of {where} is {result}, which is no usable outcome",
            "tell None for the whole candidate when its evaluation failed",
        )
    return result
