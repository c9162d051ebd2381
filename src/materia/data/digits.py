"""Numbers in text that keep all of their digits."""

from __future__ import annotations

import polars as pl

FLOAT_LIMIT = 2**53
"""From here on whole numbers have no float of their own."""
_SHORT = 16
"""Bytes of text with at most 15 digits, a point or a sign."""
_WHOLE = r"^-?(0|[1-9][0-9]*)$"
_CODE = r"^\s*[+-]?0[0-9]"
_DECIMAL = r"^-?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][+-]?[0-9]+)?$"


class NumberTypes:
    """Which types of numbers hold every cell of a column of text without the loss of a digit.

    Text with leading zeros is a code and no number.
    """

    def __init__(self) -> None:
        self._has_values = False
        self._n_bytes = 0
        self._left: list[pl.DataType] = [pl.Int64(), pl.UInt64(), pl.Float64()]

    @property
    def dtype(self) -> pl.DataType | None:
        """The best of them; None for text."""
        return self._left[0] if self._has_values and self._left else None

    @property
    def has_short_floats(self) -> bool:
        """Whether floats tell all cells from each other, as none has more than 15 digits."""
        return self._has_values and pl.Float64() in self._left and self._n_bytes <= _SHORT

    def see(self, cells: pl.Series) -> None:
        """Go on believing in the types that hold these cells as well."""
        cells = cells.drop_nulls()
        if not len(cells) or not self._left:
            return
        self._has_values = True
        self._n_bytes = max(self._n_bytes, int(cells.str.len_bytes().to_numpy().max()))
        may_be_whole = self._left[0] != pl.Float64()
        is_whole = may_be_whole and bool(cells.str.contains(_WHOLE).all())
        holding = _holding_whole(cells) if is_whole else _holding_decimals(cells)
        self._left = [one for one in self._left if one in holding]


def _holding_whole(cells: pl.Series) -> list[pl.DataType]:
    numbers = cells.cast(pl.Int64, strict=False)
    if numbers.null_count():
        is_lost = cells.cast(pl.UInt64, strict=False).null_count()
        return [] if is_lost else [pl.UInt64()]
    values = numbers.to_numpy()
    low, high = int(values.min()), int(values.max())
    found: list[pl.DataType] = [pl.Int64()]
    if low >= 0:
        found.append(pl.UInt64())
    if low > -FLOAT_LIMIT and high < FLOAT_LIMIT:
        found.append(pl.Float64())
    return found


def _holding_decimals(cells: pl.Series) -> list[pl.DataType]:
    numbers = cells.cast(pl.Float64, strict=False)
    if not (cells.str.contains(_DECIMAL) & numbers.is_finite()).fill_null(False).all():
        return []
    return [] if has_long(cells, numbers) else [pl.Float64()]


def has_long(cells: pl.Series, numbers: pl.Series) -> bool:
    """Return whether whole numbers among cells have digits that the same as floats have not."""
    is_large = numbers.abs() >= FLOAT_LIMIT
    if not is_large.any():
        return False
    return bool(cells.filter(is_large).str.strip_chars().str.contains(_WHOLE).any())


def has_codes(cells: pl.Series) -> bool:
    """Return whether some cells have leading zeros, which a number would lose."""
    return bool(cells.str.contains(_CODE).any())
