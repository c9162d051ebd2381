"""Tables written beside their place and moved there when they are complete."""

from __future__ import annotations

import csv
import fcntl
import glob
import gzip
import io
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, TextIO, cast

import polars as pl

from materia.data.digits import NumberTypes
from materia.data.limits import BATCH_CELLS, MAX_NAME_BYTES, SYNC_BYTES
from materia.data.parts import Parts
from materia.data.records import Fault
from materia.data.source import suffix_of
from materia.errors import DataError

_PIECE = 2**20
_TITLES = ("line", "reason", "row")
_REJECTS = "rejects.csv"
_WITH_REJECTS, _WITHOUT_REJECTS = "begun with rejects", "begun"


def check_output(output: Path, sources: Iterable[Path]) -> None:
    """Raise a DataError where a file of that name cannot be written, or is read as well."""
    n_bytes = len(os.fsencode(output.name))
    if n_bytes > MAX_NAME_BYTES:
        what = f"the name of the output has {n_bytes} bytes; at most {MAX_NAME_BYTES} are allowed"
        raise DataError(what, "shorten it")
    source = next((one for one in sources if _is_same(output, one)), None)
    if source is not None:
        raise DataError(f"'{source}' is input and output at once", "name another output")


def _is_same(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.samefile(other)


Rendered = bytes | pl.DataFrame
"""Rows as a writer takes them."""


class Writer(Protocol):
    """Takes the rows of a table in their order."""

    def render(self, frame: pl.DataFrame, *, is_plain: bool = False) -> Rendered:
        """Do what can be done before it is the turn of these rows, in any thread.

        Args:
            frame: The rows.
            is_plain: No text in them needs quotes in CSV.
        """

    def write(self, rows: Rendered) -> None:
        """Append rows."""

    def finish(self) -> None:
        """Complete the file, durably."""

    def close(self) -> None:
        """Let go of the file, complete or not."""


@contextmanager
def workplace(output: Path) -> Iterator[Path]:
    """Provide a folder beside `output` that is gone afterwards, and explain a full disk.

    Raises:
        DataError: Something in it cannot be written.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as folder:
            yield Path(folder)
    except (OSError, pl.exceptions.ComputeError) as error:
        reason = getattr(error, "strerror", None) or str(error)[:200]
        fix = "make room, or name another folder; the old file is untouched"
        raise DataError(f"cannot write '{output}': {reason}", fix) from None


def writer_for(
    output: Path, folder: Path, columns: Mapping[str, pl.DataType], infer: bool
) -> Writer:
    """Return what writes `output`, by its ending, to `folder`/`output.name`.

    Args:
        output: Where the file will stand.
        folder: Where it is made.
        columns: Types of the columns.
        infer: Store text columns that hold only numbers as numbers, where the format has types that
            lose no digit of them.
    """
    suffix, path = suffix_of(output), folder / output.name
    if suffix == ".parquet":
        return ParquetWriter(path, folder / "rows", columns, infer)
    return CsvWriter(path, columns, suffix == ".csv.gz")


@contextmanager
def replacing(folder: Path) -> Iterator[None]:
    """Let nobody else replace files of a folder meanwhile; what was done outlasts a power cut.

    Jobs with the same output would else mix the files that belong to it.
    """
    fd = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
        os.fsync(fd)
    finally:
        os.close(fd)


def publish(folder: Path, output: Path) -> None:
    """Bring a complete table and the rows that it rejected from a workplace to their places.

    The table comes last: with it everything is done. A run that is killed in between has begun,
    and the next one with the same output ends it, so that both belong together again.
    """
    with replacing(output.parent):
        check_rejects(output)
        # What was begun is in a name, which no power cut leaves half written.
        (folder / (_WITH_REJECTS if (folder / _REJECTS).exists() else _WITHOUT_REJECTS)).touch()
        _move(folder, output)


def finish_begun(output: Path) -> None:
    """End what killed runs have begun to bring to a place; what they have not is left alone."""
    with replacing(output.parent):
        for folder in output.parent.glob(f".{glob.escape(output.name)}.*/"):
            has_begun = (folder / _WITH_REJECTS).exists() or (folder / _WITHOUT_REJECTS).exists()
            if has_begun and (folder / output.name).exists():
                check_rejects(output)
                _move(folder, output)
                shutil.rmtree(folder)


def _move(folder: Path, output: Path) -> None:
    place = rejects_of(output)
    if (folder / _REJECTS).exists():
        (folder / _REJECTS).replace(place)
    elif (folder / _WITHOUT_REJECTS).exists():  # and so none of an earlier run
        place.unlink(missing_ok=True)
    (folder / output.name).replace(output)


def rejects_of(output: Path) -> Path:
    """Return the place of the rows that a table rejects."""
    return output.with_name(f"{output.name}.rejects.csv")


def _is_rejects(place: Path) -> bool:
    first = b"%s\n" % ",".join(_TITLES).encode()
    if not stat.S_ISREG(place.lstat().st_mode):
        return False
    with place.open("rb") as file:
        return file.read(len(first)) == first


def check_rejects(output: Path) -> None:
    """Raise a DataError where the place of rejected rows belongs to another file."""
    place = rejects_of(output)
    try:
        if _is_rejects(place):
            return
    except FileNotFoundError:  # also where another job takes it away just now
        return
    raise DataError(
        f"'{place}' is no file of rejected rows, which would replace it",
        "name another output, or move that file away",
    )


class CsvWriter:
    """Writes CSV, compressed or not."""

    def __init__(self, path: Path, columns: Mapping[str, pl.DataType], is_gzip: bool) -> None:
        self._file = path.open("wb")
        # No name and no time, so that equal tables are equal files.
        self._gzip = (
            gzip.GzipFile("", "wb", compresslevel=6, fileobj=self._file, mtime=0)
            if is_gzip
            else None
        )
        self._waiting = bytearray()
        self._n_unsynced = 0
        # A line without a character would not be read as a row again.
        self._is_narrow = len(columns) == 1
        self.write(pl.DataFrame(schema=dict(columns)).write_csv().encode())

    def render(self, frame: pl.DataFrame, *, is_plain: bool = False) -> bytes:
        """Return the rows as text."""
        if self._is_narrow:
            frame = frame.with_columns(pl.all().cast(pl.String).fill_null(""))
            is_plain = False
        made = io.BytesIO()
        frame.write_csv(
            made, include_header=False, quote_style="never" if is_plain else "necessary"
        )
        return made.getvalue()

    def write(self, rows: Rendered) -> None:
        """Append rows."""
        content = cast(bytes, rows)
        if self._gzip is None:
            self._file.write(content)
            self._n_unsynced += len(content)
            if self._n_unsynced >= SYNC_BYTES:
                # Else all of it would wait for the end, with nothing else left to do.
                os.fdatasync(self._file.fileno())
                self._n_unsynced = 0
            return
        self._waiting += content
        # Pieces of one size: what a compressor writes may depend on what it is given at a time.
        while len(self._waiting) >= _PIECE:
            self._gzip.write(self._waiting[:_PIECE])
            del self._waiting[:_PIECE]

    def finish(self) -> None:
        """Complete the file, durably."""
        if self._gzip is not None:
            self._gzip.write(self._waiting)
            self._gzip.close()
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let go of the file, complete or not."""
        self._file.close()


class ParquetWriter:
    """Collects rows on disk and writes them as row groups of one size."""

    def __init__(
        self, path: Path, folder: Path, columns: Mapping[str, pl.DataType], infer: bool
    ) -> None:
        self._path, self._n_columns = path, len(columns)
        self._parts = Parts(folder, columns)
        text = [name for name, dtype in columns.items() if dtype == pl.String] if infer else []
        self._types = {name: NumberTypes() for name in text}

    def render(self, frame: pl.DataFrame, *, is_plain: bool = False) -> pl.DataFrame:
        """Return the rows as they are."""
        return frame

    def write(self, rows: Rendered) -> None:
        """Append rows."""
        frame = cast(pl.DataFrame, rows)
        if not frame.height:
            return
        for name, types in self._types.items():
            types.see(frame[name])
        self._parts.append(frame)

    def finish(self) -> None:
        """Complete the file, durably."""
        casts = [
            pl.col(name).cast(types.dtype)
            for name, types in self._types.items()
            if types.dtype is not None
        ]
        size = max(1, BATCH_CELLS // self._n_columns)
        rows = self._parts.scan().with_columns(casts)
        rows.sink_parquet(self._path, row_group_size=size)
        with self._path.open("rb") as file:
            os.fsync(file.fileno())

    def close(self) -> None:
        """Let go of the file, complete or not."""


class Rejects:
    """The rows that could not be used, as CSV with line, reason and the row itself.

    Args:
        output: The table that they are missing in.
        source: Where they come from.
        folder: Where the file is made.

    Raises:
        DataError: The name that it will have belongs to another file.
    """

    def __init__(self, output: Path, source: Path, folder: Path) -> None:
        self.place = rejects_of(output)
        if _is_same(self.place, source):
            raise DataError(
                f"'{source}' is the input, and rejected rows would replace it",
                "name another output, or the input anew",
            )
        check_rejects(output)
        self.path = folder / _REJECTS
        self.n_rows = 0
        self._file: TextIO | None = None

    def write(self, faults: Iterable[Fault]) -> None:
        """Append rows; the file is made with the first of them."""
        for fault in faults:
            if self._file is None:
                self._file = self.path.open("w", encoding="utf-8", newline="")
                self._writer = csv.writer(self._file, lineterminator="\n")
                self._writer.writerow(_TITLES)
            self._writer.writerow((fault.line, fault.reason, fault.record))
            self.n_rows += 1

    def finish(self) -> None:
        """Complete the file, durably."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let go of the file, complete or not."""
        if self._file is not None:
            self._file.close()
