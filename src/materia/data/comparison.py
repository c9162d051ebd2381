"""Comparisons of a column with values, to the last digit where this is needed."""

from __future__ import annotations

import math
from typing import Any

import polars as pl

_PLAIN, _LIMIT = 2**63, 2**127


def compared(column: pl.Expr, op: str, value: Any) -> pl.Expr:
    """Return where a comparison holds; nowhere where the value is missing."""
    match op:
        case ">":
            test = column > value
        case "<":
            test = column < value
        case ">=":
            test = column >= value
        case "<=":
            test = column <= value
        case "==":
            test = column == value
        case "!=":
            test = column != value
        case _:
            test = column.is_in(list(value))
    return pl.Expr.fill_null(test, False)


def long_numbers(column: str) -> pl.Expr:
    """Return the whole numbers in text with all their digits; null where something else stands."""
    return pl.col(column).str.strip_chars().cast(pl.Int128, strict=False)


def compared_as_floats(numbers: pl.Expr, op: str, value: Any) -> pl.Expr:
    """Return where a comparison with a number holds, or with a tuple of them for "in"."""
    floats = tuple(map(_float, value)) if isinstance(value, tuple) else _float(value)
    return compared(numbers.cast(pl.Float64).fill_nan(None), op, floats)


def compared_exactly(whole: pl.Expr, numbers: pl.Expr, op: str, value: Any) -> pl.Expr:
    """Return what `compared_as_floats` does, but of whole numbers by all their digits.

    Args:
        whole: Whole numbers, missing where the column has none.
        numbers: All numbers of the column.
        op: What `compared` takes.
        value: A number; a tuple of them for "in".
    """
    others = compared_as_floats(numbers, op, value)
    listed = value if isinstance(value, tuple) else (value,)
    exact = [int(one) for one in listed if one == int(one) and abs(one) < _LIMIT]
    if op == "in":
        test = whole.cast(pl.Int128).is_in(pl.lit(pl.Series(exact, dtype=pl.Int128)).implode())
        test = test.fill_null(False)
    elif exact:
        test = compared(
            whole, op, pl.lit(exact[0], pl.Int128) if abs(exact[0]) >= _PLAIN else exact[0]
        )
    else:
        return others
    return pl.when(whole.is_not_null()).then(test).otherwise(others)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
