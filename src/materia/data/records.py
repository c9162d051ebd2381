"""Cut text into blocks of whole, well-formed records, and say what is wrong with the others.

A record is right when it is UTF-8, has as many cells as the header, and text follows no closing
quote. Where the cells are cut never depends on how the text arrives in pieces: a quote counts as
one only at the start of a cell, so a block whose quotes all open and close at the edges of cells
can be cut by counting them, and any other block is walked record by record.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.data.limits import MAX_RECORD_BYTES
from materia.errors import DataError

Positions = NDArray[np.int64]
NEWLINE, RETURN, QUOTE = 10, 13, 34
_PIECE = 2**17

# The limit of the standard library would refuse in one block what the fast path takes in another.
csv.field_size_limit(MAX_RECORD_BYTES)


@dataclass(frozen=True)
class Fault:
    """Why a row was not used; `record` is what stood there."""

    line: int
    reason: str
    record: str


@dataclass(frozen=True)
class Block:
    """Well-formed records, each ended by a line feed.

    Attributes:
        content: The records, without those in `faults` and without blank lines.
        n_rows: How many records `content` holds.
        first_line: Line of the file where the block begins.
        faults: In the order of the file.
        kept_lines: Line of each record, where counting line feeds would not give it.
        kept_records: Each record as the file has it, where `content` was written anew.
        has_quotes: Whether a quote occurs in `content`.
        is_proven: Whether each record is known to be well-formed. Where it is not, there are as
            many cells as the records need all together, and the last cell of a record that has too
            few, as another has too many, is missing.
    """

    content: bytes
    n_rows: int
    first_line: int
    faults: list[Fault] = field(default_factory=list)
    kept_lines: Positions | None = None
    kept_records: Sequence[bytes] | None = None
    has_quotes: bool = False
    is_proven: bool = True

    @property
    def lines(self) -> Positions:
        """Lines of the file where the records begin."""
        if self.kept_lines is not None:
            return self.kept_lines
        return np.arange(self.first_line, self.first_line + self.n_rows)

    def line(self, row: int) -> int:
        """Return the line of the file where a record begins."""
        return self.first_line + row if self.kept_lines is None else int(self.kept_lines[row])

    def record(self, row: int) -> str:
        """Return a record as the file has it."""
        if self.kept_records is not None:
            return _shown(self.kept_records[row])
        begin = int(self._ends[row - 1]) + 1 if row else 0
        return _shown(self.content[begin : int(self._ends[row])])

    @cached_property
    def _ends(self) -> Positions:
        octets = np.frombuffer(self.content, np.uint8)
        newlines = np.flatnonzero(octets == NEWLINE)
        if not self.has_quotes:
            return newlines
        return _outside(newlines, np.flatnonzero(octets == QUOTE))


Inspect = Callable[[bool], Block]
"""Looks at the records of a block, which takes most of the time; may be called in any thread.

