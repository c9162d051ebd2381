"""A declaration turned into work on rows: readings, filters and formulas, row by row.

Nothing here looks at more than one row, so that pieces of any size give the same rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from materia.data.columns import DTYPES, Reading, is_missing, reading
from materia.data.comparison import compared, compared_as_floats, compared_exactly, long_numbers
from materia.data.digits import FLOAT_LIMIT
from materia.data.records import Fault
from materia.data.source import Rows
from materia.data.transformations import Condition, Transformations, known_column
from materia.errors import DefinitionError
from materia.mdl.expression import Expression
from materia.mdl.suggest import did_you_mean

ROW = "\x00row"
"""Name of the column that numbers the rows of a piece; no table can have one of this name."""


@dataclass(frozen=True)
class Outcome:
    """What became of a piece.

    Attributes:
        frame: Rows that are kept, with the columns that are needed.
        faults: Rows that cannot be used, in the order of the file.
        n_filtered: Rows that a filter dropped.
        done: How much of the table has been read.
        is_plain: Whether no text in the rows needs quotes in CSV.
    """

    frame: pl.DataFrame
    faults: list[Fault]
    n_filtered: int
    done: int
    is_plain: bool


class Steps:
    """Transformations bound to the columns of a table.

    Args:
        transformations: What to do.
        columns: Types of the table's columns.

    Raises:
        DefinitionError: A column that is named does not exist, or cannot be used so.
    """

    def __init__(
        self, transformations: Transformations, columns: Mapping[str, pl.DataType]
    ) -> None:
        self._formulas = transformations.new_columns
        self._source = dict(columns)
        self._readings: dict[str, Reading] = {}
        self._read_declared(transformations.types)
        self._typed = self._source | {
            name: DTYPES[kind] for name, kind in transformations.types.items()
        }
        known = {**self._typed, **dict.fromkeys(self._formulas, pl.Float64())}
        path = "transformations.filter"
        for condition in transformations.conditions:
            known_column(condition.column, list(known), f"{path}.{condition.column}")
        self._numbers = self._names_of_formulas()
        old = [c for c in transformations.conditions if c.column in self._source]
        new = [c for c in transformations.conditions if c.column not in self._source]
        self._first = self._all_hold(old, self._typed)
        self._second = self._all_hold(new, known)
        self.columns: dict[str, pl.DataType] = known

    def apply(self, rows: Rows, names: Sequence[str]) -> Outcome:
        """Return what becomes of a piece of the table, in the columns `names`."""
        # In this order: reading the cells shows most faults, and looking for them first costs more.
        frame = rows.frame(*self._sources(names)).with_row_index(ROW)
        faults = list(rows.faults)
        frame = self._read(frame, rows, faults)
        n_read = frame.height
        if self._first is not None:
            frame = frame.filter(self._first)
        n_filtered = n_read - frame.height
        frame = self._compute(frame, rows, faults)
        n_computed = frame.height
        if self._second is not None:
            frame = frame.filter(self._second)
        n_filtered += n_computed - frame.height
        faults.sort(key=lambda fault: fault.line)
        return Outcome(frame.select(names), faults, n_filtered, rows.done, rows.is_plain)

    def _sources(self, names: Iterable[str]) -> tuple[set[str], set[str]]:
        """Return the columns of the table that are used, and which of them as numbers only."""
        readings = self._readings.items()
        tests = [test for test in (self._first, self._second) if test is not None]
        used = {*names, *(name for test in tests for name in test.meta.root_names())}
        used |= {column for columns in self._numbers.values() for column in columns.values()}
        used |= {one.column for name, one in readings if name == one.column or one.kind != "float"}
        read = {one.column for _, one in readings}
        return used | read, read - used

    def _read_declared(self, types: Mapping[str, str]) -> None:
        for name, kind in types.items():
            path = f"transformations.types.{name}"
            dtype = self._source[known_column(name, list(self._source), path)]
            if dtype != pl.String and kind != "text" and not _is_castable(dtype, kind):
                raise DefinitionError(f"{path}: {dtype} cannot become {kind}", path=path)
            if dtype != DTYPES[kind]:
                self._readings[name] = reading(name, dtype, kind)

    def _names_of_formulas(self) -> dict[str, dict[str, str]]:
        """Return, for each formula, the column with the number of each of its names."""
        known: dict[str, str] = {}
        for name in self._source:
            known.setdefault(re.sub(r"[^A-Za-z0-9_]", "_", name), name)
        known |= {name: name for name in self._source}
        made: set[str] = set()
        found: dict[str, dict[str, str]] = {}
        for new, formula in self._formulas.items():
            path = f"transformations.new_columns.{new}"
            found[new] = {}
            for name in sorted(formula.names, key=lambda name: formula.columns[name]):
                if name not in known:
                    what = f"column {formula.columns[name]}: the table has no column '{name}'"
                    fix = did_you_mean(name, known)
                    raise DefinitionError(f"{path}: {what}", fix, path=path)
                column = known[name]
                found[new][name] = column if column in made else self._number(column, path)
            made.add(new)
            known[new] = new
        return found

    def _number(self, column: str, path: str) -> str:
        """Return the column that holds the numbers of `column`, read for this if needed."""
        dtype = self._typed[column]
        if dtype == pl.String and column not in self._readings:
            self._readings[_number_of(column)] = reading(column, dtype, "float")
            return _number_of(column)
        if not dtype.is_numeric():
            fix = "declare another type, or use another column"
            raise DefinitionError(
                f"{path}: column '{column}' holds {_named(dtype)}", fix, path=path
            )
        return column

    def _all_hold(
        self, conditions: Iterable[Condition], types: Mapping[str, pl.DataType]
    ) -> pl.Expr | None:
        tests = [self._test(condition, types[condition.column]) for condition in conditions]
        return pl.all_horizontal(tests) if tests else None

    def _test(self, condition: Condition, dtype: pl.DataType) -> pl.Expr:
        column, value = condition.column, condition.value
        if condition.op == "null":
            missing = is_missing(column, dtype)
            return missing if value else ~missing
        sample = value[0] if condition.op == "in" else value
        if isinstance(sample, str):
            return compared(self._text(condition, dtype), condition.op, value)
        if isinstance(sample, bool):
            return compared(self._truth(condition, dtype), condition.op, value)
        if column not in self._formulas or column in self._source:
            column = self._number(column, condition.path)
        numbers = pl.col(column)
        if dtype.is_integer():
            return compared_exactly(numbers, numbers, condition.op, value)
        if dtype == pl.String and any(abs(one) >= FLOAT_LIMIT for one in _listed(value)):
            # The text has the digits that the numbers have not.
            return compared_exactly(long_numbers(condition.column), numbers, condition.op, value)
        return compared_as_floats(numbers, condition.op, value)

    def _text(self, condition: Condition, dtype: pl.DataType) -> pl.Expr:
        if dtype == pl.String:
            return pl.col(condition.column)
        if dtype not in (pl.Date, pl.Datetime, pl.Categorical, pl.Enum):
            what = f"column '{condition.column}' holds {_named(dtype)}, not text"
            raise DefinitionError(f"{condition.path}: {what}", path=condition.path)
        # Written alike, dates and times sort as text in their own order.
        form = {pl.Date: "%Y-%m-%d", pl.Datetime: "%Y-%m-%dT%H:%M:%S"}.get(type(dtype))
        column = pl.col(condition.column)
        return column.dt.strftime(form) if form else column.cast(pl.String)

    def _truth(self, condition: Condition, dtype: pl.DataType) -> pl.Expr:
        if dtype == pl.Boolean:
            return pl.col(condition.column)
        if dtype != pl.String:
            what = f"column '{condition.column}' holds {_named(dtype)}, not true and false"
            raise DefinitionError(f"{condition.path}: {what}", path=condition.path)
        name = f"\x00truth:{condition.column}"
        self._readings[name] = reading(condition.column, dtype, "boolean")
        return pl.col(name)

    def _read(self, frame: pl.DataFrame, rows: Rows, faults: list[Fault]) -> pl.DataFrame:
        plain = {name: one.plainly(frame) for name, one in self._readings.items()}
        settled = [one.alias(name) for name, one in plain.items() if one is not None]
        readings = [(name, self._readings[name]) for name, one in plain.items() if one is None]
        if not readings:
            return frame.with_columns(settled)
        # Lazily, so that a cell is read once for its value and for whether it is wrong.
        read = (
            frame.lazy()
            .select(
                *(one.value.alias(name) for name, one in readings),
                *(one.is_wrong.alias(f"\x00wrong:{name}") for name, one in readings),
            )
            .collect()
        )
        wrong = read[:, len(readings) :]
        read = frame.with_columns(*settled, *read[:, : len(readings)])
        is_wrong = wrong.select(pl.any_horizontal(pl.all())).to_series()
        if not is_wrong.any():
            return read
        for row in is_wrong.arg_true():
            first = next(number for number in range(len(readings)) if wrong[row, number])
            reason = readings[first][1].reason(frame[row, readings[first][1].column])
            faults.append(Fault(rows.place(row), reason, rows.text(row)))
        return read.filter(~is_wrong)

    def _compute(self, frame: pl.DataFrame, rows: Rows, faults: list[Fault]) -> pl.DataFrame:
        for name, formula in self._formulas.items():
            columns = self._numbers[name]
            values, is_missing = _evaluated(formula, frame, columns)
            is_undefined = ~np.isfinite(values) & ~is_missing
            for at in np.flatnonzero(is_undefined):
                row = int(frame[int(at), ROW])
                numbers = {key: frame[int(at), column] for key, column in columns.items()}
                shown = ", ".join(f"{key} = {number:g}" for key, number in numbers.items())
                reason = f"the formula of '{name}' is undefined at {shown}"
                faults.append(Fault(rows.place(row), reason, rows.text(row)))
            column = pl.Series(name, values)
            column = column.set(pl.Series(is_missing), None) if is_missing.any() else column
            frame = frame.with_columns(column)
            if is_undefined.any():
                frame = frame.filter(pl.Series(~is_undefined))
        return frame


def _evaluated(
    formula: Expression, frame: pl.DataFrame, columns: Mapping[str, str]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the values of a formula, and where one of its names has no value."""
    values = {name: frame[column].cast(pl.Float64).to_numpy() for name, column in columns.items()}
    is_missing = np.zeros(frame.height, bool)
    for array in values.values():
        is_missing |= np.isnan(array)
    return np.broadcast_to(formula.evaluate(values), frame.height).copy(), is_missing


def _listed(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _number_of(column: str) -> str:
    return f"\x00number:{column}"


def _is_castable(dtype: pl.DataType, kind: str) -> bool:
    if kind in ("integer", "float"):
        return dtype.is_numeric() or dtype == pl.Boolean
    if kind in ("date", "datetime"):
        return dtype in (pl.Date, pl.Datetime)
    return dtype == pl.Boolean or dtype.is_integer()


def _named(dtype: pl.DataType) -> str:
    return {"String": "text", "Boolean": "true and false"}.get(str(dtype), str(dtype).lower())
