"""Evaluator `expression`: one formula per objective, in the grammar of `materia.mdl.expression`.

    evaluator:
      type: expression
      options:
        hardness: "12 + 4 * log(thickness) + inertness * flow"
        inertness: {gas: {N2: 0.2, Ar: 0.5}}

An option under the name of an objective is its formula. Any other option is a lookup, which turns
the choices of one categorical parameter into numbers that formulas use by the option's name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ConfigDict, Field

from materia.errors import DefinitionError, EvaluationError
from materia.evaluators.base import (
    Evaluation,
    Evaluator,
    Input,
    Options,
    error_at,
    inputs,
)
from materia.evaluators.places import Places
from materia.mdl.definition import Definition
from materia.mdl.expression import Expression, parse
from materia.mdl.finding import Finding
from materia.mdl.suggest import did_you_mean
from materia.mdl.tokens import shorten

Choice = str | bool | int | float
Lookup = dict[str, dict[str, float]]
"""Of one parameter, the number of each choice; choices are written as YAML does."""


class ExpressionOptions(Options):
    """Formulas and lookups by name."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str | float | Lookup] = Field(init=False)

    @property
    def formulas(self) -> dict[str, str]:
        """Text of every formula; a bare number is one."""
        entries = (self.__pydantic_extra__ or {}).items()
        return {name: str(entry) for name, entry in entries if not isinstance(entry, dict)}

    @property
    def lookups(self) -> dict[str, Lookup]:
        """Number of every choice, by lookup and parameter."""
        entries = (self.__pydantic_extra__ or {}).items()
        return {name: entry for name, entry in entries if isinstance(entry, dict)}


class ExpressionEvaluator(Evaluator):
    """Computes each objective from the parameters by its formula."""

    options_model = ExpressionOptions
    is_tried = True
    cheap = True

    def __init__(self, definition: Definition, options: ExpressionOptions, places: Places) -> None:
        super().__init__(definition, options, places)
        self.formulas: dict[str, Expression] = {
            name: parse(options.formulas[name], functions=True) for name in self.objective_names
        }
        self.lookups = options.lookups

    @classmethod
    def findings(
        cls, definition: Definition, options: ExpressionOptions, places: Places
    ) -> list[Finding]:
        """Check that each objective has a formula, and each formula only known names."""
        declared = {item.name: item for item in inputs(definition)}
        objectives = [objective.name for objective in definition.objectives]
        findings = [
            error_at(
                "evaluator.options",
                f"objective '{name}' has no formula",
                f"add '{name}: \"...\"' to the options",
            )
            for name in objectives
            if name not in options.formulas
        ]
        for name, text in options.formulas.items():
            path = f"evaluator.options.{name}"
            if name in objectives:
                findings += _formula_findings(path, text, declared, options)
            else:
                message = f"'{name}' is no objective"
                findings.append(error_at(path, message, did_you_mean(name, objectives)))
        for name, lookup in options.lookups.items():
            taken = name in declared or name in objectives
            findings += _lookup_findings(name, lookup, declared, taken)
        return findings

    def evaluate(self, params: Mapping[str, Any], *, seed: int) -> Evaluation:
        """Return the formulas' values; deterministic, the seed is not used."""
        outcomes = self._outcomes(params)
        for name, outcome in outcomes.items():
            if not math.isfinite(outcome):
                raise EvaluationError(
                    f"the formula of '{name}' gives {outcome} at {dict(params)}",
                    "add a constraint that keeps candidates where the formula is defined",
                )
        return Evaluation(outcomes)

    def trial_findings(self, points: Iterable[Mapping[str, Any]]) -> list[Finding]:
        """Report formulas that are undefined wherever they are tried."""
        undefined, n_points = list(self.formulas), 0
        for params in points:
            n_points += 1
            outcomes = self._outcomes(params)
            if all(map(math.isfinite, outcomes.values())):
                return []
            undefined = [name for name in undefined if not math.isfinite(outcomes[name])]
        if n_points == 0:
            return []
        tried = f"at any of {n_points} points that may be asked"
        fix = "correct the formula, or the bounds and constraints of its parameters"
        findings = [
            error_at(
                f"evaluator.options.{name}",
                f"the formula '{shorten(self.formulas[name].text)}' gives no finite number {tried}",
                fix,
            )
            for name in undefined
        ]
        if findings:
            return findings
        listed = ", ".join(f"'{name}'" for name in self.formulas)
        message = f"the formulas of {listed} do not all give finite numbers {tried}"
        return [error_at("evaluator.options", message, fix)]

    def _outcomes(self, params: Mapping[str, Any]) -> dict[str, float]:
        """Return the value of each formula, infinite or NaN where it is undefined.

        A parameter that does not exist counts as 0, and so does what is looked up by it.
        """
        values = {name: 0.0 if value is None else value for name, value in params.items()}
        for name, lookup in self.lookups.items():
            ((parameter, numbers),) = lookup.items()
            choice = params[parameter]
            values[name] = 0.0 if choice is None else numbers[_written(choice)]
        return {name: float(formula.evaluate(values)) for name, formula in self.formulas.items()}


def _formula_findings(
    path: str, text: str, declared: dict[str, Input], options: ExpressionOptions
) -> Iterator[Finding]:
    try:
        formula = parse(text, functions=True)
    except DefinitionError as error:
        yield error_at(path, error.message, error.hint)
        return
    if formula.relation is not None:
        yield error_at(path, f"'{formula.relation}' compares; a formula gives a number")
    allowed = [*declared, *options.lookups]
    for name in sorted(formula.names, key=lambda name: formula.columns[name]):
        where = f"column {formula.columns[name]}"
        choices = declared[name].choices if name in declared else None
        if name not in allowed:
            message = f"{where}: there is no parameter '{name}'"
            yield error_at(path, message, did_you_mean(name, allowed))
        elif choices and any(isinstance(choice, str) for choice in choices):
            yield error_at(
                path,
                f"{where}: the choices of '{name}' are no numbers",
                f"add a lookup, '{name}_value: {{{name}: {{{choices[0]}: 1.0, ...}}}}', "
                f"and use {name}_value",
            )


def _lookup_findings(
    name: str, lookup: Lookup, declared: dict[str, Input], taken: bool
) -> Iterator[Finding]:
    path = f"evaluator.options.{name}"
    if taken:
        yield error_at(path, f"'{name}' is a parameter or objective already", "rename the lookup")
    if len(lookup) != 1:
        yield error_at(
            path, "a lookup names exactly one parameter", "{parameter: {choice: number}}"
        )
        return
    ((parameter, numbers),) = lookup.items()
    categorical = [item.name for item in declared.values() if item.choices is not None]
    if parameter not in categorical:
        message = f"there is no categorical parameter '{parameter}'"
        yield error_at(path, message, did_you_mean(parameter, categorical))
        return
    choices = [_written(choice) for choice in declared[parameter].choices or ()]
    missing = [choice for choice in choices if choice not in numbers]
    if missing:
        fix = f"add {', '.join(f'{choice}: 1.0' for choice in missing[:5])} with the right number"
        yield error_at(path, f"no number for {', '.join(missing)} of '{parameter}'", fix)
    unknown = [choice for choice in numbers if choice not in choices]
    if unknown:
        fix = did_you_mean(unknown[0], choices)
        yield error_at(path, f"'{parameter}' has no choice {', '.join(unknown)}", fix)
    if not all(math.isfinite(number) for number in numbers.values()):
        yield error_at(path, "numbers of a lookup must be finite")


def _written(choice: Choice) -> str:
    return str(choice).lower() if isinstance(choice, bool) else str(choice)
