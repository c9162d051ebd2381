"""Results that people fill in: a CSV file with a row per candidate, or pairs in a command."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from materia.errors import DataError

Row = Mapping[str, Any]

FAILED = "failed"
ERROR = " ±"
"""Ends the heading of the standard error of an objective."""


def write(
    path: Path, definition: Mapping[str, Any], candidates: Sequence[Mapping[str, Any]]
) -> None:
    """Write candidates with empty cells for their results.

    Raises:
        DataError: The file cannot be written, or exists and was filled in.
    """
    names = list(candidates[0]["params"]) if candidates else []
    objectives = [objective["name"] for objective in definition["objectives"]]
    cells = [heading for name in objectives for heading in (name, name + ERROR)]
    if path.exists() and any(_told(row, objectives) for row in _rows(path, objectives)):
        raise DataError(f"'{path}' holds results already", "tell them first, or name another file")
    try:
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", *names, *cells])
            for row in candidates:
                params = [row["params"].get(name) for name in names]
                writer.writerow([row["id"], *params, *[""] * len(cells)])
    except OSError as error:
        raise DataError(f"cannot write '{path}': {error.strerror}") from None


def read(path: Path, definition: Row) -> dict[str, dict[str, Any] | None]:
    """Return the results of a file that was filled in; rows without any are left out.

    Raises:
        DataError: It is no such file, or a cell is no number; says which.
    """
    objectives = [objective["name"] for objective in definition["objectives"]]
    found: dict[str, dict[str, Any] | None] = {}
    for row in _rows(path, objectives):
        told = _told(row, objectives)
        name = (row.get("id") or "").strip()
        if not told:
            continue
        if not name or name in found:
            what = f"names candidate '{name}' twice" if name else "has a result without an id"
            raise DataError(f"'{path}' {what}")
        is_failed = any(cell.lower() == FAILED for cell in told.values())
        found[name] = None if is_failed else _outcomes(told, row, f"candidate '{name}'")
    if not found:
        raise DataError(f"'{path}' holds no results", f"fill in {', '.join(objectives)}")
    return found


def pairs(given: Iterable[str]) -> dict[str, Any]:
    """Return the outcomes of ``name=value`` and ``name=value,error``.

    Raises:
        DataError: One is no such pair.
    """
    found = {}
    for text in given:
        name, is_pair, value = text.rpartition("=")
        if not is_pair or not name:
            raise DataError(f"'{text}' is no result", "write NAME=VALUE, or NAME=VALUE,ERROR")
        number, has_error, error = value.partition(",")
        mean = _number(number, name)
        found[name] = [mean, _number(error, name)] if has_error else mean
    return found


def _rows(path: Path, objectives: Sequence[str]) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror}") from None
    except UnicodeDecodeError:
        raise DataError(f"'{path}' is not UTF-8 text", "save it as CSV in UTF-8") from None
    head = text.partition("\n")[0]
    # Spreadsheets of many countries write semicolons, with a comma in numbers.
    delimiter = ";" if head.count(";") > head.count(",") else ","
    rows = list(csv.DictReader(text.splitlines(), delimiter=delimiter, restval=""))
    headings = rows[0].keys() if rows else set(head.strip().split(delimiter))
    missing = [name for name in ("id", *objectives) if name not in headings]
    if missing:
        raise DataError(
            f"'{path}' has no column {', '.join(missing)}",
            "`materia campaign waiting ID --sheet FILE` writes a file to fill in",
        )
    if delimiter == ";":
        return [{k: v.replace(",", ".") for k, v in row.items() if k} for row in rows]
    return rows


def _told(row: Mapping[str, str], objectives: Sequence[str]) -> dict[str, str]:
    return {name: cell for name in objectives if (cell := (row.get(name) or "").strip())}


def _outcomes(told: Mapping[str, str], row: Mapping[str, str], where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, cell in told.items():
        value, error = _number(cell, f"{name} of {where}"), (row.get(name + ERROR) or "").strip()
        found[name] = [value, _number(error, f"{name + ERROR} of {where}")] if error else value
    return found


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{where}: '{text}' is no number") from None
