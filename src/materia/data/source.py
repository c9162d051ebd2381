"""Tables read block by block: CSV, gzipped CSV and Parquet.

Cells of CSV stay the text that they are; an empty cell is missing. A whole file that cannot be
used is an error; a record that cannot be used is a `Fault` of its block.
"""

from __future__ import annotations

import csv
import gzip
import os
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Protocol, Self

import polars as pl

from materia.data.limits import (
    BATCH_CELLS,
    BLOCK_BYTES,
    EXPANSION_FREE_BYTES,
    LEAST_BLOCK_BYTES,
    MAX_COLUMNS,
    MAX_EXPANSION,
    MAX_RECORD_BYTES,
)
from materia.data.records import Block, Cutter, Fault, Inspect
from materia.errors import DataError, NotFoundError

SUFFIXES = (".csv", ".csv.gz", ".parquet")
BOM = b"\xef\xbb\xbf"
RECORD = "\x00record"
"""Name of the column that holds whole rows as the file has them, cells and commas."""
_MOST_OF_A_LINE = 2**16
_SEPARATOR = "\x1f"
"""Stands between no cells, so that Polars takes a whole record for one."""
_MAGIC = {
    b"PK\x03\x04": "a zip archive or spreadsheet",
    b"\x1f\x8b": "compressed with gzip; name it .csv.gz",
    b"PAR1": "a Parquet file; name it .parquet",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


class Rows(Protocol):
    """Rows of a table that stand together."""

    @property
    def faults(self) -> list[Fault]:
        """Rows that cannot be used, in order."""
        ...

    @property
    def done(self) -> int:
        """How much of `Source.size` has been read."""
        ...

    @property
    def is_plain(self) -> bool:
        """Whether no text in them needs quotes in CSV; only then there is a column `RECORD`."""
        ...

    def frame(self, names: Collection[str], numbers: Collection[str] = ()) -> pl.DataFrame:
        """Return the usable rows; what this costs falls to the thread that asks.

        Args:
            names: Columns that are needed; others may be there or not.
            numbers: Those of them that are numbers where all of their cells are finite ones.
        """
        ...

    def place(self, row: int) -> int:
        """Return the line of the file (CSV), or the number of the row (Parquet), from 1."""
        ...

    def text(self, row: int) -> str:
        """Return a row as the file has it."""
        ...


class Source(Protocol):
    """A table that is open for reading.

    Attributes:
        columns: Types of the columns in their order.
        size: What `Rows.done` counts up to.
    """

    columns: dict[str, pl.DataType]
    size: int

    def rows(self, n_chunks: int) -> Iterator[Rows]:
        """Yield the table in about `n_chunks` pieces, more when they would be too large."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


def open_table(path: Path, delimiter: str = ",") -> Source:
    """Open a table by the ending of its name.

    Raises:
        NotFoundError: There is no such file.
        DataError: It is no such table; says why.
    """
    suffix = suffix_of(path)
    if not path.exists():
        raise NotFoundError(f"there is no file '{path}'", "check the path")
    if not path.is_file():
        raise DataError(f"'{path}' is not a file", "name a file, not a folder")
    if suffix == ".parquet":
        return ParquetSource(path)
    return CsvSource(path, delimiter)


def suffix_of(path: Path) -> str:
    """Return which of `SUFFIXES` a name has.

    Raises:
        DataError: It has none of them.
    """
    for suffix in reversed(SUFFIXES):
        if path.name.lower().endswith(suffix):
            return suffix
    raise DataError(
        f"the ending of '{path.name}' names no kind of table", f"allowed: {', '.join(SUFFIXES)}"
    )


class CsvSource:
    """A CSV file, compressed or not; the header is read at once."""

    def __init__(self, path: Path, delimiter: str) -> None:
        self._name = path.name
        self._delimiter = delimiter
        self.size = path.stat().st_size
        self._stack = ExitStack()
        try:
            raw = self._stack.enter_context(path.open("rb"))
            self._stream = _Stream(raw, path.name, is_gzip=suffix_of(path) == ".csv.gz")
            titles = self._read_header()
        except OSError as error:
            self._stack.close()
            raise DataError(f"'{path.name}' cannot be read: {error.strerror or error}") from None
        except BaseException:
            self._stack.close()
            raise
        self.columns: dict[str, pl.DataType] = {title: pl.String() for title in titles}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def rows(self, n_chunks: int) -> Iterator[Rows]:
        """Yield the records below the header."""
        titles = list(self.columns)
        cutter = Cutter(self._name, len(titles), self._delimiter, self._first_line)
        block_bytes = min(BLOCK_BYTES, max(LEAST_BLOCK_BYTES, -(-self.size // n_chunks)))
        trust = _Trust()
        for inspect in cutter.blocks(self._stream.read, block_bytes):
            yield _Records(inspect, titles, self._delimiter, self._stream.position, trust)

    def _read_header(self) -> list[str]:
        content = self._stream.read(2**16).removeprefix(BOM)
        if not content:
            raise DataError(f"'{self._name}' is empty", "it needs a header and rows")
        for magic, what in _MAGIC.items():
            if content.startswith(magic):
                raise DataError(f"'{self._name}' is not CSV in UTF-8: it is {what}")
        while (found := self._header_in(content)) is None:
            if len(content) > MAX_RECORD_BYTES:
                raise DataError(f"the header of '{self._name}' has no end")
            piece = self._stream.read(len(content))
            if not piece and content.endswith(b"\n"):
                raise DataError(
                    f"'{self._name}' holds no header, or a quote in it is never closed",
                    "the first line names the columns",
                )
            content += piece or b"\n"
        cells, n_lines = found
        lines = content.split(b"\n", n_lines)
        self._stream.put_back(lines[n_lines])
        self._first_line = n_lines + 1
        return self._checked_titles([cell.strip() for cell in cells])

    def _header_in(self, content: bytes) -> tuple[list[str], int] | None:
        """Return the cells of the first record that is not blank, and the lines up to its end."""
        lines = [line + b"\n" for line in content.split(b"\n")[:-1]]
        try:
            reader = csv.reader(
                (line.decode() for line in lines), delimiter=self._delimiter, strict=True
            )
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    return cells, reader.line_num
        except UnicodeDecodeError:
            raise DataError(
                f"the header of '{self._name}' is not UTF-8 text", "save the file as CSV in UTF-8"
            ) from None
        except csv.Error as error:
            if "unexpected end" in str(error):
                return None
            raise self._unreadable_header(content) from None
        return None

    def _unreadable_header(self, content: bytes) -> DataError:
        if b"\r" in content.replace(b"\r\n", b""):
            return DataError(
                f"a line of '{self._name}' ends with a carriage return alone",
                "end lines with a line feed, as by: tr '\\r' '\\n' < old.csv > new.csv",
            )
        return DataError(
            f"the header of '{self._name}' cannot be read: text follows a closing quote",
            'write a quote inside a cell twice: ""',
        )

    def _checked_titles(self, titles: list[str]) -> list[str]:
        name = self._name
        if len(titles) > MAX_COLUMNS:
            raise DataError(f"'{name}' has {len(titles)} columns; at most {MAX_COLUMNS} are read")
        if "\x00" in "".join(titles):
            raise DataError(f"'{name}' is not text", "save it as CSV in UTF-8")
        others = [mark for mark in ";\t|," if mark != self._delimiter and mark in titles[0]]
        if len(titles) == 1 and others:
            raise DataError(
                f"the cells of '{name}' are not separated by {self._delimiter!r}",
                f"they look separated by {others[0]!r}: set 'delimiter'",
            )
        if any(titles) and all(_is_number(title) for title in titles if title):
            raise DataError(
                f"'{name}' has no header: its first line holds only numbers",
                "add a line that names the columns",
            )
        titles = _named(titles)
        double = sorted({title for title in titles if titles.count(title) > 1})[:5]
        if double:
            listed = ", ".join(map(repr, double))
            raise DataError(f"'{name}' has more than one column {listed}", "rename them")
        return titles


class ParquetSource:
    """A Parquet file, read in pieces of whole rows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _explained(path.name):
            self._scan = pl.scan_parquet(path, glob=False)
            self.columns: dict[str, pl.DataType] = dict(self._scan.collect_schema())
            self.size = int(self._scan.select(pl.len()).collect().item())
        if not self.columns:
            raise DataError(f"'{path.name}' has no columns")
        if len(self.columns) > MAX_COLUMNS:
            raise DataError(f"'{path.name}' has more than {MAX_COLUMNS} columns")
        for name, kind in self.columns.items():
            if kind.is_nested() or kind == pl.Binary or kind == pl.Object:
                raise DataError(
                    f"column '{name}' of '{path.name}' holds {kind}, not plain values",
                    "only numbers, text, booleans, dates and times are read",
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return

    def rows(self, n_chunks: int) -> Iterator[Rows]:
        """Yield the rows in their order."""
        most = max(1, BATCH_CELLS // len(self.columns))
        n_rows = min(most, max(1, -(-self.size // n_chunks)))
        done = 0
        with _explained(self._path.name):
            for frame in self._scan.collect_batches(chunk_size=n_rows, maintain_order=True):
                first, done = done + 1, done + frame.height
                yield _Batch(frame, done, first)


@dataclass
class _explained:  # noqa: N801 - reads as a verb where it is used
    """Turns what Polars says about a file into an error of ours."""

    name: str

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, pl.exceptions.PolarsError | OSError):
            raise DataError(
                f"'{self.name}' cannot be read as Parquet: {str(error)[:200]}",
                "write the file again, or convert it to CSV",
            ) from None


@dataclass
class _Stream:
    """Bytes of a file, decompressed on the way, with the faults of compression explained."""

    raw: IO[bytes]
    name: str
    is_gzip: bool
    _waiting: bytes = b""
    _n_out: int = 0
    _source: IO[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self._source = gzip.GzipFile(fileobj=self.raw) if self.is_gzip else self.raw  # type: ignore[assignment]

    @property
    def position(self) -> int:
        """Bytes of the file that have been used."""
        return self.raw.tell() - (0 if self.is_gzip else len(self._waiting))

    def put_back(self, content: bytes) -> None:
        """Let the next read begin with `content`."""
        self._waiting = content

    def read(self, size: int) -> bytes:
        """Return about `size` bytes up to the end of a line, or what was put back.

        A line that is much longer comes in parts; nothing is returned at the end.
        """
        if self._waiting:
            content, self._waiting = self._waiting[:size], self._waiting[size:]
            return content
        try:
            content = self._whole_lines(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(
                f"'{self.name}' is damaged or not compressed with gzip: {error}",
                "compress or copy it again",
            ) from None
        except OSError as error:
            raise DataError(f"'{self.name}' cannot be read: {error.strerror or error}") from None
        self._n_out += len(content)
        if self.is_gzip and self._n_out > EXPANSION_FREE_BYTES + MAX_EXPANSION * self.position:
            raise DataError(
                f"'{self.name}' grows more than {MAX_EXPANSION} times when it is decompressed",
                "a table does not; decompress it yourself if you trust it",
            )
        return content

    def _whole_lines(self, size: int) -> bytes:
        if self.is_gzip:
            return self._source.read(size) + self._source.readline(_MOST_OF_A_LINE)
        # To look where the line ends first spares a copy of everything.
        ahead = os.pread(self.raw.fileno(), _MOST_OF_A_LINE, self.raw.tell() + size)
        end = ahead.find(b"\n") + 1
        return self._source.read(size + (end or len(ahead)))


@dataclass
class _Trust:
    """Whether it pays to let the reading of cells prove that a block is well-formed.

    It does not where last cells are missing: each such block is looked at and read once more.
    """

    is_given: bool = True


@dataclass
class _Records:
    """Records of a CSV file, looked at and cut into cells when they are needed."""

    inspect: Inspect
    titles: list[str]
    delimiter: str
    done: int
    trust: _Trust
    _seen: Block | None = None

    @property
    def block(self) -> Block:
        """The block, proven to be well-formed."""
        if self._seen is None or not self._seen.is_proven:
            self._seen = self.inspect(False)
        return self._seen

    @property
    def _looked_at(self) -> Block:
        # Not a cached property: all of a class share one lock in Python 3.11.
        if self._seen is None:
            self._seen = self.inspect(self.trust.is_given)
        return self._seen

    @property
    def faults(self) -> list[Fault]:
        return self.block.faults

    @property
    def is_plain(self) -> bool:
        block = self._looked_at
        has_marks = b"\r" in block.content or _SEPARATOR.encode() in block.content
        return self.delimiter == "," and not (block.has_quotes or has_marks)

    def frame(self, names: Collection[str], numbers: Collection[str] = ()) -> pl.DataFrame:
        """Return the cells, most as text; an empty one is null, quoted or not."""
        # One column at least, which says how many rows there are.
        wanted = [title for title in self.titles if title in names] or self.titles[:1]
        rows = [self._records()] if RECORD in names else []
        if not self._looked_at.is_proven:
            frame = self._proving(wanted, numbers, rows)
            if frame is not None:
                return frame
            rows = [self._records()] if rows else []
        return self._typed(wanted, numbers, rows)

    def _proving(
        self, wanted: list[str], numbers: Collection[str], rows: list[pl.LazyFrame]
    ) -> pl.DataFrame | None:
        """Return the cells and have the block proven by its last ones, or return None."""
        last = self.titles[-1]
        with suppress(pl.exceptions.PolarsError, DataError):
            frame = self._typed(list(dict.fromkeys([*wanted, last])), numbers, rows)
            if not frame[last].null_count():
                self._seen = replace(self._looked_at, is_proven=True)
                return frame if last in wanted else frame.drop(last)
        self.trust.is_given = False
        self._seen = self.inspect(False)
        return None

    def _typed(
        self, wanted: list[str], numbers: Collection[str], rows: list[pl.LazyFrame]
    ) -> pl.DataFrame:
        frame = self._numeric(wanted, numbers, rows) if numbers else None
        return self._read([self._cells(wanted, {}), *rows]) if frame is None else frame

    def _numeric(
        self, wanted: list[str], numbers: Collection[str], rows: list[pl.LazyFrame]
    ) -> pl.DataFrame | None:
        """Return the cells with some as numbers, unless one of these is none or is not finite."""
        try:
            frame = self._read([self._cells(wanted, dict.fromkeys(numbers, pl.Float64)), *rows])
        except pl.exceptions.ComputeError:
            return None
        return frame if all(frame[name].is_finite().all() for name in numbers) else None

    def _cells(self, wanted: list[str], types: Mapping[str, type[pl.DataType]]) -> pl.LazyFrame:
        keys = {title: f"column_{number}" for number, title in enumerate(self.titles, 1)}
        schema = {key: types.get(title, pl.String) for title, key in keys.items()}
        cells = [pl.col(keys[title]).alias(title) for title in wanted]
        if self._looked_at.has_quotes and b'""' in self._looked_at.content:
            for number, title in enumerate(wanted):
                if title not in types:
                    cell = pl.col(keys[title])
                    cells[number] = pl.when(cell != "").then(cell).alias(title)
        return self._scan(schema, self.delimiter).select(cells)

    def _records(self) -> pl.LazyFrame:
        return self._scan({RECORD: pl.String}, _SEPARATOR)

    def _scan(self, schema: Mapping[str, type[pl.DataType]], separator: str) -> pl.LazyFrame:
        content = self._looked_at.content
        is_marked = content.startswith(BOM)
        if is_marked:  # Polars would take it off as the mark of a file, which it is not here.
            content = separator.encode() * (len(schema) - 1) + b"\n" + content
        rows = pl.scan_csv(
            content,
            has_header=False,
            schema=dict(schema),
            separator=separator,
            quote_char='"' if self._looked_at.has_quotes else None,
        )
        return rows.slice(1) if is_marked else rows

    def _read(self, columns: list[pl.LazyFrame]) -> pl.DataFrame:
        """Return several readings of the block beside each other, made in one pass of Polars."""
        block = self._looked_at
        if not block.n_rows:
            return pl.concat(columns, how="horizontal").collect()
        frames = pl.collect_all(columns, engine="streaming")
        for frame in frames:
            if frame.height != block.n_rows:
                rows = f"{block.n_rows} records near line {block.first_line}"
                raise DataError(
                    f"{rows} were read as {frame.height}", "please report this, and the file"
                )
        return frames[0].hstack([column for frame in frames[1:] for column in frame])

    def place(self, row: int) -> int:
        return self.block.line(row)

    def text(self, row: int) -> str:
        return self.block.record(row)


@dataclass(frozen=True)
class _Batch:
    """Rows of a Parquet file."""

    rows: pl.DataFrame
    done: int
    first: int
    is_plain: bool = False

    @property
    def faults(self) -> list[Fault]:
        return []

    def frame(self, names: Collection[str], numbers: Collection[str] = ()) -> pl.DataFrame:
        return self.rows

    def place(self, row: int) -> int:
        return self.first + row

    def text(self, row: int) -> str:
        return self.rows[row].write_csv(include_header=False).rstrip("\n")


def _named(titles: Sequence[str]) -> list[str]:
    """Return titles with names for columns that have none, as spreadsheets and indexes leave."""
    names = list(titles)
    for at in (at for at, title in enumerate(titles) if not title):
        name = f"column_{at + 1}"
        while name in names:
            name += "_"
        names[at] = name
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
