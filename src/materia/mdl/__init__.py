"""What the user declares, as frozen models. No behaviour."""

from materia.mdl.definition import (
    ActiveLearning,
    CategoricalParameter,
    CompositionParameter,
    CompositionPart,
    Constraint,
    ContinuousParameter,
    Definition,
    EvaluatorChoice,
    IntegerParameter,
    Objective,
    Optimizer,
    OutcomeConstraint,
    Parameter,
)
from materia.mdl.validation import Finding, check, load

__all__ = [
    "ActiveLearning",
    "CategoricalParameter",
    "CompositionParameter",
    "CompositionPart",
    "Constraint",
    "ContinuousParameter",
    "Definition",
    "EvaluatorChoice",
    "Finding",
    "IntegerParameter",
    "Objective",
    "Optimizer",
    "OutcomeConstraint",
    "Parameter",
    "check",
    "load",
]
