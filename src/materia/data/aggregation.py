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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from materia.data.digits import FLOAT_LIMIT
from materia.data.gathering import Gathered, Gathering
from materia.data.memory import kept_memory
from materia.data.output import check_output, replacing, workplace, writer_for
from materia.data.source import suffix_of
from materia.data.transformations import known_column
from materia.errors import DataError, DefinitionError, MateriaError
from materia.mdl.suggest import did_you_mean

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
    shown: Callable[[Path], str] = str,
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
        shown: Says how paths are written in the result and in the output.
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
        read, failed = _read_all(sources, names, group_by, Path(folder), shown, progress)
        _check_columns(read, group_by, wanted)
        result = _result(read, failed, group_by, wanted, output, shown)
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
    shown: Callable[[Path], str],
    progress: Progress,
) -> tuple[list[Gathered], list[dict[str, Any]]]:
    """Read the columns `names`, or all, of every source that can be read."""
    read: list[Gathered] = []
    failed: list[dict[str, Any]] = []
    for number, source in enumerate(sources):

        def tick(share: float, done: int = number, name: str = source.name) -> None:
            progress(done + share, len(sources), f"reading {name}")

        try:
            place = folder / f"source-{number}"
            read.append(Gathering(source, names, keys, place, tick, len(sources) == 1).read())
        except MateriaError as error:
            failed.append({"source": shown(source), "error": error.message, "hint": error.hint})
    if not read:
        raise DataError(f"no source can be read: {failed[0]['error']}", failed[0]["hint"])
    return read, failed


def _check_columns(read: Sequence[Gathered], group_by: Sequence[str], wanted: _Wanted) -> None:
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
    read: Sequence[Gathered],
    failed: list[dict[str, Any]],
    group_by: Sequence[str],
    wanted: _Wanted,
    output: Path | None,
    shown: Callable[[Path], str],
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
                "source": shown(one.source),
                "rows": one.n_rows,
                "columns": list(one.columns),
                "rows_rejected": one.n_rejected,
                "summary": summary,
            }
            for one, summary in zip(read, summaries, strict=True)
        ],
        "failed": failed,
        "schema_differences": _differences(read, shown),
        "overall": summaries[0] if len(read) == 1 else _summary(together, types, wanted),
        "group_by": list(group_by),
        "groups": _groups(together, types, group_by, wanted) if group_by else [],
        "output_file": None if output is None else shown(output),
    }


def _common_types(read: Sequence[Gathered]) -> dict[str, pl.DataType]:
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


def _check_functions_fit(
    read: Sequence[Gathered], group_by: Sequence[str], wanted: _Wanted
) -> None:
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


def _differences(read: Sequence[Gathered], shown: Callable[[Path], str]) -> list[dict[str, Any]]:
    """Return which columns are not the same in every source, in presence or type."""
    differences = []
    for name in dict.fromkeys(name for one in read for name in one.columns):
        missing = [shown(one.source) for one in read if name not in one.columns]
        types = {shown(one.source): _kind(one.columns[name]) for one in read if name in one.columns}
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
