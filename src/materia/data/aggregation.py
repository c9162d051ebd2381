"""`aggregate`: summaries of several tables, each by itself and all together by group.

A column of CSV counts as numbers when every cell is empty or a number, and as text otherwise, or
where whole numbers have leading zeros or more digits than 64 bits. Groups go by the text of the
cells, unless all of them are numbers that short text says completely.
Rows are kept on disk meanwhile, so that quantiles and counts of distinct values are exact; what
they need in memory is one column at a time.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from materia.data.columns import reading
from materia.data.digits import FLOAT_LIMIT, NumberTypes, has_codes, has_long
from materia.data.memory import kept_memory
from materia.data.output import check_output, replacing, workplace, writer_for
from materia.data.parts import Parts
from materia.data.pipeline import worked_on
from materia.data.source import Rows, open_table, suffix_of
from materia.data.transformations import known_column
from materia.errors import DataError, DefinitionError, MateriaError
from materia.mdl.suggest import did_you_mean

N_CHUNKS = 10
QUANTILES = {"q25": 0.25, "median": 0.5, "q75": 0.75}
ON_NUMBERS = ("sum", "mean", "std", *QUANTILES)
ON_ANYTHING = ("count", "missing", "min", "max", "distinct")
FUNCTIONS = (*ON_ANYTHING, *ON_NUMBERS)
ALIASES = {"avg": "mean", "average": "mean", "nunique": "distinct", "n_unique": "distinct"}
MAX_GROUPS_IN_RESULT = 1000

Progress = Callable[[float, float | None, str], None]


def aggregate(
    sources: Sequence[Path],
    output: Path | None,
    *,
    group_by: Sequence[str] = (),
    aggregations: Mapping[str, Sequence[str] | str] | Sequence[str] | None = None,
    progress: Progress,
) -> dict[str, Any]:
    """Summarise tables.

    A source that cannot be read is reported under `failed` with the reason, and the others are
    used. The output holds one row per group over all sources, or without groups one row per
    source and column and one per column over ``all sources``.

    Args:
        sources: CSV, gzipped CSV or Parquet files.
        output: One of these kinds, or .json for the result itself.
        group_by: Columns of every source that is used.
        aggregations: Functions of `FUNCTIONS` by column, or for every column; all by default.
        progress: Told bytes or rows read of each source; may raise to stop.

    Raises:
        DefinitionError: A function or a column does not exist.
        DataError: No source can be read, or the output not be written.
    """
    group_by = [group_by] if isinstance(group_by, str) else list(group_by)
    wanted = _Wanted.read(aggregations)
    if not sources:
        raise DefinitionError("data_sources: the list is empty", "name at least one table")
    if output is not None:
        if not output.name.lower().endswith(".json"):
            suffix_of(output)
        check_output(output, sources)
    with kept_memory(), _scratch(output) as folder:
        names = None if wanted.by_column is None else {*wanted.by_column, *group_by}
        read, failed = _read_all(sources, names, group_by, Path(folder), progress)
        _check_columns(read, group_by, wanted)
        result = _result(read, failed, group_by, wanted, output)
        progress(len(sources), len(sources), "writing")
        if output is not None:
            _write(output, Path(folder), result, bool(group_by))
    groups = result["groups"]
    result["n_groups"] = len(groups)
    result["groups"] = groups[:MAX_GROUPS_IN_RESULT]
    progress(len(sources), len(sources), "done")
    return result


def check_functions(aggregations: Any) -> None:
    """Raise unless aggregations name functions that there are."""
    _Wanted.read(aggregations)


@dataclass(frozen=True)
class _Wanted:
    """Which functions each column gets."""

    everywhere: tuple[str, ...] = FUNCTIONS
    by_column: Mapping[str, tuple[str, ...]] | None = None

    @classmethod
    def read(cls, declared: Any) -> _Wanted:
        if not declared:
            return cls()
        if isinstance(declared, Mapping):
            return cls((), {name: _functions(names, name) for name, names in declared.items()})
        return cls(_functions(declared, None))

    def of(self, column: str) -> tuple[str, ...]:
        return self.everywhere if self.by_column is None else self.by_column.get(column, ())


@dataclass
class _Read:
    """A source whose rows are on disk, in the columns that are used.

    Attributes:
        columns: Types of all columns; text that holds only numbers counts as numbers.
        whole: Those of floats that hold only whole numbers of which none has lost a digit.
        used: Columns that are used.
        rows: What these hold, some of them as text whatever their type.
    """

    source: Path
    columns: dict[str, pl.DataType]
    n_rows: int
    n_rejected: int
    whole: set[str]
    used: list[str]
    rows: pl.LazyFrame

    def types(self) -> dict[str, pl.DataType]:
        """Return the types of the columns that are used."""
        return {name: self.columns[name] for name in self.used}

    def frame(self, types: Mapping[str, pl.DataType]) -> pl.LazyFrame:
        """Return the rows with columns of the given types; NaN is a missing value."""
        stored = self.rows.collect_schema()
        return self.rows.select(
            self._cast(name, stored[name], types[name]).alias(name) for name in self.used
        )

    def _cast(self, name: str, stored: pl.DataType, dtype: pl.DataType) -> pl.Expr:
        column = pl.col(name)
        if stored == pl.String and dtype.is_numeric():
            # What is no number is a cell of blanks.
            number = column.str.strip_chars().cast(dtype, strict=False)
            return number.fill_nan(None) if dtype.is_float() else number
        if stored.is_float():
            column = column.fill_nan(None)
        if dtype == pl.String and name in self.whole:
            column = column.cast(pl.Int64)
        return column.cast(dtype)


def _functions(declared: Any, column: str | None) -> tuple[str, ...]:
    names = [declared] if isinstance(declared, str) else declared
    path = "aggregations" if column is None else f"aggregations.{column}"
    if not isinstance(names, list | tuple):
        raise DefinitionError(f"{path}: must be a list of functions", "[mean, max]", path=path)
    found = [ALIASES.get(str(name), str(name)) for name in names]
    for name in found:
        if name not in FUNCTIONS:
            fix = did_you_mean(name, FUNCTIONS)
            raise DefinitionError(f"{path}: there is no function '{name}'", fix, path=path)
    return tuple(dict.fromkeys(found))


def _scratch(output: Path | None) -> Any:
    return TemporaryDirectory(prefix="materia-") if output is None else workplace(output)


def _read_all(
    sources: Sequence[Path],
    names: set[str] | None,
    keys: Sequence[str],
    folder: Path,
    progress: Progress,
) -> tuple[list[_Read], list[dict[str, Any]]]:
    """Read the columns `names`, or all, of every source that can be read."""
    read: list[_Read] = []
    failed: list[dict[str, Any]] = []
    for number, source in enumerate(sources):

        def tick(share: float, done: int = number, name: str = source.name) -> None:
            progress(done + share, len(sources), f"reading {name}")

        try:
            place = folder / f"source-{number}"
            read.append(_Reader(source, names, keys, place, tick, len(sources) == 1).read())
        except MateriaError as error:
            failed.append({"source": str(source), "error": error.message, "hint": error.hint})
    if not read:
        raise DataError(f"no source can be read: {failed[0]['error']}", failed[0]["hint"])
    return read, failed


class _Reader:
    """Reads one source, and finds out meanwhile which of its columns hold numbers.

    Args:
        source: A table.
        names: Columns that are used; all where None.
        keys: Columns whose text is kept.
        folder: Made for the rows.
        tick: Told the share that has been read.
        is_alone: There is no other source whose types could differ, so only those of columns that
            are used are looked for.
    """

    def __init__(
        self,
        source: Path,
        names: set[str] | None,
        keys: Sequence[str],
        folder: Path,
        tick: Callable[[float], None],
        is_alone: bool,
    ) -> None:
        self._source, self._names, self._folder, self._tick = source, names, folder, tick
        self._keys, self._is_alone = set(keys), is_alone
        self._text: set[str] = set()
        self._long: set[str] = set()

    def read(self) -> _Read:
        """Read the source.

        A column is taken for numbers until a cell is none, and for numbers that floats can hold
        until one is not. The first piece nearly always tells; if a later one does, numbers are on
        disk that are no longer the text of the file, and the source is read once more.
        """
        while (found := self._read_once()) is None:
            shutil.rmtree(self._folder)
        return found

    def _read_once(self) -> _Read | None:
        self._tick(0.0)
        with open_table(self._source) as table:
            used = [name for name in table.columns if self._names is None or name in self._names]
            # One column at least, which says how many rows there are.
            used = used or list(table.columns)[:1]
            looked_at = used if self._is_alone else list(table.columns)
            candidates = {name for name in looked_at if table.columns[name] == pl.String}
            kept = {name: NumberTypes() for name in candidates & self._keys}
            pieces = table.rows(N_CHUNKS)
            first = list(islice(pieces, 1))
            measured: set[str] = set()
            for rows in first:
                numbers = candidates - self._text - self._keys
                piece = _read_numbers(rows, looked_at, numbers, self._long, measured)
                self._text |= piece.text
                self._long |= piece.long
                measured = piece.fractional - self._long
            numbers, long = candidates - self._text - self._keys, frozenset(self._long)
            kept |= {name: NumberTypes() for name in numbers & long}
            columns = table.columns | dict.fromkeys(numbers - long, pl.Float64())
            parts = Parts(self._folder, {name: columns[name] for name in used})
            n_rows, n_rejected = 0, 0
            with_values, fractional = set[str](), set(measured)

            def work(rows: Rows) -> tuple[Rows, _Piece]:
                return rows, _read_numbers(rows, looked_at, numbers, long, measured)

            with closing(worked_on(work, chain(first, pieces))) as worked:
                for rows, piece in worked:
                    frame = piece.frame
                    self._text |= piece.text
                    self._long |= piece.long
                    fractional |= piece.fractional
                    if not numbers & self._text and self._long == long:
                        parts.append(frame.select(used))
                    for name, types in kept.items():
                        types.see(frame[name] if name in self._keys else _stripped(frame[name]))
                    with_values |= {
                        name
                        for name in candidates - with_values
                        if frame[name].null_count() < frame.height
                    }
                    n_rows += frame.height
                    n_rejected += len(rows.faults)
                    self._tick(min(1.0, rows.done / max(1, table.size)))
        if numbers & self._text or self._long != long:
            return None
        for name, types in kept.items():
            if name in self._keys:
                columns[name] = pl.Float64() if types.has_short_floats else pl.String()
            else:
                lossy = pl.Float64() if name in fractional else pl.String()
                columns[name] = types.dtype or lossy
        columns |= dict.fromkeys((numbers | kept.keys()) - with_values, pl.Null())
        whole = {name for name in numbers - fractional if name not in long}
        return _Read(self._source, columns, n_rows, n_rejected, whole, used, parts.scan())


@dataclass(frozen=True)
class _Piece:
    """Rows with numbers read, and the columns that turned out to be otherwise than believed.

    Attributes:
        text: Columns that hold something else than numbers.
        long: Columns whose numbers would lose digits as floats.
        fractional: Columns with numbers that are not whole, or not known to the last digit.
    """

    frame: pl.DataFrame
    text: set[str]
    long: set[str]
    fractional: set[str]


def _read_numbers(
    rows: Rows,
    names: Sequence[str],
    numbers: Collection[str],
    long: Collection[str],
    measured: Collection[str],
) -> _Piece:
    """Read columns of text as numbers.

    Args:
        rows: Of the source.
        names: Columns to return.
        numbers: Those that are believed to be numbers.
        long: Those of them that stay the text that they are.
        measured: Those of them that have decimals, and so are no codes; read at less cost.
    """
    frame = rows.frame(names, measured)
    piece = _Piece(frame, set(), set(), set())
    read: list[pl.Series] = []
    for name in numbers:
        cells = frame[name]
        if cells.dtype != pl.String:
            continue
        values = _values(frame, name)
        if values is None or (name not in measured and has_codes(cells)):
            piece.text.add(name)
            continue
        if name not in measured:
            if (values != values.floor()).any():
                piece.fractional.add(name)
            if name not in long and (values.abs() >= FLOAT_LIMIT).any():
                (piece.long if has_long(cells, values) else piece.fractional).add(name)
        if name not in long:
            read.append(values.alias(name))
    return replace(piece, frame=frame.with_columns(read))


def _values(frame: pl.DataFrame, name: str) -> pl.Series | None:
    """Return a column of text as numbers, or None if it holds something else."""
    one = reading(name, pl.String(), "float")
    plain = one.plainly(frame)
    if plain is not None:
        return plain
    read = frame.select(one.value.alias(name), one.is_wrong.alias("\x00wrong"))
    return None if read["\x00wrong"].any() else read[name]


def _stripped(cells: pl.Series) -> pl.Series:
    """Return cells as `NumberTypes` takes them, and those that are no value as missing."""
    text = cells.str.strip_chars()
    return text.set(text.str.to_lowercase().is_in(["", "nan", "+nan", "-nan"]), None)


def _check_columns(read: Sequence[_Read], group_by: Sequence[str], wanted: _Wanted) -> None:
    every = list(dict.fromkeys(name for one in read for name in one.columns))
    for name in wanted.by_column or ():
        known_column(name, every, f"aggregations.{name}")
    for name in group_by:
        known_column(name, every, "group_by")
        if list(group_by).count(name) > 1:
            what, fix = f"group_by: '{name}' stands in it twice", "name each column once"
            raise DefinitionError(what, fix, path="group_by")
        for one in read:
            if name not in one.columns:
                what = f"group_by: '{one.source.name}' has no column '{name}'"
                raise DefinitionError(what, did_you_mean(name, one.columns), path="group_by")


def _result(
    read: Sequence[_Read],
    failed: list[dict[str, Any]],
    group_by: Sequence[str],
    wanted: _Wanted,
    output: Path | None,
) -> dict[str, Any]:
    types = _common_types(read)
    _check_functions_fit(read, group_by, wanted)
    together = pl.concat([one.frame(types) for one in read], how="diagonal")
    summaries = [_summary(one.frame(one.types()), one.types(), wanted) for one in read]
    return {
        "status": "success",
        "total_rows": sum(one.n_rows for one in read),
        "rows_rejected": sum(one.n_rejected for one in read),
        "num_sources": len(read) + len(failed),
        "summaries": [
            {
                "source": str(one.source),
                "rows": one.n_rows,
                "columns": list(one.columns),
                "rows_rejected": one.n_rejected,
                "summary": summary,
            }
            for one, summary in zip(read, summaries, strict=True)
        ],
        "failed": failed,
        "schema_differences": _differences(read),
        "overall": summaries[0] if len(read) == 1 else _summary(together, types, wanted),
        "group_by": list(group_by),
        "groups": _groups(together, types, group_by, wanted) if group_by else [],
        "output_file": None if output is None else str(output),
    }


def _common_types(read: Sequence[_Read]) -> dict[str, pl.DataType]:
    """Return one type per column over all sources: text where they disagree.

    A column without a value agrees with every type.
    """
    found: dict[str, list[tuple[pl.DataType, bool]]] = {}
    for one in read:
        for name, dtype in one.types().items():
            found.setdefault(name, []).append((dtype, dtype.is_integer() or name in one.whole))
    return {name: _common_type(types) for name, types in found.items()}


def _common_type(types: Sequence[tuple[pl.DataType, bool]]) -> pl.DataType:
    """Return what holds all of several types, of which some are known to hold whole numbers."""
    known = [(dtype, is_whole) for dtype, is_whole in types if dtype != pl.Null]
    kinds = list(dict.fromkeys(dtype for dtype, _ in known))
    if not kinds:
        return pl.Null()
    if len(kinds) == 1:
        return kinds[0]
    if not all(dtype.is_numeric() for dtype in kinds):
        return pl.String()
    return pl.Int128() if all(is_whole for _, is_whole in known) else pl.Float64()


def _applied(function: str, name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if function == "sum" and dtype.is_integer():
        return column.cast(pl.Int128).sum()
    match function:
        case "count":
            return column.count()
        case "missing":
            return column.null_count()
        case "distinct":
            return column.drop_nulls().n_unique()
        case "std":
            return column.std(ddof=1)
        case "min" | "max" | "sum" | "mean":
            applied: pl.Expr = getattr(column, function)()
            return applied
        case _:
            return column.quantile(QUANTILES[function], interpolation="linear")


def _applicable(name: str, dtype: pl.DataType, wanted: _Wanted) -> list[str]:
    is_numeric = dtype.is_numeric()
    return [one for one in wanted.of(name) if is_numeric or one not in ON_NUMBERS]


def _check_functions_fit(read: Sequence[_Read], group_by: Sequence[str], wanted: _Wanted) -> None:
    """Raise where nothing that was asked for can be said of a column that was named, or of any."""
    path, fix = "aggregations", f"of text there are {', '.join(ON_ANYTHING)}"
    found = [(name, dtype) for one in read for name, dtype in one.types().items()]
    fitting = {name for name, dtype in found if _applicable(name, dtype, wanted)}
    for name in wanted.by_column or ():
        kinds = {_kind(dtype) for column, dtype in found if column == name} - {"empty"}
        if name not in fitting and kinds:
            functions, kind = " or ".join(wanted.of(name)) or "function", " and ".join(kinds)
            what = f"there is no {functions} of {kind}, which '{name}' holds"
            raise DefinitionError(f"{path}.{name}: {what}", fix, path=f"{path}.{name}")
    if not fitting and not group_by:
        raise DefinitionError(f"{path}: no column holds numbers", fix, path=path)


def _summary(
    rows: pl.LazyFrame, types: Mapping[str, pl.DataType], wanted: _Wanted
) -> dict[str, dict[str, Any]]:
    summary = {}
    for name, dtype in types.items():
        functions = _applicable(name, dtype, wanted)
        if functions:
            values = rows.select(_applied(one, name, dtype).alias(one) for one in functions)
            (row,) = values.collect(engine="streaming").to_dicts()
            summary[name] = {
                "type": _kind(dtype),
                **{key: _plain(value) for key, value in row.items()},
            }
    return summary


def _groups(
    rows: pl.LazyFrame,
    types: Mapping[str, pl.DataType],
    group_by: Sequence[str],
    wanted: _Wanted,
) -> list[dict[str, Any]]:
    """Return one row per group, sorted by the groups, with columns named column_function."""
    applied = [
        _applied(function, name, dtype).alias(f"{name}_{function}")
        for name, dtype in types.items()
        if name not in group_by
        for function in _applicable(name, dtype, wanted)
    ]
    grouped = rows.group_by(group_by).agg(pl.len().alias("rows"), *applied)
    frame = grouped.collect(engine="streaming").sort(group_by, nulls_last=True)
    return [{key: _plain(value) for key, value in row.items()} for row in frame.to_dicts()]


def _differences(read: Sequence[_Read]) -> list[dict[str, Any]]:
    """Return which columns are not the same in every source, in presence or type."""
    differences = []
    for name in dict.fromkeys(name for one in read for name in one.columns):
        missing = [str(one.source) for one in read if name not in one.columns]
        types = {str(one.source): _kind(one.columns[name]) for one in read if name in one.columns}
        if missing or len(set(types.values()) - {"empty"}) > 1:
            differences.append({"column": name, "missing_in": missing, "types": types})
    return differences


def _kind(dtype: pl.DataType) -> str:
    if dtype.is_numeric():
        return "number"
    return {pl.String: "text", pl.Null: "empty"}.get(type(dtype), str(dtype).lower())


def _plain(value: Any) -> Any:
    """Return a value that JSON has; one that is not finite has no place in it."""
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _write(output: Path, folder: Path, result: Mapping[str, Any], is_grouped: bool) -> None:
    made = folder / output.name
    if output.name.lower().endswith(".json"):
        with made.open("w", encoding="utf-8") as file:
            json.dump(result, file, ensure_ascii=False, allow_nan=False, indent=2)
            file.flush()
            os.fsync(file.fileno())
    else:
        rows = result["groups"] if is_grouped else _long(result)
        frame = pl.DataFrame(rows, infer_schema_length=None)
        writer = writer_for(output, folder, frame.schema, False)
        writer.write(writer.render(frame))
        writer.finish()
        writer.close()
    with replacing(output.parent):
        made.replace(output)


def _long(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one row per source and column; smallest and largest are text, as both kinds occur.

    So are sums where one of them is a whole number that a column of floats could not hold.
    """
    everywhere = [{"source": "all sources", "summary": result["overall"]}]
    rows = [
        {
            "source": one["source"],
            "column": name,
            "type": values["type"],
            **{key: _cell(key, values.get(key)) for key in FUNCTIONS},
        }
        for one in [*result["summaries"], *everywhere]
        for name, values in one["summary"].items()
    ]
    if any(isinstance(row["sum"], int) and abs(row["sum"]) >= FLOAT_LIMIT for row in rows):
        rows = [row | {"sum": None if row["sum"] is None else str(row["sum"])} for row in rows]
    return rows


def _cell(function: str, value: Any) -> Any:
    return str(value) if function in ("min", "max") and value is not None else value
