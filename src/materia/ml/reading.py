"""Tables from CSV and Parquet files, whole ones or in parts, with faults named by line.

A CSV file needs a header, UTF-8 and the same number of cells in every line; blank lines are no
rows. Empty cells and the words in `MISSING` are missing values.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import polars as pl

from materia.errors import DataError, NotFoundError
from materia.ml.schema import MAX_COLUMNS

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "None")
SUFFIXES = (".csv", ".parquet")
MAX_PARTS = 10_000
_MAX_HEADER = 2**20
_MAX_LINE = 2**26
_BLOCK = 2**23
_PART = re.compile(r"_part_(\d+)\.(?:csv|parquet)$")


@dataclass(frozen=True)
class Table:
    """Rows of one file or of several parts.

    Attributes:
        frame: Cells of a CSV file are text still; those of Parquet have their types.
        part_sizes: Rows of each part, in order; one number for a single file.
    """

    frame: pl.DataFrame
    part_sizes: tuple[int, ...]


def dataset_files(path: Path) -> list[Path]:
    """Return the files that a dataset path means, parts in the order of their numbers.

    A path is a CSV or Parquet file, a folder of such files, or the beginning of
    `<path>_part_<i>.csv`. Parts are numbered from 0 or from 1 without gaps.

    Raises:
        NotFoundError: There is no such file, folder or part.
        DataError: It is there but is no dataset.
    """
    if path.is_dir():
        found = [p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.name[0] != "."]
        if not found:
            raise DataError(f"folder '{path.name}' holds no CSV or Parquet file")
        return _inside(path, _sorted(found))
    if path.exists():
        if not path.is_file() or path.suffix.lower() not in SUFFIXES:
            raise DataError(f"'{path.name}' is no CSV or Parquet file", "use .csv or .parquet")
        return [path]
    stem = path.with_suffix("") if path.suffix.lower() in SUFFIXES else path
    parts = {
        int(m[1]): p for p in _beside(stem) if (m := _PART.fullmatch(p.name[len(stem.name) :]))
    }
    if not parts:
        raise NotFoundError(
            f"there is no file '{path.name}' and no part '{stem.name}_part_0.csv'",
            "a dataset is a CSV or Parquet file, a folder of them, or <path>_part_<i>.csv files",
        )
    first = 0 if 0 in parts else 1
    gap = next((i for i in range(first, first + len(parts)) if i not in parts), None)
    if gap is not None:
        raise DataError(f"part {gap} of '{stem.name}' is missing, of {max(parts)} and more found")
    return _inside(path.parent, [parts[i] for i in sorted(parts)])


def read_table(path: Path, delimiter: str = ",") -> Table:
    """Return all rows that a dataset path means.

    Raises:
        NotFoundError: There is no such dataset.
        DataError: A file of it cannot be used; says which one, where and why.
    """
    files = dataset_files(path)
    frames = [read_frame(file, delimiter) for file in files]
    columns = frames[0].columns
    for file, frame in zip(files[1:], frames[1:], strict=True):
        if set(frame.columns) != set(columns):
            raise DataError(
                f"'{file.name}' has other columns than '{files[0].name}': "
                f"{_difference(columns, frame.columns)}"
            )
    try:
        together = pl.concat([f.select(columns) for f in frames], how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        raise DataError(f"the parts of '{path.name}' differ in their types: {error}") from None
    return Table(together, tuple(len(frame) for frame in frames))


def read_frame(
    file: Path, delimiter: str = ",", *, columns: Iterable[str] = (), numbers: Sequence[str] = ()
) -> pl.DataFrame:
    """Return the rows of one file, without blank ones.

    Args:
        file: CSV or Parquet.
        delimiter: Of CSV.
        columns: Only these are kept, where the file has them; all by default.
        numbers: Columns read as numbers at once where all of their cells are.
    """
    if not file.is_file():
        raise NotFoundError(f"there is no file '{file.name}'")
    try:
        if file.suffix.lower() == ".parquet":
            frame = _wanted(pl.read_parquet(file), columns)
        else:
            header = _check_csv(file, delimiter)
            frame = _wanted(_read_csv(file, delimiter, header, numbers), columns)
    except pl.exceptions.PolarsError as error:
        raise DataError(f"'{file.name}' cannot be read: {_first_line(error)}") from None
    if len(frame.columns) > MAX_COLUMNS:
        raise DataError(f"'{file.name}' has more than {MAX_COLUMNS} columns")
    return frame


def header_of(file: Path, delimiter: str = ",") -> list[str]:
    """Return the names of a file's columns."""
    if not file.is_file():
        raise NotFoundError(f"there is no file '{file.name}'")
    if file.suffix.lower() != ".parquet":
        return _header(file, delimiter)
    try:
        return list(pl.read_parquet_schema(file))
    except pl.exceptions.PolarsError as error:
        raise DataError(f"'{file.name}' cannot be read: {_first_line(error)}") from None


def _wanted(frame: pl.DataFrame, columns: Iterable[str]) -> pl.DataFrame:
    wanted = [name for name in columns if name in frame.columns]
    return frame.select(wanted) if wanted else frame


def _read_csv(
    file: Path, delimiter: str, header: Sequence[str], numbers: Sequence[str]
) -> pl.DataFrame:
    text: dict[str, type[pl.DataType]] = dict.fromkeys(header, pl.String)
    typed = text | {name: pl.Float64 for name in numbers if name in text}
    for schema in [typed, text] if numbers else [text]:
        try:
            frame = pl.read_csv(
                file,
                separator=delimiter,
                schema=schema,
                null_values=list(MISSING),
            )
        except pl.exceptions.ComputeError:
            if schema is text:
                raise
        else:
            return frame.filter(~pl.all_horizontal(pl.all().is_null()))
    raise AssertionError("unreachable")


