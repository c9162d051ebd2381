"""What constraints must satisfy beyond their grammar: known names, a relation that can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from materia.errors import DefinitionError
from materia.mdl.expression import EQUALITY_TOLERANCE, Expression, parse
from materia.mdl.finding import Findings
from materia.mdl.interval import Interval, interval
from materia.mdl.places import Path
from materia.mdl.suggest import did_you_mean


@dataclass
class Names:
    """What each declared name stands for, whether or not the rest of its declaration is sound."""

    numbers: list[str] = field(default_factory=list)
    """Parameters and parts that have numeric values."""
    categories: list[str] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=dict)
    """Parts of each composition."""
    objectives: list[str] = field(default_factory=list)
    is_complete: bool = True
    """Whether every entry of parameters and objectives has a name that could be read."""


def judge_constraint(
    text: str, names: Names, box: Mapping[str, Interval], path: Path, findings: Findings
) -> Expression | None:
    """Note what is wrong with one constraint over parameters; returns it if it can be read."""
    relation = _parsed(text, path, findings)
    if relation is None:
        return None
    if not relation.names:
        what = "the constraint names no parameter, so it cannot choose anything"
        findings.error(path, what, did_you_mean("", names.numbers))
        return None
    unknown = sorted(relation.names - set(names.numbers), key=relation.columns.__getitem__)
    for name in unknown:
        is_known = name in (*names.categories, *names.groups, *names.objectives)
        if names.is_complete or is_known:
            findings.error(path, *_unknown_parameter(name, relation.columns[name], names))
    if not unknown:
        _judge_range(relation, box, path, findings)
    return relation


def judge_outcome_constraint(text: str, names: Names, path: Path, findings: Findings) -> None:
    """Note what is wrong with one constraint over measured outcomes."""
    relation = _parsed(text, path, findings)
    if relation is None:
        return
    if not relation.names:
        what = "the constraint names no objective, so it cannot depend on a measurement"
        findings.error(path, what, did_you_mean("", names.objectives))
    for name in sorted(relation.names - set(names.objectives), key=relation.columns.__getitem__):
        what = f"column {relation.columns[name]}: '{name}' is not one of the objectives"
        fix = did_you_mean(name, names.objectives)
        if not names.is_complete:
            continue
        if name in (*names.numbers, *names.categories, *names.groups):
            what, fix = f"{what} but a parameter", "move the constraint to constraints"
        elif "did you mean" not in fix:
            fix = f"only declared objectives can be constrained for now; {fix}"
        findings.error(path, what, fix)
    if relation.relation == "==":
        what = "a measured outcome never equals a number exactly"
        findings.error(path, what, "use <= and >=, or an objective with a target")


def _parsed(text: str, path: Path, findings: Findings) -> Expression | None:
    try:
        expression = parse(text)
    except DefinitionError as error:
        findings.error(path, error.message, error.hint)
        return None
    if expression.relation is None:
        what = "the constraint compares nothing; it needs one of <= >= < > =="
        findings.error(path, what, f"for example {text.strip()[:40]} <= 1")
        return None
    return expression


def _unknown_parameter(name: str, column: int, names: Names) -> tuple[str, str]:
    where = f"column {column}: "
    if name in names.categories:
        return (
            f"{where}'{name}' is categorical; only numbers can be constrained",
            "remove the choices that are not wanted, or remove the constraint",
        )
    if name in names.groups:
        parts = ", ".join(names.groups[name][:10])
        return (
            f"{where}'{name}' is a composition, not a number",
            f"name its parts, which always sum to its total: {parts}",
        )
    if name in names.objectives:
        return (
            f"{where}'{name}' is an objective, known only after an evaluation",
            "move the constraint to outcome_constraints",
        )
    return f"{where}there is no parameter '{name[:64]}'", did_you_mean(name, names.numbers)


def _judge_range(
    relation: Expression, box: Mapping[str, Interval], path: Path, findings: Findings
) -> None:
    """Say when the bounds of the parameters alone decide a constraint."""
    assert relation.right is not None
    left, right = interval(relation.left, box), interval(relation.right, box)
    if left is None or right is None:
        return
    if relation.relation in (">=", ">"):
        left, right = right, left
    slack = EQUALITY_TOLERANCE * max(1.0, *map(abs, left), *map(abs, right))
    is_equation = relation.relation == "=="
    if left[0] - right[1] > slack or (is_equation and right[0] - left[1] > slack):
        if relation.relation in (">=", ">"):
            left, right = right, left
        what = "the constraint can never hold: within the bounds of the parameters the left side "
        what += f"{_range(left)} and the right side {_range(right)}"
        findings.error(path, what, "change the constraint or the bounds of its parameters")
    elif not is_equation and left[1] < right[0]:
        what = "the constraint always holds within the bounds, so it has no effect"
        findings.warn(path, what, "check the number, or remove the constraint")


def _range(side: Interval) -> str:
    lower, upper = side
    return f"is {lower:g}" if lower == upper else f"lies between {lower:g} and {upper:g}"
