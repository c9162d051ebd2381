"""What to do to a table: declared as plain data, checked before a row is read.

    filter:          {amount: 100}, {amount: {">=": 1, "<": 9}}, {city: {in: [Ulm, Bonn]}},
                     {city: {not_null: true}}; a bare number keeps what is strictly greater
    new_columns:     {total: "price * quantity"}
    types:           {amount: float, day: date}
    drop_duplicates: true for rows that are the same in every column of the output, or columns
    sort:            amount, or [city, "-amount"] with the largest first
    select:          [city, total]
    rename:          {total: sum}
    num_chunks:      pieces that are worked on one after the other; changes nothing in the output
    delimiter:       of CSV files, "," unless set

They apply in this order: types, filters of the table's columns, new columns one after the other,
filters of new columns, duplicates, sort, select, rename. `rename` alone changes names, and only
those in the output. A missing value satisfies no comparison.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from materia.data.limits import MAX_CHUNKS
from materia.errors import DefinitionError
from materia.mdl.expression import Expression, parse
from materia.mdl.suggest import did_you_mean

OPERATORS = (">", "<", ">=", "<=", "==", "!=", "in", "null", "not_null")
MISSPELT = {"=>": ">=", "=<": "<=", "=": "==", "<>": "!=", "≥": ">=", "≤": "<=", "≠": "!="}
TYPES: Mapping[str, tuple[str, ...]] = {
    "integer": ("int", "int64"),
    "float": ("number", "double", "float64"),
    "text": ("string", "str"),
    "boolean": ("bool",),
    "date": (),
    "datetime": ("timestamp",),
}
"""Types of columns, and other names that are taken for them."""


@dataclass(frozen=True)
class Condition:
    """One comparison of a filter; `path` is where it was declared."""

    column: str
    op: str
    value: Any
    path: str


@dataclass(frozen=True)
class Transformations:
    """A checked declaration; names of columns are checked when the table is open.

    Attributes:
        duplicates: Columns that make rows duplicates, () for all, None to keep duplicates.
        sort: Columns with whether the largest comes first.
    """

    conditions: tuple[Condition, ...] = ()
    new_columns: Mapping[str, Expression] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    duplicates: tuple[str, ...] | None = None
    sort: tuple[tuple[str, bool], ...] = ()
    select: tuple[str, ...] | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    num_chunks: int = 10
    delimiter: str = ","


def read_transformations(declared: Mapping[str, Any] | None) -> Transformations:
    """Check a declaration.

    Raises:
        DefinitionError: It cannot be used; `path` says where.
    """
    declared = declared or {}
    root = "transformations"
    if not isinstance(declared, Mapping):
        raise _wrong(root, "must be a mapping", "for example {filter: {amount: 100}}")
    for key in declared:
        if key not in _READERS:
            path = f"{root}.{key}"
            raise _wrong(path, "there is no such transformation", did_you_mean(str(key), _READERS))
    read = {}
    for key, value in declared.items():
        name, reader = _READERS[key]
        if value is not None:
            read[name] = reader(value, f"{root}.{key}")
    return Transformations(**read)


def known_column(name: str, columns: Sequence[str], path: str) -> str:
    """Return `name`, which must be a column.

    Raises:
        DefinitionError: It is none.
    """
    if name not in columns:
        raise _wrong(path, f"there is no column '{name}'", did_you_mean(name, columns))
    return name


def _wrong(path: str, what: str, fix: str) -> DefinitionError:
    return DefinitionError(f"{path}: {what}", fix, path=path)


def _mapping(value: Any, path: str, example: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise _wrong(path, "must map names of columns", f"for example {example}")
    return value


def _filter(value: Any, path: str) -> tuple[Condition, ...]:
    conditions: list[Condition] = []
    for column, wanted in _mapping(value, path, "{amount: 100}").items():
        where = f"{path}.{column}"
        if _is_number(wanted):
            conditions.append(Condition(column, ">", wanted, where))
            continue
        if not isinstance(wanted, Mapping) or not wanted:
            fix = f'for example {{{column}: 100}} for greater, or {{{column}: {{"==": …}}}}'
            raise _wrong(where, "must be a number or comparisons", fix)
        for op, operand in wanted.items():
            conditions.append(_condition(column, op, operand, f"{where}.{op}"))
    return tuple(conditions)


def _condition(column: str, op: str, value: Any, path: str) -> Condition:
    if op not in OPERATORS:
        meant = MISSPELT.get(str(op))
        fix = f"did you mean '{meant}'?" if meant else did_you_mean(str(op), OPERATORS)
        raise _wrong(path, f"there is no comparison '{op}'", fix)
    if op in ("null", "not_null"):
        if not isinstance(value, bool):
            raise _wrong(path, "must be true or false", f"{{{op}: true}}")
        return Condition(column, "null", value == (op == "null"), path)
    if op == "in":
        return Condition(column, op, _choices(value, path), path)
    if not isinstance(value, str | bool) and not _is_number(value):
        raise _wrong(path, f"{value!r} is no number and no text", f'{{"{op}": 100}}')
    return Condition(column, op, value, path)


def _choices(value: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise _wrong(path, "must be a list of values", "{in: [1, 2, 3]}")
    for kind in (_is_number, lambda one: isinstance(one, str), lambda one: isinstance(one, bool)):
        if all(kind(one) for one in value):
            return tuple(value)
    raise _wrong(path, "the values must be all numbers or all text", "{in: [1, 2, 3]}")


def _check_title(name: str, path: str) -> None:
    if not name.strip():
        raise _wrong(path, "a column needs a name", 'for example {total: "price * quantity"}')
    if any(unicodedata.category(sign) in ("Cc", "Zl", "Zp") for sign in name):
        what = f"the name {name!a} holds a line break or another sign that is not shown"
        raise _wrong(path, what, "use letters, digits and blanks")


def _formulas(value: Any, path: str) -> dict[str, Expression]:
    formulas = {}
    for name, text in _mapping(value, path, '{total: "price * quantity"}').items():
        where = f"{path}.{name}"
        _check_title(name, path)
        if not isinstance(text, str) and not _is_number(text):
            raise _wrong(where, "a formula is text", 'for example "price * quantity"')
        try:
            formula = parse(str(text), functions=True)
        except DefinitionError as error:
            raise DefinitionError(f"{where}: {error.message}", error.hint, path=where) from None
        if formula.relation is not None:
            fix = "compare in 'filter' instead"
            raise _wrong(where, f"'{formula.relation}' compares; a formula gives a number", fix)
        formulas[name] = formula
    return formulas


def _types(value: Any, path: str) -> dict[str, str]:
    types = {}
    for column, kind in _mapping(value, path, "{amount: float}").items():
        word = str(kind).lower()
        found = next((name for name, others in TYPES.items() if word in (name, *others)), None)
        if found is None:
            raise _wrong(
                f"{path}.{column}", f"there is no type '{kind}'", did_you_mean(word, TYPES)
            )
        types[column] = found
    return types


def _names(value: Any, path: str) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else value
    if (
        not isinstance(names, list | tuple)
        or not names
        or not all(isinstance(n, str) for n in names)
    ):
        raise _wrong(path, "must be a list of columns", "for example [city, amount]")
    double = next((name for name in names if list(names).count(name) > 1), None)
    if double is not None:
        raise _wrong(path, f"'{double}' stands in it twice", "name each column once")
    return tuple(names)


def _duplicates(value: Any, path: str) -> tuple[str, ...] | None:
    if isinstance(value, bool):
        return () if value else None
    return _names(value, path)


def _sort(value: Any, path: str) -> tuple[tuple[str, bool], ...]:
    names = _names(value, path)
    keys = tuple((name.removeprefix("-"), name.startswith("-")) for name in names)
    return tuple(dict(keys).items())


def _rename(value: Any, path: str) -> dict[str, str]:
    names = _mapping(value, path, "{old: new}")
    for old, new in names.items():
        if not isinstance(new, str) or not new:
            raise _wrong(f"{path}.{old}", "the new name must be text", "{old: new}")
        _check_title(new, path)
    return dict(names)


def _chunks(value: Any, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_CHUNKS:
        raise _wrong(path, f"must be a whole number from 1 to {MAX_CHUNKS}", "num_chunks: 10")
    return value


def _delimiter(value: Any, path: str) -> str:
    is_mark = isinstance(value, str) and len(value) == 1 and value.isascii()
    if not is_mark or value.isalnum() or value in '"\r\n .-+':
        raise _wrong(path, "must be one sign between cells", 'for example ";"')
    return str(value)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)


_READERS: Mapping[str, tuple[str, Callable[[Any, str], Any]]] = {
    "filter": ("conditions", _filter),
    "new_columns": ("new_columns", _formulas),
    "types": ("types", _types),
    "drop_duplicates": ("duplicates", _duplicates),
    "sort": ("sort", _sort),
    "select": ("select", _names),
    "rename": ("rename", _rename),
    "num_chunks": ("num_chunks", _chunks),
    "delimiter": ("delimiter", _delimiter),
}
"""Of each key, the attribute and what checks it."""
