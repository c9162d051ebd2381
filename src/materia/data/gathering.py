"""Sources of summaries: their rows on disk, and which of their columns hold numbers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import polars as pl

from materia.data.columns import reading
from materia.data.digits import FLOAT_LIMIT, NumberTypes, has_codes, has_long
from materia.data.limits import KEPT_BYTES
from materia.data.parts import Parts
from materia.data.pipeline import worked_on
from materia.data.source import Rows, open_table

N_CHUNKS = 10


@dataclass
class Gathered:
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


class Gathering:
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

    def read(self) -> Gathered:
        """Read the source.

        A column is taken for numbers until a cell is none, and for numbers that floats can hold
        until one is not. The first piece nearly always tells; if a later one does, numbers are on
        disk that are no longer the text of the file, and the source is read once more.
        """
        while (found := self._read_once()) is None:
            shutil.rmtree(self._folder)
        return found

    def _read_once(self) -> Gathered | None:
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
            kept_bytes = KEPT_BYTES if self._is_alone else 0
            parts = Parts(self._folder, {name: columns[name] for name in used}, kept_bytes)
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
            columns[name] = self._type_of_kept(name, types, name in fractional)
        columns |= dict.fromkeys((numbers | kept.keys()) - with_values, pl.Null())
        whole = {name for name in numbers - fractional if name not in long}
        return Gathered(self._source, columns, n_rows, n_rejected, whole, used, parts.scan())

    def _type_of_kept(self, name: str, types: NumberTypes, is_fractional: bool) -> pl.DataType:
        """Return the type of a column that is on disk as text."""
        if name in self._keys:
            return pl.Float64() if types.has_short_floats else pl.String()
        if types.dtype is not None:
            return types.dtype
        # Among decimals a long whole number is a measurement like them; by itself it is a name.
        return pl.Float64() if is_fractional else pl.String()


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