Where its argument is true, what counting can show is enough: the block may be not proven.
"""


class Cutter:
    """Cuts the text below a header.

    Args:
        name: File name for messages.
        width: Cells of each record.
        delimiter: One ASCII character between cells.
        first_line: Line of the file where the text begins.
    """

    def __init__(self, name: str, width: int, delimiter: str, first_line: int) -> None:
        self._name = name
        self._width = width
        self._delimiter = delimiter
        self._line = first_line
        self._edge = ord(delimiter)
        self._pattern = delimiter.encode() * (width - 1) + b"\n"

    def blocks(self, read: Callable[[int], bytes], block_bytes: int) -> Iterator[Inspect]:
        """Yield what gives the blocks of everything that `read` returns, until it returns nothing.

        Raises:
            DataError: A quote is never closed, or a record is too long.
        """
        rest = b""
        while True:
            # A record longer than a block is fetched in growing steps, or it would cost its square.
            piece = read(max(block_bytes, len(rest)))
            content = rest + piece if rest else piece
            if not piece:
                if content:
                    content += b"" if content.endswith(b"\n") else b"\n"
                    yield self._cut(content, True)[0]
                return
            inspect, used = self._cut(content, False)
            rest = content[used:]
            if len(rest) > MAX_RECORD_BYTES:
                raise self._too_long()
            if used:
                yield inspect

    def _cut(self, content: bytes, is_last: bool) -> tuple[Inspect, int]:
        if b'"' not in content:
            used = content.rfind(b"\n") + 1
            if _has_lone_returns(content[:used]):
                return self._walk(content[:used], is_last)
            return self._taken(content[:used]), used
        octets = np.frombuffer(content, np.uint8)
        quotes = np.flatnonzero(octets == QUOTE)
        ends = _outside(np.flatnonzero(octets == NEWLINE), quotes)
        used = int(ends[-1]) + 1 if len(ends) else 0
        is_whole = used == len(content) if is_last else used > 0
        checked = quotes[: int(np.searchsorted(quotes, used))] if is_whole else quotes
        is_regular = self._are_regular(octets, checked)
        if is_regular and not _has_lone_returns(content[:used]):
            if is_last and not is_whole:
                raise self._never_closed(self._line + content.count(b"\n", 0, used))
            return self._taken(content[:used]), used
        return self._walk(content, is_last)

    def _taken(self, content: bytes) -> Inspect:
        line, n_lines = self._line, _count(content, NEWLINE)
        self._line += n_lines
        return partial(self._inspect, content, line, n_lines, None)

    def _are_regular(self, octets: NDArray[np.uint8], quotes: Positions) -> bool:
        """Return whether every quote opens or closes a cell at its edge, or is doubled."""
        opening, closing = quotes[0::2], quotes[1::2]
        before = octets[opening - 1]
        is_edge = (before == self._edge) | (before == NEWLINE) | (before == QUOTE) | (opening == 0)
        # A closing quote at the very end of a piece is judged with the next piece.
        closing = closing[closing < len(octets) - 1]
        after = octets[closing + 1]
        following = octets[np.minimum(closing + 2, len(octets) - 1)]
        is_end = (after == RETURN) & (following == NEWLINE)
        is_end |= (after == self._edge) | (after == NEWLINE) | (after == QUOTE)
        return bool(is_edge.all() and is_end.all())

    def _walk(self, content: bytes, is_last: bool) -> tuple[Inspect, int]:
        """Cut record by record; a fault costs one line, not everything up to the next quote."""
        physical = [line + b"\n" for line in content.split(b"\n")[:-1]]
        lines = [_protected(line) for line in physical]
        walked = _Walked()
        written = io.StringIO()
        writer = csv.writer(
            written, delimiter=self._delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL
        )
        at = 0
        while at < len(lines):
            feed = _Feed(lines, at)
            try:
                cells = next(csv.reader(feed, delimiter=self._delimiter, strict=True))
            except csv.Error as error:
                if feed.is_spent and "unexpected end" in str(error):
                    if is_last:
                        raise self._never_closed(self._line + at) from None
                    break
                walked.faults.append(Fault(self._line + at, _QUOTING, _shown(physical[at])))
                at += 1
                continue
            if cells:
                writer.writerow(cells)
                walked.lines.append(self._line + at)
                walked.records.append(b"".join(physical[at : feed.at]))
            at = feed.at
        line = self._line
        self._line += at
        inspect = partial(self._inspect, _unprotected(written.getvalue()), line, at, walked)
        return inspect, sum(map(len, physical[:at]))

    def _inspect(
        self, content: bytes, line: int, n_lines: int, walked: _Walked | None, is_trusting: bool
    ) -> Block:
        """Take out the records that are ragged, blank or not UTF-8.

        Args:
            content: Whole records.
            line: Line of the file where they begin.
            n_lines: Lines of the file that they take.
            walked: What is known of them where each was looked at already.
            is_trusting: As of `Inspect`.
        """
        can_be_counted = walked is None and self._width > 1 and len(content) <= MAX_RECORD_BYTES
        if is_trusting and can_be_counted and b'"' not in content:
            return self._counted(content, line, n_lines)
        return self._looked_at(content, line, walked)

    def _counted(self, content: bytes, line: int, n_lines: int) -> Block:
        """Look only at those parts of a block whose cells are too many or too few for its lines."""
        if self._adds_up(content, n_lines):
            return Block(content, n_lines, line, is_proven=False)
        found, first_line = list[Block](), line
        for piece in _whole_lines(content):
            n_lines = _count(piece, NEWLINE)
            adds_up = self._adds_up(piece, n_lines)
            found.append(Block(piece, n_lines, line) if adds_up else self._looked_at(piece, line))
            line += n_lines
        return Block(
            b"".join(block.content for block in found),
            sum(block.n_rows for block in found),
            first_line,
            [fault for block in found for fault in block.faults],
            np.concatenate([block.lines for block in found]),
            is_proven=False,
        )

    def _adds_up(self, content: bytes, n_lines: int) -> bool:
        return _count(content, self._edge) == n_lines * (self._width - 1) and _is_utf8(content)

    def _looked_at(self, content: bytes, line: int, walked: _Walked | None = None) -> Block:
        """Look at every record."""
        is_quoted = b'"' in content
        is_text = _is_utf8(content)
        can_be_even = is_text and walked is None and len(content) <= MAX_RECORD_BYTES
        octets = np.frombuffer(content, np.uint8)
        if is_quoted:
            newlines = np.flatnonzero(octets == NEWLINE)
            quotes = np.flatnonzero(octets == QUOTE)
            ends = _outside(newlines, quotes)
            edges = _outside(np.flatnonzero(octets == self._edge), quotes)
            n_cells = np.diff(np.searchsorted(edges, ends), prepend=0) + 1
        else:
            marks = self._marks(content)
            n_rows = len(marks) // self._width
            is_even = can_be_even and marks == self._pattern * n_rows
            if is_even and not self._has_blank_lines(content):
                return Block(content, n_rows, line)
            newlines = ends = np.flatnonzero(octets == NEWLINE)
            # Between line ends there are as many marks as cells.
            n_cells = np.diff(np.flatnonzero(np.frombuffer(marks, np.uint8) == NEWLINE), prepend=-1)
        starts = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
        lines = (
            line + np.searchsorted(newlines, starts)
            if walked is None
            else np.array(walked.lines, np.int64)
        )
        lengths = ends - starts
        if len(lengths) and lengths.max() >= MAX_RECORD_BYTES:
            raise self._too_long(int(lines[int(lengths.argmax())]))
        is_blank = (lengths == 0) | ((lengths == 1) & (octets[starts] == RETURN))
        is_ragged = (n_cells != self._width) & ~is_blank
        is_foreign = np.zeros(len(ends), bool) if is_text else _foreign(content, ends)
        is_foreign &= ~is_ragged & ~is_blank
        found = list(walked.faults) if walked else []
        for row in np.flatnonzero(is_ragged | is_foreign):
            reason = _NOT_UTF8 if is_foreign[row] else self._raggedness(int(n_cells[row]))
            record = content[int(starts[row]) : int(ends[row])]
            record = walked.records[row] if walked else record
            found.append(Fault(int(lines[row]), reason, _shown(record)))
        found.sort(key=lambda fault: fault.line)
        keep = ~(is_ragged | is_foreign | is_blank)
        return Block(
            content if keep.all() else _joined(content, starts, ends, keep),
            int(keep.sum()),
            line,
            found,
            lines[keep],
            [walked.records[row] for row in np.flatnonzero(keep)] if walked else None,
            is_quoted,
        )

    def _marks(self, content: bytes) -> bytes:
        """Return the ends of cells and records, in pieces that stay in the processor's cache."""
        found = []
        for piece in _octets(content):
            is_mark = piece == self._edge
            is_mark |= piece == NEWLINE
            found.append(piece[np.flatnonzero(is_mark)])
        return np.concatenate(found).tobytes() if found else b""

    def _has_blank_lines(self, content: bytes) -> bool:
        """Return whether a file of one column has blank lines, which look like its empty cells."""
        if self._width > 1:
            return False
        return content.startswith((b"\n", b"\r\n")) or b"\n\n" in content or b"\n\r\n" in content

    def _raggedness(self, n_cells: int) -> str:
        return f"{n_cells} cell{'s' * (n_cells != 1)} where the header has {self._width}"

    def _never_closed(self, line: int) -> DataError:
        return DataError(
            f"'{self._name}': the quote that opens in line {line} is never closed",
            'close it, or write a quote inside a cell twice: ""',
        )

    def _too_long(self, line: int | None = None) -> DataError:
        return DataError(
            f"'{self._name}': the record in line {line or self._line} is longer than "
            f"{MAX_RECORD_BYTES // 2**20} MB",
            "most often a quote that is never closed, or a file that is no table",
        )


