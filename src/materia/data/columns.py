"""Columns read as what they are declared or used as; what cannot be read so is told apart."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

DTYPES: dict[str, pl.DataType] = {
    "integer": pl.Int64(),
    "float": pl.Float64(),
    "text": pl.String(),
    "boolean": pl.Boolean(),
    "date": pl.Date(),
    "datetime": pl.Datetime("us"),
}
ARTICLES = {"integer": "an integer", "float": "a number", "boolean": "true or false"}
TIMES = (
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
)
OFFSET_TIMES = tuple(f"{form}%#z" for form in TIMES)
"""With Z or an offset from UTC, and read as UTC."""
TRUE, FALSE = ["true", "yes", "1"], ["false", "no", "0"]
WHOLE_LIMIT = 2.0**63


@dataclass(frozen=True)
class Reading:
    """How one column is read.

    Attributes:
        column: Its name.
        kind: A type of `DTYPES`.
        value: Its values; null where missing or unreadable.
        is_wrong: Where something stands that cannot be read.
        plain: The same values at less cost where every cell is the plainest form of its kind.
    """

    column: str
    kind: str
    value: pl.Expr
    is_wrong: pl.Expr
    plain: pl.Expr | None = None

    def plainly(self, frame: pl.DataFrame) -> pl.Series | None:
        """Return the values if every cell has the plainest form; none can be wrong then."""
        if self.plain is None:
            return None
        cells = frame[self.column]
        if self.kind == "float" and cells.dtype.is_float():
            return cells
        values = frame.select(self.plain).to_series()
        if values.null_count() > cells.null_count():
            return None
        # Infinite and undefined numbers are told apart by the slow way.
        return values if not values.dtype.is_float() or values.is_finite().all() else None

    def reason(self, cell: object) -> str:
        """Return what is wrong with a cell."""
        shown = str(cell)
        shown = shown if len(shown) <= 40 else shown[:39] + "…"
        if self.kind == "float" and shown.strip().lower().lstrip("+-") in ("inf", "infinity"):
            return f"'{shown}' is not a finite number for '{self.column}'"
        return f"'{shown}' is not {ARTICLES.get(self.kind, f'a {self.kind}')} for '{self.column}'"


def reading(column: str, dtype: pl.DataType, kind: str) -> Reading:
    """Return how to read a column of one type as another one."""
    source = pl.col(column)
    if dtype == pl.String and kind != "text":
        text = source.str.strip_chars()
        value = _from_text(text, kind)
        is_wrong = value.is_null() & (text != "")
        if kind == "float":
            is_wrong |= value.is_infinite()
            value = value.fill_nan(None)
        plain = source.cast(DTYPES[kind], strict=False) if kind in ("float", "integer") else None
        return Reading(column, kind, value, is_wrong.fill_null(False), plain)
    value = _from_value(source, dtype, kind)
    return Reading(column, kind, value, (value.is_null() & ~_is_missing(source, dtype)))


def is_missing(column: str, dtype: pl.DataType) -> pl.Expr:
    """Return where a column has no value."""
    return _is_missing(pl.col(column), dtype)


def _is_missing(source: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    return source.is_null() | source.is_nan() if dtype.is_float() else source.is_null()


def _from_text(text: pl.Expr, kind: str) -> pl.Expr:
    match kind:
        case "float":
            return text.cast(pl.Float64, strict=False)
        case "integer":
            whole = _whole(text.cast(pl.Float64, strict=False))
            # Through a float, 9007199254740993.0 would lose its last digit.
            digits = text.str.replace(r"\.0*$", "").cast(pl.Int64, strict=False)
            return pl.coalesce(text.cast(pl.Int64, strict=False), digits, whole)
        case "boolean":
            word = text.str.to_lowercase()
            is_false = pl.when(word.is_in(FALSE)).then(False)
            return pl.when(word.is_in(TRUE)).then(True).otherwise(is_false)
        case "date":
            return text.str.to_date("%Y-%m-%d", strict=False)
        case _:
            times = [text.str.to_datetime(form, time_unit="us", strict=False) for form in TIMES]
            day = text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))
            with_offsets = [
                text.str.to_datetime(form, time_unit="us", strict=False).dt.replace_time_zone(None)
                for form in OFFSET_TIMES
            ]
            return pl.coalesce(*times, *with_offsets, day)


def _from_value(source: pl.Expr, dtype: pl.DataType, kind: str) -> pl.Expr:
    target = DTYPES[kind]
    if kind == "integer" and dtype.is_float():
        return _whole(source.cast(pl.Float64))
    value = source.cast(target, strict=False)
    if kind == "float":
        return value.fill_nan(None)
    return value


def _whole(number: pl.Expr) -> pl.Expr:
    is_whole = (number == number.round()) & (number.abs() < WHOLE_LIMIT)
    return pl.when(is_whole).then(number).cast(pl.Int64, strict=False)
