"""Writers of the formats of an export; rows come one by one and are never all in memory."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from materia.errors import DataError, MissingExtraError
from materia.report.content import Row
from materia.report.table import Columns, safe

PIECE = 1000
# Of a sheet in the Office Open XML that spreadsheets read.
SHEET_ROWS, SHEET_COLUMNS, CELL_CHARACTERS = 2**20, 2**14, 32_767


def write(path: Path, columns: Columns, rows: Iterable[Row], n_rows: int) -> None:
    """Write a table to a new file in the format that its ending names.

    Args:
        n_rows: How many rows there are.

    Raises:
        DataError: The format cannot hold so many rows or columns.
        MissingExtraError: A library that the format needs is not installed.
    """
    lines = (columns.cells(row) for row in rows)
    _WRITERS[path.suffix](path, columns.header(), lines, n_rows)


def _csv(path: Path, header: list[str], lines: Iterator[list[Any]], n_rows: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([safe(title) for title in header])
        writer.writerows([safe(cell) for cell in line] for line in lines)


def _json(path: Path, header: list[str], lines: Iterator[list[Any]], n_rows: int) -> None:
    with path.open("wb") as file:
        file.write(b"[")
        for i, line in enumerate(lines):
            file.write(b",\n" if i else b"\n")
            file.write(orjson.dumps(dict(zip(header, line, strict=True))))
        file.write(b"\n]\n")


def _parquet(path: Path, header: list[str], lines: Iterator[list[Any]], n_rows: int) -> None:
    from materia.data import require_polars

    require_polars("an export as Parquet")
    import polars as pl

    # What a column holds is known when all of it has been seen; until then pieces wait on disk.
    folder = path.with_name("pieces")
    folder.mkdir()
    kinds: list[set[type]] = [set() for _ in header]
    n_pieces = 0
    while piece := list(islice(lines, PIECE)):
        for line in piece:
            for kind, cell in zip(kinds, line, strict=True):
                if cell is not None:
                    kind.add(float if _is_large(cell) else type(cell))
        (folder / f"{n_pieces}.json").write_bytes(orjson.dumps(piece))
        n_pieces += 1
    schema = {title: _dtype(pl, kind) for title, kind in zip(header, kinds, strict=True)}
    parts = []
    for i in range(n_pieces):
        piece = orjson.loads((folder / f"{i}.json").read_bytes())
        series = [
            pl.Series(title, [_as(dtype == pl.String, line[k]) for line in piece], dtype)
            for k, (title, dtype) in enumerate(schema.items())
        ]
        parts.append(folder / f"{i}.ipc")
        pl.DataFrame(series).write_ipc(parts[-1])
    table = pl.scan_ipc(parts) if parts else pl.LazyFrame(schema=schema)
    table.sink_parquet(path)


def _dtype(pl: Any, kinds: set[type]) -> Any:
    """Return the type of a column that holds these; one of nothing is one of numbers."""
    if kinds == {bool}:
        return pl.Boolean
    if kinds == {int}:
        return pl.Int64
    return pl.Float64 if kinds <= {int, float} else pl.String


def _is_large(cell: Any) -> bool:
    """Tell whether a whole number fits into no column of whole numbers."""
    return type(cell) is int and not -(2**63) <= cell < 2**63


def _as(is_text: bool, cell: Any) -> Any:
    return str(cell) if is_text and cell is not None else cell


def _xlsx(path: Path, header: list[str], lines: Iterator[list[Any]], n_rows: int) -> None:
    if find_spec("xlsxwriter") is None:
        raise MissingExtraError("data", "an export as xlsx")
    if n_rows >= SHEET_ROWS or len(header) > SHEET_COLUMNS:
        raise DataError(
            f"a sheet holds {SHEET_ROWS - 1} rows of {SHEET_COLUMNS} columns, not {n_rows} of"
            f" {len(header)}",
            "export as parquet or csv",
        )
    import xlsxwriter

    # Rows go to disk as they come; text stays text, whatever it looks like.
    options = {
        "constant_memory": True,
        "tmpdir": str(path.parent),
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    with xlsxwriter.Workbook(str(path), options) as book:
        sheet = book.add_worksheet("candidates")
        sheet.freeze_panes(1, 0)
        bold = book.add_format({"bold": True})
        for k, title in enumerate(header):
            sheet.write_string(0, k, safe(title), bold)
        for i, line in enumerate(lines, start=1):
            for k, cell in enumerate(line):
                _write_cell(sheet, i, k, cell)


def _write_cell(sheet: Any, row: int, column: int, cell: Any) -> None:
    if isinstance(cell, bool):
        sheet.write_boolean(row, column, cell)
    elif isinstance(cell, int | float):
        if math.isfinite(cell):
            sheet.write_number(row, column, cell)
    elif cell is not None:
        sheet.write_string(row, column, safe(str(cell))[:CELL_CHARACTERS])


Writer = Callable[[Path, list[str], Iterator[list[Any]], int], None]
_WRITERS: Mapping[str, Writer] = {
    ".csv": _csv,
    ".json": _json,
    ".parquet": _parquet,
    ".xlsx": _xlsx,
}