_QUOTING = "text follows a closing quote, or a quote is not closed in its cell"
_NOT_UTF8 = "is not UTF-8 text"


@dataclass
class _Walked:
    """What was found record by record."""

    lines: list[int] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


class _Feed:
    """Lines from `at` on, which remembers how far a reader went."""

    def __init__(self, lines: Sequence[str], at: int) -> None:
        self._lines = lines
        self.at = at

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> str:
        if self.is_spent:
            raise StopIteration
        self.at += 1
        return self._lines[self.at - 1]

    @property
    def is_spent(self) -> bool:
        return self.at == len(self._lines)


def _shown(record: bytes) -> str:
    return record.rstrip(b"\r\n").decode("utf-8", "backslashreplace")


_LONE_RETURN = re.compile("\r(?!\n)")
_STAND_IN = "\ud80d"
"""For a carriage return that ends no line, at which the standard library stops; never read."""


def _has_lone_returns(content: bytes) -> bool:
    """Return whether carriage returns end no line; Polars would take some for the end of one."""
    return b"\r" in content and content.count(b"\r") != content.count(b"\r\n")


def _protected(line: bytes) -> str:
    text = line.decode("utf-8", "surrogateescape")
    return _LONE_RETURN.sub(_STAND_IN, text) if "\r" in text else text


