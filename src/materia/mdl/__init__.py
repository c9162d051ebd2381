"""What the user declares: frozen models, the grammar of expressions, and validation in words.

definition.py         the models; the shape of everything
yaml.py, plain.py     text or Python objects to plain data, within limits, lines remembered
shape.py, wording.py  plain data against the models, in words
rules.py              what parts must satisfy together; *_rules.py what one part must satisfy
expression.py         constraints and formulas: tokens.py, tree.py, arithmetic.py, interval.py
validation.py         check and load: all of the above in one call
"""

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
from materia.mdl.expression import Expression, parse
from materia.mdl.validation import Finding, check, load, locate

__all__ = [
    "ActiveLearning",
    "CategoricalParameter",
    "CompositionParameter",
    "CompositionPart",
    "Constraint",
    "ContinuousParameter",
    "Definition",
    "EvaluatorChoice",
    "Expression",
    "Finding",
    "IntegerParameter",
    "Objective",
    "Optimizer",
    "OutcomeConstraint",
    "Parameter",
    "check",
    "load",
    "locate",
    "parse",
]
