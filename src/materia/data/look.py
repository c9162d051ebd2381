"""What is in a table, for people: columns with their types, and the first rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from materia.data.source import ParquetSource, open_table

CHUNKS = 100
_MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "None")
_TIME = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}"
_DATE = r"^\d{4}-\d{2}-\d{2}$"


@dataclass(frozen=True)
class Look:
    """What was seen.

    Attributes:
        columns: Name, type and missing cells of each, in the rows of `frame`.
        frame: The first usable rows, cells of CSV as text.
        n_rows: Usable rows of the whole table, None where they were not counted.
        n_rejected: Rows that cannot be used, of those that were read.
    """

    columns: list[dict[str, object]]
    frame: pl.DataFrame
    n_rows: int | None
    n_rejected: int


def look(source: Path, delimiter: str, n_rows: int, *, is_whole: bool) -> Look:
    """Look at a table.

    Args:
        source: CSV, gzipped CSV or Parquet.
        n_rows: Of the sample.
        is_whole: Read on to the end, so that rows are counted.

    Raises:
        NotFoundError, DataError: As of `open_table`.
    """
    with open_table(source, delimiter) as table:
        empty = pl.DataFrame(schema=dict(table.columns))
        frames, n_seen, n_sampled, n_rejected = [empty], 0, 0, 0
        for rows in table.rows(CHUNKS):
            part = rows.frame(table.columns).select(*table.columns)
            if n_sampled < n_rows:
                frames.append(part.head(n_rows - n_sampled))
                n_sampled += len(frames[-1])
            n_seen += len(part)
            n_rejected += len(rows.faults)
            if n_sampled >= n_rows and (not is_whole or isinstance(table, ParquetSource)):
                break
        else:
            is_whole = True
        count = table.size if isinstance(table, ParquetSource) else (n_seen if is_whole else None)
    frame = pl.concat(frames)
    columns = [
        {
            "name": series.name,
            "type": _type(series),
            "n_missing": int(_known(series).null_count()),
        }
        for series in frame
    ]
    return Look(columns, frame, count, n_rejected)


def _known(series: pl.Series) -> pl.Series:
    """Return a column with its words for missing values taken away."""
    if series.dtype.is_float():
        return series.fill_nan(None)
    if series.dtype != pl.String:
        return series
    text = series.str.strip_chars()
    return text.set(text.is_in(_MISSING).fill_null(False), None)


def _type(series: pl.Series) -> str:
    """Return what all cells are: integer, number, boolean, date, datetime, text, or empty."""
    kind = series.dtype
    if kind != pl.String:
        by_type = ((kind.is_integer(), "integer"), (kind.is_numeric(), "number"))
        found = [name for is_it, name in by_type if is_it]
        named = {"Boolean": "boolean", "Date": "date"}
        return found[0] if found else named.get(str(kind), str(kind).split("(")[0].lower())
    text = _known(series).drop_nulls()
    if not len(text):
        return "empty"
    numbers = text.cast(pl.Float64, strict=False)
    if not numbers.null_count():
        return "number" if text.cast(pl.Int64, strict=False).null_count() else "integer"
    if text.str.to_lowercase().is_in(["true", "false"]).all():
        return "boolean"
    for pattern, name in ((_DATE, "date"), (_TIME, "datetime")):
        if text.str.contains(pattern).all():
            return name
    return "text"
