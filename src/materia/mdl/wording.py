"""Say in plain words what a value of the wrong shape should have been."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import ErrorDetails

from materia.mdl.places import Path
from materia.mdl.suggest import did_you_mean
from materia.mdl.tokens import shorten

EXAMPLES: Mapping[str, str] = {
    "name": "name: temperature",
    "type": "type: continuous",
    "bounds": "bounds: [0, 1]",
    "choices": "choices: [A, B]",
    "when": "when: {additive: [A, B]}",
    "parts": "parts: [{name: Cu}, {name: Ni}]",
    "expression": 'expression: "a + b <= 1"',
    "parameters": "parameters: [{name: x, type: continuous, bounds: [0, 1]}]",
    "objectives": "objectives: [{name: strength, direction: maximize}]",
    "constraints": 'constraints: [{expression: "a + b <= 1"}]',
    "outcome_constraints": 'outcome_constraints: [{expression: "strength >= 500"}]',
    "evaluator": "evaluator: {type: ase}",
    "options": "options: {elements: [Cu, Ni]}",
    "warm_start": "warm_start: {dataset: measured.csv}",
    "dataset": "dataset: measured.csv",
    "optimizer": "optimizer: {budget: 100, batch_size: 4}",
    "active_learning": "active_learning: {initial_samples: 20}",
}
"""How each key that people leave out or get wrong may look."""

_ENTRIES: Mapping[str, str] = {
    "parameters": "{name: x, type: continuous, bounds: [0, 1]}",
    "objectives": "{name: %s, direction: maximize}",
    "constraints": '{expression: "%s"}',
    "outcome_constraints": '{expression: "%s"}',
    "parts": "{name: %s}",
    "evaluator": "{type: %s}",
    "warm_start": "{dataset: %s}",
}
"""The mapping that was meant where somebody wrote only a word."""

_NUMBER_IN_TEXT = re.compile(r"\s*([-+]?[0-9]*[.,]?[0-9]+(?:[eE][-+]?[0-9]+)?)(.*)", re.DOTALL)


def shown(value: Any) -> str:
    """Return how a message names a value of the user's."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return f"the text '{shorten(value, 40)}'"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case _:
            return shorten(str(value), 40)


def choices_of(error: ErrorDetails) -> list[str]:
    """Return the words that are allowed where a word is not."""
    context = error.get("ctx", {})
    return re.findall(r"'([^']*)'", str(context.get("expected") or context.get("expected_tags")))