def _check_csv(file: Path, delimiter: str) -> list[str]:
    """Return the header of a file whose every line has as many cells, or say which has not."""
    header = _header(file, delimiter)
    with file.open("rb") as stream:
        found = _ragged_line(stream, ord(delimiter), len(header))
    if found is not None and found[1] is None:
        found = _ragged_record(file, delimiter, len(header))
    if found is not None:
        raise DataError(
            f"'{file.name}': line {found[0]} has {found[1]} cells, the header has {len(header)}",
            "correct or remove the line; process_large_csv sets such rows aside",
        )
    return header


def _ragged_line(stream: BinaryIO, delimiter: int, n_columns: int) -> tuple[int, int | None] | None:
    """Return the first line with another number of cells, and how many.

    The number is None when a quote turned up, which this fast way does not understand.
    """
    line, rest = 0, b""
    while True:
        block = stream.read(_BLOCK)
        whole, cut, tail = (rest + block).rpartition(b"\n")
        text, rest = (whole + cut, tail) if block else (rest, b"")
        if len(rest) > _MAX_LINE:
            raise DataError(f"line {line + 1} is longer than {_MAX_LINE // 2**20} MB")
        if b'"' in text:
            return line, None
        lines = _cells_per_line(text, delimiter)
        ragged = np.flatnonzero((lines != n_columns) & (lines > 0))
        if len(ragged):
            return line + int(ragged[0]) + 1, int(lines[ragged[0]])
        line += len(lines)
        if not block:
            return None


def _cells_per_line(text: bytes, delimiter: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return cells per line, 0 for a blank one."""
    if not text:
        return np.zeros(0, np.int64)
    signs = np.frombuffer(text if text.endswith(b"\n") else text + b"\n", np.uint8)
    ends = np.flatnonzero(signs == ord("\n"))
    before = np.searchsorted(np.flatnonzero(signs == delimiter), ends)
    lengths = np.diff(ends, prepend=-1) - 1
    is_blank = (lengths == 0) | ((lengths == 1) & (signs[np.maximum(ends - 1, 0)] == ord("\r")))
    return np.where(is_blank, 0, np.diff(before, prepend=0) + 1)


def _ragged_record(file: Path, delimiter: str, n_columns: int) -> tuple[int, int] | None:
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, delimiter=delimiter, strict=True)
            for cells in reader:
                if cells and len(cells) != n_columns:
                    return reader.line_num, len(cells)
    except csv.Error as error:
        raise DataError(f"'{file.name}': line {reader.line_num}: {error}") from None
    except UnicodeDecodeError as error:
        raise _not_utf8(file, error) from None
    return None


def _header(file: Path, delimiter: str) -> list[str]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            first = text.readline(_MAX_HEADER)
    except UnicodeDecodeError as error:
        raise _not_utf8(file, error) from None
    if not first.strip():
        raise DataError(f"'{file.name}' is empty", "it needs a header and rows")
    names = next(csv.reader([first], delimiter=delimiter))
    if len(names) > MAX_COLUMNS or len(first) >= _MAX_HEADER:
        raise DataError(f"'{file.name}' has more than {MAX_COLUMNS} columns or no line ends")
    if "" in names:
        raise DataError(
            f"'{file.name}': column {names.index('') + 1} has no name",
            "name it; a table written with its index is saved again with index=False",
        )
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise DataError(f"'{file.name}' has more than one column '{double}'")
    if all(_is_number(name) for name in names):
        raise DataError(
            f"'{file.name}' has no header: its first line holds only numbers",
            "put the names of the columns into the first line",
        )
    others = [mark for mark in ";\t|," if mark != delimiter and mark in names[0]]
    if len(names) == 1 and others:
        raise DataError(
            f"'{file.name}' has one column only, '{names[0][:40]}'",
            f"its cells look separated by {others[0]!r}: set 'delimiter'",
        )
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _not_utf8(file: Path, error: UnicodeDecodeError) -> DataError:
    return DataError(f"'{file.name}' is not UTF-8 text (byte {error.start})", "save it in UTF-8")


def _beside(stem: Path) -> list[Path]:
    if not stem.parent.is_dir():
        return []
    return [p for p in stem.parent.iterdir() if p.name.startswith(stem.name) and p.is_file()]


def _sorted(files: list[Path]) -> list[Path]:
    """Sort by name, with numbers in names as numbers: part 2 before part 10."""
    return sorted(files, key=lambda p: [(int(t or -1), s) for s, t in _pieces(p.name)])


def _pieces(name: str) -> list[tuple[str, str]]:
    return re.findall(r"(\D*)(\d*)", name)


def _inside(folder: Path, files: list[Path]) -> list[Path]:
    if len(files) > MAX_PARTS:
        raise DataError(f"'{folder.name}' has more than {MAX_PARTS} parts")
    for file in files:
        # A link may not lead out of the folder that was allowed.
        if not file.resolve().is_relative_to(folder.resolve()) or not file.is_file():
            raise DataError(f"'{file.name}' is a link out of its folder or no file")
    return files


def _difference(expected: Sequence[str], found: Sequence[str]) -> str:
    missing = [f"'{name}' is missing" for name in expected if name not in found]
    extra = [f"'{name}' is new" for name in found if name not in expected]
    return ", ".join([*missing, *extra][:5])


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]
