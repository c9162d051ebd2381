"""What every evaluator is: params in, outcomes out, and a word on what it needs beforehand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from materia.errors import EvaluationError
from materia.evaluators.places import Places
from materia.mdl.definition import (
    CategoricalParameter,
    CompositionParameter,
    Definition,
    IntegerParameter,
)
from materia.mdl.finding import Finding


class Options(BaseModel):
    """Base of the options of one evaluator: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation gave.

    Attributes:
        outcomes: Value of each objective, in the user's units.
        metadata: Plain data on how they came about; JSON-able.
        standard_errors: Of the outcomes that have one, in the same units.
    """

    outcomes: dict[str, float]
    metadata: dict[str, Any] = field(default_factory=dict)
    standard_errors: dict[str, float] = field(default_factory=dict)

    @property
    def told(self) -> dict[str, float | list[float]]:
        """Outcomes as a campaign is told them: a value, or [mean, standard error]."""
        errors = self.standard_errors
        return {n: [v, errors[n]] if n in errors else v for n, v in self.outcomes.items()}


@dataclass(frozen=True)
class Input:
    """One key of `params`.

    Attributes:
        path: Where it is declared, such as ``parameters[1].parts[0]``.
        bounds: Least and greatest value; None for a categorical parameter.
        choices: Of a categorical parameter; None for a number.
        is_whole: Whether only whole numbers are meant.
        is_conditional: Whether it may not exist, which is None in params.
    """

    name: str
    path: str
    bounds: tuple[float, float] | None = None
    choices: tuple[str | bool | int | float, ...] | None = None
    is_whole: bool = False
    is_conditional: bool = False


def inputs(definition: Definition) -> Iterator[Input]:
    """Yield the keys of `params` in declared order, the parts of a composition one by one."""
    for i, parameter in enumerate(definition.parameters):
        path = f"parameters[{i}]"
        is_conditional = parameter.when is not None
        if isinstance(parameter, CompositionParameter):
            for j, part in enumerate(parameter.parts):
                bounds = part.bounds or (0.0, parameter.total)
                place = f"{path}.parts[{j}]"
                yield Input(part.name, place, bounds, is_conditional=is_conditional)
        elif isinstance(parameter, CategoricalParameter):
            choices = tuple(parameter.choices)
            yield Input(parameter.name, path, choices=choices, is_conditional=is_conditional)
        else:
            is_whole = isinstance(parameter, IntegerParameter)
            yield Input(
                parameter.name,
                path,
                parameter.bounds,
                is_whole=is_whole,
                is_conditional=is_conditional,
            )


class Evaluator(ABC):
    """A black box behind one interface.

    Building one may read files; evaluating must depend on nothing but params and seed, because a
    candidate is evaluated again after a crash and must then give the same outcomes.

    Attributes:
        options_model: The options that this evaluator takes.
        is_random: Whether the seed changes the outcomes.
        is_manual: Whether people tell the outcomes, so that nothing here can be run.
        is_tried: Whether trying it at some points costs nothing and may show faults.
        cheap: Whether an evaluation costs so little that several share one job.
    """

    options_model: ClassVar[type[Options]] = Options
    is_random: ClassVar[bool] = False
    is_manual: ClassVar[bool] = False
    is_tried: ClassVar[bool] = False
    cheap: bool = False

    def __init__(self, definition: Definition, options: Any, places: Places) -> None:
        self.definition = definition
        self.options = options
        self.objective_names = [objective.name for objective in definition.objectives]

    @classmethod
    def findings(cls, definition: Definition, options: Any, places: Places) -> list[Finding]:
        """Return what is wrong with this evaluator for this definition, all at once."""
        return []

    @abstractmethod
    def evaluate(self, params: Mapping[str, Any], *, seed: int) -> Evaluation:
        """Return the outcomes of one candidate.

        Args:
            params: In the user's units, keys as `inputs` yields them.
            seed: Of all that is random in the evaluation; from `seed_for`.

        Raises:
            EvaluationError: The candidate gave no usable outcome; others may.
        """

    def evaluate_many(
        self, batch: Sequence[tuple[Mapping[str, Any], int]]
    ) -> list[Evaluation | EvaluationError]:
        """Return the evaluation of each candidate (params, seed), or why there is none.

        To be replaced where many cost little more than one; outcomes must be the same bit for bit.
        """
        found: list[Evaluation | EvaluationError] = []
        for params, seed in batch:
            try:
                found.append(self.evaluate(params, seed=seed))
            except EvaluationError as error:
                found.append(error)
        return found

    def pinned(self) -> dict[str, Any] | None:
        """Return options that name this evaluator's files by content; None when it needs none.

        A campaign keeps them from its start on, so that a file replaced later is noticed.
        """
        return None

    def trial_findings(self, points: Iterable[Mapping[str, Any]]) -> list[Finding]:
        """Return what trying it shows; called before a campaign starts where `is_tried`.

        Args:
            points: Params all over what may be asked; made while they are read, each once.
        """
        return []

    def pool(self) -> list[dict[str, Any]] | None:
        """Return the only candidates that can be evaluated, None when anything can be."""
        return None


def missing_findings(evaluator: str, needed: Iterable[Input]) -> Iterator[Finding]:
    """Yield an error for each conditional input of an evaluator that needs a value of all."""
    for item in needed:
        if item.is_conditional:
            message = (
                f"{evaluator} needs '{item.name}' at every point, but it does not always exist"
            )
            place = item.path.partition(".")[0]
            yield error_at(f"{place}.when", message, "remove the condition")


def error_at(path: str, message: str, fix: str | None = None) -> Finding:
    """Return an error; the line is found by whoever holds the text."""
    return Finding("error", path, None, message, fix)


def warning_at(path: str, message: str, fix: str | None = None) -> Finding:
    """Return a warning; the line is found by whoever holds the text."""
    return Finding("warning", path, None, message, fix)
