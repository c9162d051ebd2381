"""The campaign definition: what a scientist declares in YAML, as frozen models.

Only the shape lives here. Findings with line numbers come from `materia.mdl.validation`; what needs
numbers (is the space feasible?) is checked by the engine.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
CampaignName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
Number = Annotated[float, Field(allow_inf_nan=False)]


class Declared(BaseModel):
    """Base of everything a user declares: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ContinuousParameter(Declared):
    """A real number between two bounds, both included."""

    name: Name
    type: Literal["continuous"] = "continuous"
    bounds: tuple[Number, Number]
    unit: str | None = None
    log_scale: bool = False
    description: str | None = None


class IntegerParameter(Declared):
    """A whole number between two bounds, both included, in steps counted from the lower one."""

    name: Name
    type: Literal["integer"] = "integer"
    bounds: tuple[int, int]
    step: Annotated[int, Field(ge=1)] = 1
    unit: str | None = None
    log_scale: bool = False
    description: str | None = None


class CategoricalParameter(Declared):
    """One of several choices; `ordered` choices have neighbours."""

    name: Name
    type: Literal["categorical"] = "categorical"
    choices: Annotated[list[str | bool | int | float], Field(min_length=1, max_length=1000)]
    ordered: bool = False
    unit: str | None = None
    description: str | None = None


class CompositionPart(Declared):
    """One part of a composition; its name is a key of `params`."""

    name: Name
    bounds: tuple[Number, Number] | None = None


class CompositionParameter(Declared):
    """Parts that sum to a total, such as at.% of an alloy.

    Each part appears in `params` under its own name; the name of the group does not.
    """

    name: Name
    type: Literal["composition"] = "composition"
    parts: Annotated[list[CompositionPart], Field(min_length=2, max_length=100)]
    total: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    step: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    max_nonzero: Annotated[int, Field(ge=1)] | None = None
    unit: str | None = None
    description: str | None = None


Parameter = Annotated[
    ContinuousParameter | IntegerParameter | CategoricalParameter | CompositionParameter,
    Field(discriminator="type"),
]


class Objective(Declared):
    """A measured outcome to minimise, to maximise, or to bring to a target value."""

    name: Name
    direction: Literal["minimize", "maximize"] = "minimize"
    target: Number | None = None
    unit: str | None = None
    reference_point: Number | None = None
    description: str | None = None


class Constraint(Declared):
    """An inequality or equation over parameters, in the grammar of `materia.mdl.expression`."""

    expression: Annotated[str, Field(min_length=1, max_length=1000)]
    description: str | None = None


class OutcomeConstraint(Declared):
    """An inequality over measured outcomes; known only after an evaluation."""

    expression: Annotated[str, Field(min_length=1, max_length=1000)]
    description: str | None = None


class EvaluatorChoice(Declared):
    """Which black box evaluates a candidate, and how."""

    type: Annotated[str, Field(min_length=1, max_length=128)]
    options: dict[str, Any] = Field(default_factory=dict)
    timeout_s: Annotated[float, Field(gt=0, le=30 * 24 * 3600)] | None = None


class ActiveLearning(Declared):
    """The initial design and the rule by which a campaign counts as converged."""

    initial_samples: Annotated[int, Field(ge=1, le=10_000)] | None = None
    convergence_patience: Annotated[int, Field(ge=1, le=10_000)] | None = None
    convergence_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.001


class Optimizer(Declared):
    """How candidates are chosen and how many there are."""

    method: Literal["cma-es"] = "cma-es"
    surrogate: Literal["auto", "gp"] = "auto"
    acquisition: Literal["auto", "ei", "ehvi"] = "auto"
    budget: Annotated[int, Field(ge=1, le=10_000)] = 100
    batch_size: Annotated[int, Field(ge=1, le=100)] = 4
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    active_learning: ActiveLearning = Field(default_factory=ActiveLearning)


class Definition(Declared):
    """A whole campaign as declared by its user."""

    name: CampaignName
    description: str | None = None
    version: str = "1.0"
    parameters: Annotated[list[Parameter], Field(min_length=1, max_length=100)]
    objectives: Annotated[list[Objective], Field(min_length=1, max_length=5)]
    constraints: Annotated[list[Constraint], Field(max_length=20)] = Field(default_factory=list)
    outcome_constraints: Annotated[list[OutcomeConstraint], Field(max_length=20)] = Field(
        default_factory=list
    )
    evaluator: EvaluatorChoice | None = None
    candidates: str | None = None
    optimizer: Optimizer = Field(default_factory=Optimizer)
