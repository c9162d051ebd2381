"""The campaign definition: what a scientist declares in YAML, as frozen models.

Only the shape lives here. Findings with line numbers come from `materia.mdl.validation`; what needs
numbers (is the space feasible?) is checked by the engine. Numbers are strict: ``true`` and ``"1"``
are none, and 10.0 is no whole number.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
CampaignName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$", coerce_numbers_to_str=True)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
Whole = Annotated[int, Field(strict=True, ge=-(2**53), le=2**53)]
Truth = Annotated[bool, Field(strict=True)]
Unit = Annotated[str, Field(max_length=64, coerce_numbers_to_str=True)]
Remark = Annotated[str, Field(max_length=10_000, coerce_numbers_to_str=True)]
Formula = Annotated[str, Field(min_length=1, max_length=4000)]
Choice = Annotated[str, Field(max_length=256)] | Truth | Whole | Number


Values = Annotated[list[Choice], Field(min_length=1, max_length=1000)]
When = Annotated[
    dict[str, Annotated[Values, BeforeValidator(lambda v: v if isinstance(v, list) else [v])]],
    Field(min_length=1, max_length=10),
]
"""Values of other parameters with which a parameter exists; one value may stand without a list."""


def _or_plugin(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Let the name of another package's surrogate, vendor.name, pass beside the known words."""
    is_plugin = isinstance(value, str) and re.fullmatch(r"[a-z0-9_]{1,63}\.[a-z0-9_]{1,63}", value)
    return value if is_plugin else check(value)


SurrogateName = Annotated[
    Literal["auto", "gp", "mlp_ensemble", "random_forest", "none"], WrapValidator(_or_plugin)
]


class Declared(BaseModel):
    """Base of everything a user declares: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ContinuousParameter(Declared):
    """A real number between two bounds, both included."""

    name: Name
    type: Literal["continuous"] = "continuous"
    bounds: tuple[Number, Number]
    when: When | None = None
    unit: Unit | None = None
    log_scale: Truth = False
    description: Remark | None = None


class IntegerParameter(Declared):
    """A whole number between two bounds, both included, in steps counted from the lower one."""

    name: Name
    type: Literal["integer"] = "integer"
    bounds: tuple[Whole, Whole]
    step: Annotated[int, Field(strict=True, ge=1, le=2**53)] = 1
    when: When | None = None
    unit: Unit | None = None
    log_scale: Truth = False
    description: Remark | None = None


class CategoricalParameter(Declared):
    """One of several choices; `ordered` choices have neighbours."""

    name: Name
    type: Literal["categorical"] = "categorical"
    choices: Annotated[list[Choice], Field(min_length=1, max_length=1000)]
    ordered: Truth = False
    when: When | None = None
    unit: Unit | None = None
    description: Remark | None = None


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
    total: Annotated[float, Field(strict=True, ge=1e-6, le=1e9)] = 1.0
    step: Positive | None = None
    max_nonzero: Annotated[int, Field(strict=True, ge=1)] | None = None
    when: When | None = None
    unit: Unit | None = None
    description: Remark | None = None


Parameter = Annotated[
    ContinuousParameter | IntegerParameter | CategoricalParameter | CompositionParameter,
    Field(discriminator="type"),
]


class Objective(Declared):
    """A measured outcome to minimise, to maximise, or to bring to a target value."""

    name: Name
    direction: Literal["minimize", "maximize"] = "minimize"
    target: Number | None = None
    unit: Unit | None = None
    reference_point: Number | None = None
    stop_at: Number | None = None
    description: Remark | None = None


class Constraint(Declared):
    """An inequality or equation over parameters, in the grammar of `materia.mdl.expression`."""

    expression: Formula
    description: Remark | None = None


class OutcomeConstraint(Declared):
    """An inequality over measured outcomes; known only after an evaluation."""

    expression: Formula
    description: Remark | None = None


class EvaluatorChoice(Declared):
    """Which black box evaluates a candidate, and how."""

    type: Annotated[str, Field(min_length=1, max_length=128)]
    options: dict[str, Any] = Field(default_factory=dict)
    timeout_s: Annotated[float, Field(strict=True, gt=0, le=30 * 24 * 3600)] | None = None


class WarmStart(Declared):
    """Earlier measurements that a campaign begins with; they cost no budget.

    Attributes:
        sem: Heading of the standard errors of an objective, by its name.
        sha256: Of the file; filled in when a campaign starts.
    """

    dataset: Annotated[str, Field(min_length=1, max_length=4096)]
    columns: dict[str, str] = Field(default_factory=dict)
    sem: dict[str, str] = Field(default_factory=dict)
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    bad_rows: Literal["reject", "skip"] = "reject"
    sha256: Annotated[str, Field(min_length=64, max_length=64)] | None = None


class ActiveLearning(Declared):
    """The initial design and the rule by which a campaign counts as converged."""

    initial_samples: Annotated[int, Field(strict=True, ge=1, le=10_000)] | None = None
    convergence_patience: Annotated[int, Field(strict=True, ge=1, le=10_000)] | None = None
    convergence_threshold: Annotated[float, Field(strict=True, gt=0, lt=1)] = 0.001


class Optimizer(Declared):
    """How candidates are chosen and how many there are."""

    method: Literal["cma-es"] = "cma-es"
    surrogate: SurrogateName = "auto"
    acquisition: Literal[
        "auto", "ei", "noisy_ei", "ucb", "pi", "thompson", "ehvi", "noisy_ehvi", "parego"
    ] = "auto"
    budget: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 100
    batch_size: Annotated[int, Field(strict=True, ge=1, le=100)] = 4
    replicates: Annotated[int, Field(strict=True, ge=1, le=100)] = 1
    seed: Annotated[int, Field(strict=True, ge=0, le=2**63 - 1)] = 0
    active_learning: ActiveLearning = Field(default_factory=ActiveLearning)


class Definition(Declared):
    """A whole campaign as declared by its user."""

    name: CampaignName
    description: Remark | None = None
    version: Annotated[str, Field(max_length=32, coerce_numbers_to_str=True)] = "1.0"
    parameters: Annotated[list[Parameter], Field(min_length=1, max_length=100)]
    objectives: Annotated[list[Objective], Field(min_length=1, max_length=5)]
    constraints: Annotated[list[Constraint], Field(max_length=20)] = Field(default_factory=list)
    outcome_constraints: Annotated[list[OutcomeConstraint], Field(max_length=20)] = Field(
        default_factory=list
    )
    evaluator: EvaluatorChoice | None = None
    candidates: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    warm_start: WarmStart | None = None
    optimizer: Optimizer = Field(default_factory=Optimizer)
