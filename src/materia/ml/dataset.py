"""From cells to numbers: which columns are features, what is predicted, and in which codes.

Rules, each of which the user may overrule by a key of `model_config`:

- Target (`target`): the column named `target`, else the last one.
- Task (`task`): classification if the target is text, true/false, or whole numbers with at most
  10 different values that come 5 times each on average; else regression.
- Type (`types`): a column is a number if all of its cells are; a category otherwise. Where most
  cells are numbers and some are not, the file is taken to be faulty, not the column to be text.
- Features (`features`, `exclude`): all columns but the target. Left out, and said so in `remarks`,
  are dates, columns without a value, and text that names rows rather than groups them.

Encoded, a number is itself and a category the place of its level; NaN is a missing value. Rows
without a target teach nothing: they are left out and counted in `remarks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from materia.errors import DataError
from materia.mdl.suggest import did_you_mean
from materia.ml.config import TrainingConfig
from materia.ml.reading import MISSING, read_table
from materia.ml.schema import MAX_LEVELS, Column, ColumnKind, Label, Schema, Task

FloatArray = NDArray[np.float64]
Places = NDArray[np.intp] | None
"""Where the rows of a frame stood in the dataset, from 0, if some were left out."""

MAX_CLASSES = 1000
MAX_INFERRED_CLASSES = 10
MIN_ROWS_PER_INFERRED_CLASS = 5
MAX_INFERRED_LEVELS = 200
# Forests compute in single precision; a larger number is infinite to them.
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Dataset:
    """Encoded rows.

    Attributes:
        X: Features, (n, d), NaN where missing; a category is the place of its level.
        y: Target, (n,): a value, or the place of a class.
        part: Part of the dataset that each row came from, (n,), counted from 0.
        remarks: What was left out, in words.
    """

    schema: Schema
    X: FloatArray
    y: FloatArray
    part: NDArray[np.intp]
    remarks: tuple[str, ...] = ()

    @property
    def n_parts(self) -> int:
        """Number of parts that hold rows."""
        return len(np.unique(self.part))


def load_dataset(path: Path, config: TrainingConfig) -> Dataset:
    """Return the rows of a dataset path, encoded.

    Raises:
        NotFoundError: There is no such dataset.
        DataError: It cannot be learnt from; says which column or line and why.
    """
    table = read_table(path, config.delimiter)
    part = np.repeat(np.arange(len(table.part_sizes)), table.part_sizes)
    return make_dataset(table.frame, config, part)


def make_dataset(
    frame: pl.DataFrame, config: TrainingConfig, part: NDArray[np.intp] | None = None
) -> Dataset:
    """Return the rows of a frame, encoded; `part` is (n,), by default one part."""
    part = np.zeros(len(frame), np.intp) if part is None else part
    if not len(frame):
        raise DataError("the dataset holds a header and no rows")
    check_names(config, frame.columns)
    target = _target(config, frame.columns)
    is_known = ~_stripped(frame[target]).is_null().to_numpy()
    remarks, places = [], None
    if not is_known.all():
        places = np.flatnonzero(is_known)
        remarks.append(f"{int((~is_known).sum())} rows without a value of '{target}' are left out")
        frame, part = frame.filter(pl.Series(is_known)), part[is_known]
        if not len(frame):
            raise DataError(f"the target '{target}' has no value in any row")
    y, task, classes = _encode_target(frame[target], config, places)
    columns, left_out = _features(frame, target, config, places)
    schema = Schema(tuple(columns), target, task, classes)
    X, _ = encode(frame, schema, places)
    return Dataset(schema, X, y, part, (*remarks, *left_out))


def encode(
    frame: pl.DataFrame, schema: Schema, places: Places = None
) -> tuple[FloatArray, dict[str, list[str]]]:
    """Return the features of a frame, (n, d), and levels that the schema does not know.

    An unknown level is encoded as a missing value. Errors name rows by their `places`.

    Raises:
        DataError: Columns are missing or of the wrong type; names all of them.
    """
    missing = [name for name in schema.names if name not in frame.columns]
    if missing:
        others = [name for name in frame.columns if name not in schema.names]
        raise DataError(
            f"columns are missing: {_listed(missing)}",
            did_you_mean(missing[0], others) if others else None,
        )
    X = np.empty((len(frame), len(schema.features)), order="F")
    unknown, wrong = {}, []
    for j, column in enumerate(schema.features):
        series = frame[column.name]
        if column.kind == "category":
            X[:, j], new = _codes(_text(series), column.levels)
            if new:
                unknown[column.name] = new
            continue
        try:
            X[:, j] = _numbers(series, places)
        except DataError as error:
            wrong.append(error.message)
    if wrong:
        raise DataError("; ".join(wrong[:5]), "correct the cells, or overrule the type by 'types'")
    return X, unknown


def encode_target(frame: pl.DataFrame, schema: Schema) -> FloatArray:
    """Return the target of a frame, (n,), in the codes of a schema that is known.

    Raises:
        DataError: It is missing, has no value in some row, or a class that the schema lacks.
    """
    if schema.target not in frame.columns:
        raise DataError(f"the target '{schema.target}' is missing")
    series = frame[schema.target]
    if schema.task == "regression":
        y = _numbers(series)
    else:
        is_number = not isinstance(schema.classes[0], str | bool)
        labels = _labels(series, _numbers(series) if is_number else None)
        place = {label: float(code) for code, label in enumerate(schema.classes)}
        y = np.array([place.get(label, np.nan) for label in labels])
    if np.isnan(y).any():
        row = int(np.argmax(np.isnan(y)))
        raise DataError(f"the target '{schema.target}' has no known value in row {row + 1}")
    return y


def check_names(config: TrainingConfig, columns: list[str]) -> None:
    """Raise a DataError unless a dataset has every column that a configuration names."""
    named = {"target": [config.target] if config.target else [], "features": config.features or []}
    for key, names in {**named, "exclude": config.exclude, "types": list(config.types)}.items():
        for name in names:
            if name not in columns:
                raise DataError(
                    f"model_config.{key}: the dataset has no column '{name}'",
                    did_you_mean(name, columns),
                )


def _target(config: TrainingConfig, columns: list[str]) -> str:
    left = [name for name in columns if name not in config.exclude]
    if config.target is not None:
        if config.target not in left:
            raise DataError(f"the target '{config.target}' is also excluded")
        return config.target
    if not left:
        raise DataError("all columns are excluded")
    return next((name for name in left if name.lower() == "target"), left[-1])


def _features(
    frame: pl.DataFrame, target: str, config: TrainingConfig, places: Places
) -> tuple[list[Column], list[str]]:
    wanted = [
        name
        for name in config.features or frame.columns
        if name != target and name not in config.exclude
    ]
    columns, left_out = [], []
    for name in wanted:
        column, reason = _column(frame[name], config.types.get(name), places)
        if column is not None:
            columns.append(column)
        elif name in (config.features or ()):
            raise DataError(f"column '{name}' cannot be a feature: {reason}")
        else:
            left_out.append(f"column '{name}' is left out: {reason}")
    if not columns:
        why = f": {'; '.join(left_out[:5])}" if left_out else ""
        raise DataError(f"there is no feature beside the target '{target}'{why}")
    return columns, left_out


def _column(
    series: pl.Series, declared: ColumnKind | None, places: Places
) -> tuple[Column | None, str]:
    """Return what a column is, or why it can be no feature."""
    if series.dtype.is_temporal() or series.dtype.is_nested() or series.dtype == pl.Binary:
        return None, f"{series.dtype} is neither a number nor a category"
    kind = declared or _kind(series, places)
    text = _text(series)
    if text.null_count() == len(text):
        return None, "it has no value"
    if kind == "number":
        _numbers(series, places)
        return Column(series.name, "number"), ""
    levels = sorted(text.drop_nulls().unique().to_list())
    most = MAX_LEVELS if declared else MAX_INFERRED_LEVELS
    if len(levels) > most or (declared is None and 2 * len(levels) > max(len(text), 20)):
        return None, f"{len(levels)} different texts in {len(text)} rows do not group them"
    return Column(series.name, "category", tuple(levels)), ""


def _kind(series: pl.Series, places: Places) -> ColumnKind:
    if series.dtype.is_numeric():
        return "number"
    if series.dtype == pl.Boolean:
        return "category"
    text = _stripped(series)
    n_numbers = text.cast(pl.Float64, strict=False).count()
    if n_numbers == text.count():
        return "number"
    if 2 * n_numbers > text.count():
        _numbers(series, places)  # names the cells that are none
    return "category"


def _encode_target(
    series: pl.Series, config: TrainingConfig, places: Places
) -> tuple[FloatArray, Task, tuple[Label, ...]]:
    name = series.name
    if series.dtype.is_temporal() or series.dtype.is_nested() or series.dtype == pl.Binary:
        raise DataError(f"the target '{name}' is {series.dtype}, neither a number nor a class")
    is_number = (config.types.get(name) or _kind(series, places)) == "number"
    if config.task == "regression" and not is_number:
        first = _stripped(series).to_list()[0]
        raise DataError(
            f"the target '{name}' is not numeric: '{first[:40]}'",
            "name another target, or set task to 'classification'",
        )
    values = _numbers(series, places) if is_number else None
    if config.task == "regression" or (
        config.task is None and values is not None and not _is_class_like(values)
    ):
        assert values is not None
        if np.ptp(values) == 0.0:
            raise DataError(f"the target '{name}' is {values[0]:g} in every row")
        return values, "regression", ()
    labels = _labels(series, values)
    classes = tuple(sorted(set(labels)))
    if len(classes) < 2:
        raise DataError(f"the target '{name}' has one class only, '{classes[0]}'")
    if len(classes) > MAX_CLASSES or 2 * len(classes) > max(len(labels), 8):
        raise DataError(
            f"the target '{name}' has {len(classes)} different values in {len(labels)} rows, "
            "too many for classes",
            "name another target" + (", or set task to 'regression'" if is_number else ""),
        )
    place = {label: code for code, label in enumerate(classes)}
    return np.array([place[label] for label in labels], float), "classification", classes


def _is_class_like(values: FloatArray) -> bool:
    if not np.all(values == np.round(values)):
        return False
    n_values = len(np.unique(values))
    is_frequent = n_values * MIN_ROWS_PER_INFERRED_CLASS <= len(values)
    return 1 < n_values <= MAX_INFERRED_CLASSES and is_frequent


def _labels(series: pl.Series, values: FloatArray | None) -> list[Label]:
    if values is None:
        return series.to_list() if series.dtype == pl.Boolean else _text(series).to_list()
    is_whole = bool(np.all(values == np.round(values)))
    return [int(value) if is_whole else value for value in values.tolist()]


def _numbers(series: pl.Series, places: Places = None) -> FloatArray:
    """Return a column as numbers, NaN where missing."""
    name = series.name
    if series.dtype.is_numeric():
        numbers = series.cast(pl.Float64)
    else:
        text = _stripped(series)
        numbers = text.cast(pl.Float64, strict=False)
        if numbers.null_count() > text.null_count():
            row = int((numbers.is_null() & text.is_not_null()).arg_max() or 0)
            n_wrong = numbers.null_count() - text.null_count()
            raise DataError(
                f"column '{name}' holds '{text[row][:40]}' in row {_number(row, places)}, no number"
                + (f" ({n_wrong} such cells)" if n_wrong > 1 else "")
            )
    values = numbers.fill_null(float("nan")).to_numpy()
    is_excessive = np.abs(values) > _LARGEST
    if is_excessive.any():
        row = int(np.argmax(is_excessive))
        what = f"holds {values[row]:g} in row {_number(row, places)}, too large"
        raise DataError(f"column '{name}' {what}")
    return np.asarray(values, float)


def _number(row: int, places: Places) -> int:
    """Return the number of a row as people count, from 1."""
    return 1 + (row if places is None else int(places[row]))


def _text(series: pl.Series) -> pl.Series:
    """Return a column as text without spaces around it, null where missing."""
    if series.dtype == pl.Boolean:
        return series.cast(pl.String)
    return _stripped(series)


def _stripped(series: pl.Series) -> pl.Series:
    if series.dtype.is_float():
        series = series.fill_nan(None)
    text = series.cast(pl.String, strict=False).str.strip_chars()
    return text.set(text.is_in(MISSING).fill_null(False), None)


def _codes(text: pl.Series, levels: tuple[str, ...]) -> tuple[FloatArray, list[str]]:
    places: Mapping[str, float] = {level: float(code) for code, level in enumerate(levels)}
    codes = text.replace_strict(places, default=None, return_dtype=pl.Float64)
    new = text.filter(codes.is_null() & text.is_not_null()).unique().sort().to_list()
    return np.asarray(codes.fill_null(float("nan")).to_numpy(), float), new


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(f"'{name}'" for name in names[:10]) + more
