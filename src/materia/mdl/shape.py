"""Compare plain data with the models of `materia.mdl.definition` and say in words what differs.

Wrong keys and words whose meaning can be guessed are reported and then repaired in a copy, so that
the rest of the definition is checked in the same run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

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
    WarmStart,
)
from materia.mdl.finding import Findings
from materia.mdl.places import Path, Place, written
from materia.mdl.suggest import closest, did_you_mean
from materia.mdl.wording import choices_of, in_words, shown

PARAMETER_KINDS: Mapping[str, type[BaseModel]] = {
    "continuous": ContinuousParameter,
    "integer": IntegerParameter,
    "categorical": CategoricalParameter,
    "composition": CompositionParameter,
}
SECTIONS = tuple(Definition.model_fields)
"""Top-level keys in their usual order."""

_HOME: Mapping[str, Path] = {
    **dict.fromkeys(Optimizer.model_fields, ("optimizer",)),
    **dict.fromkeys(ActiveLearning.model_fields, ("optimizer", "active_learning")),
    **dict.fromkeys(("options", "timeout_s"), ("evaluator",)),
    **dict.fromkeys(("dataset", "bad_rows"), ("warm_start",)),
}
"""Keys that people put at the wrong level, and the section where they belong."""

_BARE: Mapping[str, str] = {
    "objectives": "name",
    "parts": "name",
    "constraints": "expression",
    "outcome_constraints": "expression",
    "evaluator": "type",
    "warm_start": "dataset",
}
"""The key that a bare word stands for where a mapping should be."""

_ROUNDS = 5  # a repair can reveal what stood behind it: a key, then a type, then a key of that type


def examine(value: Any, findings: Findings) -> tuple[Definition | None, dict[str, Any]]:
    """Return the definition, None if its shape is wrong, and a copy of the data with repairs.

    Args:
        value: Plain data, as read.
        findings: Receives what is wrong.
    """
    if not isinstance(value, dict):
        _note_no_mapping(value, findings)
        return None, {}
    data: dict[str, Any] = _copied(value)
    for key, field in Definition.model_fields.items():
        if key in data and data[key] is None and not field.is_required():
            del data[key]  # a section whose entries are all commented out
    definition, errors = _validated(data)
    for _ in range(_ROUNDS):
        n_repaired = sum(_repair(e, data, findings) for e in errors if not findings.is_full)
        if n_repaired == 0:
            break
        definition, errors = _validated(data)
    told: set[Path] = set()
    for error in errors:
        if findings.is_full:
            break
        path = _path(error)
        if path not in told and not findings.blames(path):
            told.add(path)
            findings.error(path, *in_words(error, path, _schema(path, data)))
    return definition, data


def model_at(path: Path, data: Mapping[str, Any]) -> type[BaseModel] | None:
    """Return the model of the mapping at `path`, or None where there is none or it is unknown."""
    match path:
        case ():
            return Definition
        case ("parameters", int(i)):
            return PARAMETER_KINDS.get(str(data["parameters"][i].get("type")))
        case ("parameters", int(), "parts", int()):
            return CompositionPart
        case ("objectives", int()):
            return Objective
        case ("constraints", int()):
            return Constraint
        case ("outcome_constraints", int()):
            return OutcomeConstraint
        case ("evaluator",):
            return EvaluatorChoice
        case ("warm_start",):
            return WarmStart
        case ("optimizer",):
            return Optimizer
        case ("optimizer", "active_learning"):
            return ActiveLearning
    return None


def _validated(data: dict[str, Any]) -> tuple[Definition | None, list[ErrorDetails]]:
    try:
        return Definition.model_validate(data), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def _path(error: ErrorDetails) -> Path:
    """Return where in the data an error is; the models' own steps (kinds, unions) are left out."""
    path = tuple(error["loc"])
    if path[:1] == ("parameters",) and len(path) > 2:
        path = path[:2] + path[3:]
    if path[2:3] == ("choices",):
        path = path[:4]
    if path[2:3] == ("when",):
        path = path[:5]
    if error["type"] == "missing" and isinstance(path[-1], int):
        path = path[:-1]  # a list of two numbers that has only one
    if error["type"].startswith("union_tag"):
        path = (*path, "type")
    return path


