"""What a model learns from: names, types and categories, as plain data that a file can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from materia.errors import DataError

ColumnKind: TypeAlias = Literal["number", "category"]
Task: TypeAlias = Literal["regression", "classification"]
Label: TypeAlias = str | int | float | bool

MAX_COLUMNS = 10_000
MAX_LEVELS = 10_000


@dataclass(frozen=True)
class Column:
    """A feature.

    Attributes:
        levels: Of a category, sorted; a level's place is its code. Empty for a number.
    """

    name: str
    kind: ColumnKind
    levels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Schema:
    """Features in the order of the encoded columns, and what is predicted.

    Attributes:
        classes: Labels of a classification, sorted; a label's place is its code.
    """

    features: tuple[Column, ...]
    target: str
    task: Task
    classes: tuple[Label, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features."""
        return tuple(column.name for column in self.features)

    @property
    def categorical(self) -> tuple[int, ...]:
        """Places of the features that are categories."""
        return tuple(j for j, column in enumerate(self.features) if column.kind == "category")

    def to_data(self) -> dict[str, Any]:
        """Return plain data that `from_data` reads."""
        features = [
            {"name": column.name, "type": column.kind}
            | ({"categories": list(column.levels)} if column.kind == "category" else {})
            for column in self.features
        ]
        data = {"features": features, "target": self.target, "task": self.task}
        return data | ({"classes": list(self.classes)} if self.classes else {})

    @classmethod
    def from_data(cls, data: Any) -> Schema:
        """Return the schema that `to_data` wrote.

        Raises:
            DataError: It is no schema; says where.
        """
        found = _mapping(data, "schema")
        features = found.get("features")
        if not isinstance(features, list) or not 1 <= len(features) <= MAX_COLUMNS:
            raise DataError(f"schema.features must be a list of 1 to {MAX_COLUMNS} columns")
        task, classes = found.get("task"), found.get("classes", [])
        if task not in ("regression", "classification"):
            raise DataError("schema.task must be 'regression' or 'classification'")
        if not isinstance(classes, list) or (task == "classification") != (len(classes) > 1):
            raise DataError("schema.classes must list two labels or more, for classes only")
        if not all(isinstance(label, str | int | float) for label in classes):
            raise DataError("schema.classes must be texts or numbers")
        columns = tuple(_column(item, f"schema.features[{i}]") for i, item in enumerate(features))
        if len({column.name for column in columns}) < len(columns):
            raise DataError("schema.features names a column twice")
        return cls(columns, _text(found.get("target"), "schema.target"), task, tuple(classes))


def _column(data: Any, path: str) -> Column:
    found = _mapping(data, path)
    kind, levels = found.get("type"), found.get("categories", [])
    if kind not in ("number", "category"):
        raise DataError(f"{path}.type must be 'number' or 'category'")
    if not isinstance(levels, list) or len(levels) > MAX_LEVELS:
        raise DataError(f"{path}.categories must be a list of at most {MAX_LEVELS}")
    names = tuple(_text(level, f"{path}.categories") for level in levels)
    return Column(_text(found.get("name"), f"{path}.name"), kind, names)


def _mapping(data: Any, path: str) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise DataError(f"{path} must be a mapping")
    return data


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{path} must be a text")
    return value
