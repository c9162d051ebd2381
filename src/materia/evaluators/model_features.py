"""Features of a trained model matched to the parameters of a definition."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.evaluators.base import Input, error_at, missing_findings
from materia.mdl.finding import Finding
from materia.mdl.suggest import closest, did_you_mean
from materia.ml.schema import Column, Schema

Value = str | bool | int | float
OPTIONS = "evaluator.options"


@dataclass(frozen=True)
class Feature:
    """Where the value of one feature comes from.

    Attributes:
        parameter: Key of params; None for a value that is always the same.
        fixed: That value, encoded.
        codes: Of a categorical parameter, each choice encoded; None for a number.
    """

    parameter: str | None
    fixed: float = math.nan
    codes: Mapping[Value, float] | None = None

    def encoded(self, params: Mapping[str, Any]) -> float:
        """Return the feature at some params."""
        if self.parameter is None:
            return self.fixed
        value = params[self.parameter]
        return float(value) if self.codes is None else self.codes[_key(value)]


def encode(features: Sequence[Feature], batch: Iterable[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Return encoded params, (n, d), in the order of the features."""
    return np.array([[feature.encoded(params) for feature in features] for params in batch])


def match(
    schema: Schema,
    model: str,
    declared: Mapping[str, Input],
    fixed: Mapping[str, Value],
) -> tuple[list[Feature], list[Finding]]:
    """Return where each feature comes from, and what does not fit.

    Args:
        schema: Of the model.
        model: Its name in messages.
        declared: Keys of params by feature, as `columns` names them or else by their own names.
        fixed: Values of features that no parameter varies.
    """
    features, findings = [], []
    for column in schema.features:
        if column.name in declared:
            feature, found = _of_parameter(column, model, declared[column.name])
        elif column.name in fixed:
            feature, found = _of_value(column, model, fixed[column.name])
        else:
            feature, found = Feature(None), [_missing(column, model, declared, schema)]
        features.append(feature)
        findings += found
    return features, findings


def _missing(column: Column, model: str, declared: Mapping[str, Input], schema: Schema) -> Finding:
    others = [name for name in declared if name not in schema.names]
    meant = closest(column.name, others)
    fix = f"declare it, or set options.fixed.{column.name} to one value"
    if meant is not None:
        item = declared[meant]
        fix = (
            f"did you mean the parameter '{item.name}'? add columns: {{{item.name}: {column.name}}}"
        )
    message = f"no parameter is the feature '{column.name}' that model '{model}' needs"
    return error_at("parameters", message, fix)


def _of_parameter(column: Column, model: str, item: Input) -> tuple[Feature, list[Finding]]:
    missing = list(missing_findings(f"model '{model}'", [item]))
    if missing:
        return Feature(item.name), missing
    if column.kind == "number":
        if item.choices is None:
            return Feature(item.name), []
        numbers = {choice: _number(choice) for choice in item.choices}
        texts = [choice for choice, number in numbers.items() if number is None]
        if texts:
            message = f"model '{model}' takes numbers for '{column.name}', not '{texts[0]}'"
            fix = "declare the parameter as continuous or integer, or train with types: category"
            return Feature(item.name), [error_at(item.path, message, fix)]
        codes = {_key(c): number for c, number in numbers.items() if number is not None}
        return Feature(item.name, codes=codes), []
    if item.choices is None:
        message = f"model '{model}' takes categories for '{column.name}', not any number"
        fix = f"declare it as categorical with choices among {', '.join(column.levels[:10])}"
        return Feature(item.name), [error_at(item.path, message, fix)]
    codes, findings = {}, []
    for i, choice in enumerate(item.choices):
        code = _code(choice, column.levels)
        if code is None:
            message = f"model '{model}' has not seen '{choice}' for '{column.name}'"
            fix = did_you_mean(str(choice), column.levels)
            findings.append(error_at(f"{item.path}.choices[{i}]", message, fix))
        else:
            codes[_key(choice)] = code
    return Feature(item.name, codes=codes), findings


def _of_value(column: Column, model: str, value: Value) -> tuple[Feature, list[Finding]]:
    path = f"{OPTIONS}.fixed.{column.name}"
    if column.kind == "number":
        number = _number(value)
        if number is None:
            message = f"model '{model}' takes a number for '{column.name}', not '{value}'"
            return Feature(None), [error_at(path, message, "write a finite number")]
        return Feature(None, number), []
    code = _code(value, column.levels)
    if code is None:
        message = f"model '{model}' has not seen '{value}' for '{column.name}'"
        return Feature(None), [error_at(path, message, did_you_mean(str(value), column.levels))]
    return Feature(None, code), []


def place_of(value: Value, labels: Sequence[Value]) -> int | None:
    """Return the place of a label that a person wrote, None when it is not among them."""
    for place, label in enumerate(labels):
        if written(label) == written(value):
            return place
        numbers = _number(label), _number(value)
        if None not in numbers and numbers[0] == numbers[1]:
            return place
    return None


def written(value: Value) -> str:
    """Return a value as tables hold it."""
    return str(value).lower() if isinstance(value, bool) else str(value).strip()


def _code(value: Value, levels: Sequence[str]) -> float | None:
    place = place_of(value, levels)
    if place is None and isinstance(value, bool):
        place = place_of(value, [level.lower() for level in levels])
    return None if place is None else float(place)


def _number(value: Value) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _key(value: Value) -> Value:
    # True and 1 are the same key of a mapping, but not the same choice.
    return written(value) if isinstance(value, bool) else value