def _schema(path: Path, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of the key at `path`, without its null alternative."""
    model = model_at(path[:-1], data) if path else None
    if model is None or path[-1] not in model.model_fields:
        return {}
    schema: dict[str, Any] = model.model_json_schema()["properties"][path[-1]]
    for alternative in schema.get("anyOf", []):
        if alternative.get("type") != "null":
            return dict(alternative)
    return schema


def _repair(error: ErrorDetails, data: dict[str, Any], findings: Findings) -> bool:
    """Report an error whose meaning can be guessed and put the guess into `data`."""
    path = _path(error)
    match error["type"]:
        case "extra_forbidden":
            _repair_key(path, data, findings)
            return True
        case "union_tag_invalid" | "literal_error":
            holder = _at(data, path[:-1])
            guess = closest(str(holder[path[-1]]), choices_of(error))
            if guess is None or holder[path[-1]] == guess:
                return False
            findings.error(path, *in_words(error, path, {}))
            holder[path[-1]] = guess
            return True
        case "union_tag_not_found":
            return _repair_kind(path, data, findings)
        case "model_type" if isinstance(error["input"], str):
            return _repair_entry(error, path, data, findings)
    return False


def _repair_key(path: Path, data: dict[str, Any], findings: Findings) -> None:
    holder, key = _at(data, path[:-1]), str(path[-1])
    model = model_at(path[:-1], data)
    value = holder.pop(key)
    fields = list(model.model_fields) if model else []
    where = f" in {written(path[:-1])}" if len(path) > 1 else ""
    what = f"unknown key '{key[:60]}'{where}"
    kinds = [kind for kind, other in PARAMETER_KINDS.items() if key in other.model_fields]
    home = _HOME.get(key)
    if model in PARAMETER_KINDS.values() and kinds:
        kind = holder["type"]
        what = f"a parameter of type {kind} has no '{key}'"
        findings.error(path, what, f"remove it; type {' and '.join(kinds)} have it")
    elif home is not None and home != path[:-1] and path[0] not in ("parameters", "objectives"):
        findings.error(path, f"{what}; it belongs under {written(home)}", "move it there")
        _put(data, (*home, key), value, path, findings)
    elif (guess := closest(key, fields)) is not None and guess in holder:
        findings.error(path, f"{what}; '{guess}' is given already", "remove it")
    else:
        findings.error(path, what, did_you_mean(key, fields))
        if guess is not None:
            _put(data, (*path[:-1], guess), value, path, findings)


def _repair_kind(path: Path, data: dict[str, Any], findings: Findings) -> bool:
    """Guess the kind of a parameter without `type` from its other keys."""
    holder = _at(data, path[:-1])
    if "type" in holder or findings.blames(path):
        return False
    for key in ("choices", "parts", "bounds"):
        kinds = [kind for kind, model in PARAMETER_KINDS.items() if key in model.model_fields]
        if key in holder:
            fix = f"add {' or '.join(f'type: {kind}' for kind in kinds)}"
            findings.error(path, "'type' is missing", fix)
            holder["type"] = kinds[0]
            return True
    findings.error(path, "'type' is missing", f"add type: with one of {', '.join(PARAMETER_KINDS)}")
    return False


def _repair_entry(
    error: ErrorDetails, path: Path, data: dict[str, Any], findings: Findings
) -> bool:
    """Make a mapping of a bare word where the mapping needs little more than that word."""
    section = path[-2] if isinstance(path[-1], int) else path[-1]
    key = _BARE.get(str(section))
    if key is None:
        return False
    findings.error(path, *in_words(error, path, {}))
    _at(data, path[:-1])[path[-1]] = {key: error["input"]}
    return True


def _put(data: dict[str, Any], path: Path, value: Any, old: Path, findings: Findings) -> None:
    """Put a value where it was meant to be, unless one is there; its line goes with it."""
    holder: Any = data
    for step in path[:-1]:
        holder = holder.setdefault(step, {}) if isinstance(holder, dict) else holder[step]
    if not isinstance(holder, dict) or path[-1] in holder:
        return
    holder[path[-1]] = value
    if findings.root is None:
        return
    place = findings.root
    for step in path[:-1]:
        place = place.inside.setdefault(step, Place(findings.root.at(old).line))
    place.inside[path[-1]] = findings.root.at(old)


def _at(data: Any, path: Path) -> Any:
    for step in path:
        data = data[step]
    return data


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


def _note_no_mapping(value: Any, findings: Findings) -> None:
    if value is None:
        findings.error(
            (), "the definition is empty", "begin with name:, parameters: and objectives:"
        )
    elif isinstance(value, str) and value.endswith((".yaml", ".yml", ".json")):
        what = f"'{value[-60:]}' is the name of a file; the text of a definition is needed"
        findings.error((), what, "read the file first")
    else:
        what = f"a definition is a mapping of keys to values, not {shown(value)}"
        findings.error((), what, "begin with name:, parameters: and objectives:")