def _unprotected(text: str) -> bytes:
    return text.replace(_STAND_IN, "\r").encode("utf-8", "surrogateescape")


def _outside(positions: Positions, quotes: Positions) -> Positions:
    """Return the positions with an even number of quotes before them."""
    is_outside: NDArray[np.bool_] = np.searchsorted(quotes, positions) % 2 == 0
    return np.compress(is_outside, positions)


def _is_utf8(content: bytes) -> bool:
    if content.isascii():
        return True
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for piece in _pieces(content):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _count(content: bytes, octet: int) -> int:
    return sum(int(np.count_nonzero(piece == octet)) for piece in _octets(content))


def _octets(content: bytes) -> Iterator[NDArray[np.uint8]]:
    """Yield pieces that stay in the processor's cache; nothing is copied."""
    octets = np.frombuffer(content, np.uint8)
    return (octets[at : at + _PIECE] for at in range(0, len(octets), _PIECE))


def _whole_lines(content: bytes) -> Iterator[bytes]:
    """Yield pieces that end with a line; `content` does."""
    at = 0
    while at < len(content):
        end = content.find(b"\n", min(at + _PIECE, len(content) - 1)) + 1
        yield content[at:end]
        at = end


def _pieces(content: bytes) -> Iterator[bytes]:
    return (content[at : at + _PIECE] for at in range(0, len(content), _PIECE))


def _foreign(content: bytes, ends: Positions) -> NDArray[np.bool_]:
    """Return which records are not UTF-8."""
    found = np.zeros(len(ends), bool)
    view, at = memoryview(content), 0
    while at < len(content) and not content.isascii():
        try:
            str(view[at:], "utf-8")
            break
        except UnicodeDecodeError as error:
            row = int(np.searchsorted(ends, at + error.start))
        found[row] = True
        at = int(ends[row]) + 1
    return found


def _joined(content: bytes, starts: Positions, ends: Positions, keep: NDArray[np.bool_]) -> bytes:
    """Return the kept records, copied in runs."""
    change = np.flatnonzero(np.diff(keep.astype(np.int8), prepend=0, append=0))
    return b"".join(
        content[int(starts[first]) : int(ends[beyond - 1]) + 1]
        for first, beyond in zip(change[0::2], change[1::2], strict=True)
    )
