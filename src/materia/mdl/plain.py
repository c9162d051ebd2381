"""Take a definition given as Python objects apart into plain data, within limits."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from materia.mdl.definition import ActiveLearning, Optimizer
from materia.mdl.finding import Findings
from materia.mdl.places import Path, written

MAX_DEPTH = 20
"""Lists and mappings inside each other."""
MAX_VALUES = 50_000
"""Values of a definition, keys not counted."""
LARGEST_INTEGER = 2**63 - 1

_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class TooMuchError(Exception):
    """A limit was passed; the finding is noted and reading stops."""


class Budget:
    """Counts the values of one definition and stops at the limits, before memory is spent."""

    def __init__(self, findings: Findings, limits: Mapping[Path, int]) -> None:
        self._findings = findings
        self._limits = limits
        self._n_values = 0

    def spend(self, path: Path, n_values: int = 1, *, depth: int, line: int | None = None) -> None:
        """Count values at `path`.

        Raises:
            TooMuchError: There are too many, or they are nested too deeply.
        """
        self._n_values += n_values
        if self._n_values > MAX_VALUES:
            section = path[:1]
            allowed = self._limits.get(section)
            what = f"the definition has more than {MAX_VALUES} values"
            if allowed:
                what += f"; {written(section)} takes at most {allowed} entries"
            self._findings.error(section, what, "make it smaller", line=line)
            raise TooMuchError
        if depth > MAX_DEPTH:
            self._findings.error(
                path[:4],
                f"the definition is nested more than {MAX_DEPTH} levels deep",
                "no key of a definition needs so many; remove brackets or indentation",
                line=line,
            )
            raise TooMuchError

    def admit(self, path: Path, n_entries: int) -> None:
        """Check the length of a list before looking at any of it.

        Raises:
            TooMuchError: It has far too many entries.
        """
        allowed = self._limits.get(path, MAX_VALUES)
        if n_entries > max(10 * allowed, 1000):
            self._findings.error(
                path,
                f"the list has {n_entries} entries; at most {allowed} are allowed",
                "make it shorter",
            )
            raise TooMuchError


def plain(value: Any, findings: Findings, budget: Budget, path: Path = (), depth: int = 0) -> Any:
    """Return `value` as dicts, lists and scalars of Python; what cannot be so becomes None.

    Numbers and arrays of array libraries are taken apart.

    Raises:
        TooMuchError: A limit was passed.
    """
    budget.spend(path, depth=depth)
    if isinstance(value, Mapping):
        budget.admit(path, len(value))
        return {
            key: plain(inner, findings, budget, (*path, key), depth + 1)
            for key, inner in value.items()
            if _is_key(key, findings, path)
        }
    if isinstance(value, list | tuple):
        budget.admit(path, len(value))
        return [
            plain(inner, findings, budget, (*path, i), depth + 1) for i, inner in enumerate(value)
        ]
    if not isinstance(value, str | bool | int | float | None) and hasattr(value, "tolist"):
        budget.admit(path, getattr(value, "size", 1))
        value = value.tolist()
        if isinstance(value, list):
            return plain(value, findings, budget, path, depth)
    return scalar(value, findings, path)


def scalar(value: Any, findings: Findings, path: Path, line: int | None = None) -> Any:
    """Return a scalar that can be stored and sent as JSON, or note why not and return None."""
    match value:
        case None | bool():
            return value
        case str():
            return text(value, findings, path, line)
        case int() if abs(value) > LARGEST_INTEGER:
            findings.error(
                path,
                "the whole number is too large; whole numbers have at most 64 bits",
                _whole_number_fix(path),
                line=line,
            )
        case int():
            return int(value)
        case float() if math.isfinite(value):
            return float(value)
        case float():
            findings.error(
                path,
                f"{value} is not a finite number",
                "write a number; leave the key out when there is no value",
                line=line,
            )
        case _:
            findings.error(
                path,
                f"a value of type {type(value).__name__} cannot be part of a definition",
                "use mappings, lists, text, numbers, true, false or null",
                line=line,
            )
    return None


def _whole_number_fix(path: Path) -> str:
    """Return what to write instead of a whole number that is too large."""
    schema = _WHOLE.get(str(path[-1])) if path[:1] == ("optimizer",) else None
    if schema is not None:
        return f"write a whole number between {schema['minimum']} and {schema['maximum']}"
    return "write it with an exponent, as in 1e30"


def _whole_numbers(*models: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """Return the JSON schemas of keys that take whole numbers, by key."""
    found = {}
    for model in models:
        for key, schema in model.model_json_schema()["properties"].items():
            for kind in schema.get("anyOf", [schema]):
                if kind.get("type") == "integer":
                    found[key] = kind
    return found


_WHOLE = _whole_numbers(Optimizer, ActiveLearning)


def text(value: str, findings: Findings, path: Path, line: int | None = None) -> str:
    """Return `value` without characters that neither a database nor a terminal should see."""
    if found := _UNPRINTABLE.search(value):
        findings.error(
            path,
            f"the text contains the control character U+{ord(found.group()):04X}",
            "remove it",
            line=line,
        )
        return _UNPRINTABLE.sub("?", value)
    return str(value)


def _is_key(key: Any, findings: Findings, path: Path) -> bool:
    if not isinstance(key, str):
        what = f"the key {str(key)[:40]} is of type {type(key).__name__}; keys are text"
        findings.error(path, what, "put it in quotes")
        return False
    if _UNPRINTABLE.search(key):
        findings.error(path, f"the key {key[:40]!r} contains a control character", "remove it")
        return False
    return True