def in_words(error: ErrorDetails, path: Path, schema: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return what is wrong with the value at `path`, and the fix.

    Args:
        error: What the model found.
        path: Where it is in the user's data.
        schema: JSON schema of the key, for its limits; empty when there is none.
    """
    kind, value = error["type"], error["input"]
    key = next((step for step in reversed(path) if isinstance(step, str)), "definition")
    example = f"for example {EXAMPLES[key]}" if key in EXAMPLES else None
    if key == "name" and len(path) == 1:
        example = "for example name: my-campaign"
    if path[-1:] == ("bounds",):
        return _bounds(value)
    if kind == "missing":
        return f"'{key}' is missing", example and example.replace(
            "for example", "add, for example,"
        )
    if value is None and not kind.startswith("union"):
        return f"{_subject(path, key)} is empty", example or "write a value or remove the key"
    if {"choices", "when"} & set(path) and isinstance(path[-1], int) and len(path) > 2:
        what = "must be text of at most 256 characters, a number, true or false"
        return f"a choice {what}, not {shown(value)}", "write one value for each choice"
    if path[2:3] == ("when",) and kind in ("too_short", "too_long"):
        few = "names no value, so that it can never hold"
        what = f"the condition {few if kind == 'too_short' else 'names too much'}"
        return what, f"for example {EXAMPLES['when']}"
    if kind == "string_pattern_mismatch":
        return _name(str(value), path)
    if kind in ("union_tag_invalid", "literal_error"):
        allowed = choices_of(error)
        given = error["ctx"]["tag"] if kind == "union_tag_invalid" else value
        what = f"must be one of {', '.join(allowed)}, not {shown(given)}"
        return f"'{_last(path, 'type')}' {what}", did_you_mean(str(given), allowed)
    if kind in ("too_short", "too_long"):
        return _length(kind, value, key, schema, example)
    if kind in ("string_too_short", "string_too_long"):
        limit = error["ctx"].get("max_length")
        if not value:
            return f"'{key}' is empty", example or "write something or remove the key"
        return (
            f"'{key}' has {len(value)} characters; at most {limit} are allowed",
            "make it shorter",
        )
    if (wanted := _wanted(kind)) is not None:
        return f"{_subject(path, key)} must be {wanted}{_limits(schema)}, not {shown(value)}", (
            _retype(value, kind, key, example, schema)
        )
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        limits = _limits(schema) or f" {_WORDS[kind]} {next(iter(error['ctx'].values()))}"
        return (
            f"{_subject(path, key)} must be{limits}, not {shown(value)}",
            "write a number in that range",
        )
    return f"{_subject(path, key)} is not allowed here: {shown(value)}", example


_WORDS = {
    "greater_than": "greater than",
    "greater_than_equal": "at least",
    "less_than": "less than",
    "less_than_equal": "at most",
}


def _wanted(kind: str) -> str | None:
    stem = kind.split("_")[0]
    return {
        "float": "a number",
        "finite": "a finite number",
        "int": "a whole number",
        "bool": "true or false",
        "string": "text",
        "list": "a list",
        "tuple": "a list",
        "dict": "a mapping",
        "model": "a mapping",
    }.get(stem)


def _subject(path: Path, key: str) -> str:
    return f"entry {path[-1] + 1} of '{key}'" if isinstance(path[-1], int) else f"'{key}'"


def _last(path: Path, otherwise: str) -> str:
    return path[-1] if path and isinstance(path[-1], str) else otherwise


def _bounds(value: Any) -> tuple[str, str]:
    what = "'bounds' must be two numbers, [lower, upper]"
    if isinstance(value, list):
        what += f", not {len(value)}"
        if len(value) == 4:
            return what, "write decimals with a point, not with a comma: [0.5, 1.5]"
    else:
        what += f", not {shown(value)}"
    return what, "for example bounds: [0, 1]"


def _name(value: str, path: Path) -> tuple[str, str]:
    is_campaign = path == ("name",)
    longest = 128 if is_campaign else 64
    allowed = "letters A-Z and a-z, digits" + (", _ and -" if is_campaign else " and _")
    what = f"'{shorten(value, 40)}' is not a valid name; allowed are 1 to {longest} {allowed}"
    if not is_campaign:
        what += ", not a digit first"
    plain = re.sub(r"[^A-Za-z0-9_-]+" if is_campaign else r"[^A-Za-z0-9_]+", "_", value)
    plain = plain.strip("_")[: longest - 1]
    if not is_campaign and plain[:1].isdigit():
        plain = f"x{plain}"
    return what, f"for example {plain or ('my-campaign' if is_campaign else 'x1')}"


def _length(
    kind: str, value: Any, key: str, schema: Mapping[str, Any], example: str | None
) -> tuple[str, str | None]:
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    between = f"{least} to {most}" if least and most else f"at most {most}"
    if not value:
        return f"'{key}' is an empty list; {between} entries are allowed", example
    what = f"'{key}' has {len(value)} entries; {between} are allowed"
    return what, "remove some" if kind == "too_long" else example


def _limits(schema: Mapping[str, Any]) -> str:
    """Return ' between 1 and 100' for a number with limits, or an empty text."""
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f" between {low} and {high}"
    parts = [
        f"{word} {limit:g}" if isinstance(limit, float) else f"{word} {limit}"
        for word, limit in (
            ("greater than", above),
            ("at least", low),
            ("less than", below),
            ("at most", high),
        )
        if limit is not None
    ]
    return f" {' and '.join(parts)}" if parts else ""


def _retype(
    value: Any, kind: str, key: str, example: str | None, schema: Mapping[str, Any]
) -> str | None:
    """Return how to turn what is there into what was wanted."""
    if isinstance(value, str) and kind.startswith(("float", "int")):
        found = _NUMBER_IN_TEXT.fullmatch(value)
        if found is None:
            return "write a number"
        number, rest = found.group(1).replace(",", "."), found.group(2).strip()
        return f"write {number} without quotes" if not rest else f"write {number} without '{rest}'"
    if kind.startswith("int") and isinstance(value, float):
        if not schema.get("minimum", -(2**53)) <= value <= schema.get("maximum", 2**53):
            return f"write a whole number{_limits(schema)}"
        return f"write {math.floor(value)} or {math.ceil(value)}"
    if kind.startswith("bool"):
        return "write true or false"
    if kind.startswith("list") and isinstance(value, dict):
        return f"begin each entry with '- '; {example}" if example else "begin each entry with '- '"
    if isinstance(value, str | int | float) and key in _ENTRIES and kind.startswith(("m", "d")):
        entry = _ENTRIES[key]
        return f"write {entry % shorten(str(value), 40)}" if "%s" in entry else f"write {entry}"
    return example or "change the value"
