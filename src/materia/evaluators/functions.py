"""Evaluator `function`: a published problem with a known answer, for tests and benchmarks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from materia.errors import EvaluationError
from materia.evaluators.base import (
    Evaluation,
    Evaluator,
    Input,
    Options,
    error_at,
    inputs,
    missing_findings,
    warning_at,
)
from materia.evaluators.places import Places
from materia.evaluators.problems import PROBLEMS, TestProblem
from materia.mdl.definition import Definition
from materia.mdl.finding import Finding
from materia.mdl.suggest import did_you_mean

__all__ = ["PROBLEMS", "FunctionEvaluator", "FunctionOptions", "TestProblem"]


class FunctionOptions(Options):
    """Options of the evaluator `function`."""

    name: str = Field(description="name of a problem, such as branin_currin or zdt1")
    delay_s: float = Field(0.0, ge=0, le=3600, description="pause that imitates slow work")


class FunctionEvaluator(Evaluator):
    """Matches parameters to the function's inputs, and objectives to its outputs, in order."""

    options_model = FunctionOptions

    def __init__(self, definition: Definition, options: FunctionOptions, places: Places) -> None:
        super().__init__(definition, options, places)
        self.problem = PROBLEMS[options.name]
        self.input_names = [declared.name for declared in inputs(definition)]
        self.delay_s = options.delay_s
        self.cheap = options.delay_s == 0

    @classmethod
    def findings(
        cls, definition: Definition, options: FunctionOptions, places: Places
    ) -> list[Finding]:
        """Check the numbers of inputs and objectives, the bounds and the directions."""
        problem = PROBLEMS.get(options.name)
        if problem is None:
            fix = did_you_mean(options.name, sorted(PROBLEMS))
            message = f"there is no function '{options.name}'"
            return [error_at("evaluator.options.name", message, fix)]
        return [
            *_count_findings(problem, definition),
            *missing_findings(f"function '{problem.name}'", inputs(definition)),
            *_bounds_findings(problem, list(inputs(definition))),
            *_direction_findings(problem, definition),
        ]

    def evaluate(self, params: Mapping[str, Any], *, seed: int) -> Evaluation:
        """Return the function's values; deterministic, the seed is not used."""
        point = np.array([[float(params[name]) for name in self.input_names]])
        if self.delay_s:
            time.sleep(self.delay_s)
        values = self.problem(point, len(self.objective_names))[0]
        if not np.isfinite(values).all():
            raise EvaluationError(f"function '{self.problem.name}' is not finite at {dict(params)}")
        outcomes = {n: float(v) for n, v in zip(self.objective_names, values, strict=True)}
        return Evaluation(outcomes, {"function": self.problem.name})


def _count_findings(problem: TestProblem, definition: Definition) -> list[Finding]:
    findings = []
    n_inputs, n_objectives = len(list(inputs(definition))), len(definition.objectives)
    least = 2 if problem.n_objectives is None else problem.n_objectives
    if n_objectives < least or (problem.n_objectives and n_objectives > problem.n_objectives):
        wanted = f"{least} or more" if problem.n_objectives is None else str(least)
        message = f"function '{problem.name}' gives {wanted} objectives, {n_objectives} declared"
        findings.append(error_at("objectives", message, "matched in declared order"))
    if not problem.accepts_inputs(n_inputs, n_objectives):
        least = max(problem.min_inputs, n_objectives if problem.n_objectives is None else 0)
        wanted = f"at least {least}" if problem.n_inputs is None else str(problem.n_inputs)
        message = f"function '{problem.name}' takes {wanted} numbers, {n_inputs} declared"
        findings.append(error_at("parameters", message, "matched in declared order"))
    return findings


def _bounds_findings(problem: TestProblem, declared: list[Input]) -> list[Finding]:
    findings = []
    domain = problem.bounds_for(len(declared))
    for i, (item, allowed) in enumerate(zip(declared, domain, strict=False)):
        lowest, highest = allowed
        if item.choices is not None:
            if all(_is_number(c) and lowest <= float(c) <= highest for c in item.choices):
                continue
            message = f"function '{problem.name}' takes numbers in [{lowest:g}, {highest:g}]"
            findings.append(error_at(f"{item.path}.choices", message))
        elif item.bounds and (item.bounds[0] < lowest or item.bounds[1] > highest):
            message = (
                f"input {i + 1} of function '{problem.name}' lies in [{lowest:g}, {highest:g}]"
            )
            fix = f"bounds: [{lowest:g}, {highest:g}]"
            report = warning_at if problem.is_defined_outside else error_at
            findings.append(report(f"{item.path}.bounds", message, fix))
    return findings


def _is_number(choice: object) -> bool:
    return isinstance(choice, int | float) and not isinstance(choice, bool)


def _direction_findings(problem: TestProblem, definition: Definition) -> list[Finding]:
    return [
        error_at(
            f"objectives[{i}].direction",
            f"function '{problem.name}' is to be minimised",
            "direction: minimize",
        )
        for i, objective in enumerate(definition.objectives)
        if objective.direction != "minimize"
    ]
