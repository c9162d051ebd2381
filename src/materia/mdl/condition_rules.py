"""What conditions of parameters must satisfy: a parent that can decide, with values that it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from materia.mdl.constraint_rules import Names
from materia.mdl.definition import (
    CategoricalParameter,
    CompositionParameter,
    ContinuousParameter,
    IntegerParameter,
    Parameter,
)
from materia.mdl.expression import Expression
from materia.mdl.finding import Findings
from materia.mdl.places import Path
from materia.mdl.suggest import did_you_mean

MAX_LISTED = 8
"""Values that a message lists."""
_DECIDES = "only a categorical or an integer parameter can decide"


def judge_conditions(declared: Mapping[Path, Parameter], names: Names, findings: Findings) -> None:
    """Note what is wrong with the conditions of parameters.

    Args:
        declared: Those of the right shape, by their paths.
        names: Of everything that is declared.
        findings: Receives what is wrong.
    """
    by_name = {parameter.name: parameter for parameter in declared.values()}
    parts = [
        part.name
        for parameter in declared.values()
        if isinstance(parameter, CompositionParameter)
        for part in parameter.parts
    ]
    for path, parameter in declared.items():
        for name, values in (parameter.when or {}).items():
            here = (*path, "when", name)
            if name == parameter.name or name in _names(parameter):
                what = f"'{name}' cannot depend on itself"
                findings.error(here, what, "name another parameter, or remove the condition")
            elif (parent := by_name.get(name)) is None:
                if names.is_complete and name not in (*names.numbers, *names.categories):
                    findings.error(here, *_unknown(name, names, by_name.values()))
                elif name in parts:
                    what = f"'{name}' is a part of a composition, so that no value is met exactly"
                    findings.error(here, what, _DECIDES)
            elif isinstance(parent, ContinuousParameter | CompositionParameter):
                findings.error(here, *_undecided(parent))
            else:
                _judge_values(parent, values, here, findings)
    _judge_circles(declared, by_name, findings)


def _names(parameter: Parameter) -> list[str]:
    if isinstance(parameter, CompositionParameter):
        return [part.name for part in parameter.parts]
    return [parameter.name]


def _unknown(name: str, names: Names, others: Iterable[Parameter]) -> tuple[str, str | None]:
    if name in names.objectives:
        return f"'{name}' is an objective, known only after an evaluation", _DECIDES
    known = [p.name for p in others if isinstance(p, CategoricalParameter | IntegerParameter)]
    what = f"there is no parameter '{name[:64]}'"
    if not known:
        return what, f"{_DECIDES}, and there is none"
    return what, did_you_mean(name, known)


def _undecided(parent: ContinuousParameter | CompositionParameter) -> tuple[str, str]:
    what = f"'{parent.name}' is {parent.type}, so that none of its values is met exactly"
    fix = "add a categorical parameter that says yes or no, and let both depend on it"
    return what, fix


def _judge_values(
    parent: CategoricalParameter | IntegerParameter,
    values: Sequence[Any],
    here: Path,
    findings: Findings,
) -> None:
    wrong = [value for value in values if not _has(parent, value)]
    if wrong:
        what = f"'{parent.name}' cannot be {wrong[0]!r}"
        if isinstance(parent, CategoricalParameter):
            fix = did_you_mean(str(wrong[0]), [str(choice) for choice in parent.choices])
        else:
            low, high = parent.bounds
            fix = f"it is a whole number from {low} to {high} in steps of {parent.step}"
        findings.error(here, what, fix)
    elif isinstance(parent, CategoricalParameter) and all(
        any(_same(choice, value) for value in values) for choice in parent.choices
    ):
        what = f"all choices of '{parent.name}' are listed, so that the condition always holds"
        findings.warn(here, what, "leave out a choice, or remove the condition")


def _has(parent: CategoricalParameter | IntegerParameter, value: Any) -> bool:
    if isinstance(parent, CategoricalParameter):
        return any(_same(choice, value) for choice in parent.choices)
    if isinstance(value, bool | str) or value != int(value):
        return False
    low, high = parent.bounds
    if low > high:
        return True  # reported with its bounds
    return low <= value <= high and (int(value) - low) % parent.step == 0


def _same(choice: Any, value: Any) -> bool:
    # 1, 1.0 and True are equal in Python; only the first two mean the same to a user.
    return isinstance(choice, bool) == isinstance(value, bool) and bool(choice == value)


def _judge_circles(
    declared: Mapping[Path, Parameter], by_name: Mapping[str, Parameter], findings: Findings
) -> None:
    told: set[str] = set()
    for path, parameter in declared.items():
        circle = _circle(parameter.name, by_name)
        if len(circle) > 1 and told.isdisjoint(circle):
            told.update(circle)
            chain = " on ".join([*circle, circle[0]])
            what = f"parameters depend on each other in a circle: {chain}"
            findings.error((*path, "when"), what, "remove one of these conditions")


def _circle(name: str, by_name: Mapping[str, Parameter]) -> list[str]:
    """Return the names of a circle that begins and ends at `name`, empty where there is none."""
    trails = [[name]]
    seen: set[str] = set()
    while trails:
        trail = trails.pop()
        parameter = by_name.get(trail[-1])
        for parent in (parameter.when or {}) if parameter else {}:
            if parent == name:
                return trail
            if parent not in seen:
                seen.add(parent)
                trails.append([*trail, parent])
    return []


def judge_reach(
    relation: Expression, declared: Iterable[Parameter], path: Path, findings: Findings
) -> None:
    """Say where a constraint does not apply, because some of its parameters do not exist there."""
    conditions = [
        (name, parameter.when or {})
        for parameter in declared
        for name in _names(parameter)
        if name in relation.names
    ]
    some = next(((name, when) for name, when in conditions if when), None)
    if some is None or all(when == some[1] for _, when in conditions):
        return
    where = " and ".join(f"{parent} is {_listed(values)}" for parent, values in some[1].items())
    what = f"'{some[0]}' exists only where {where}; elsewhere the constraint does not apply"
    fix = "for the points without it, write a second constraint of the other parameters"
    findings.warn(path, what, fix)


def _listed(values: Sequence[Any]) -> str:
    more = " or …" if len(values) > MAX_LISTED else ""
    return " or ".join(str(value) for value in values[:MAX_LISTED]) + more
