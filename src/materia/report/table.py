"""The table of all candidates as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from materia.report.content import Content, Row

# A spreadsheet takes text that starts so for a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
MAX_TEXT = 256


def csv_text(content: Content) -> str:
    """Return one line per candidate, numbers in full precision, text safe for spreadsheets."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([safe(title) for title in header(content)])
    for row in content.rows:
        writer.writerow([safe(cell) for cell in cells(content, row)])
    return buffer.getvalue()


def header(content: Content) -> list[str]:
    """Return the titles of the columns; names are those of the definition, without units."""
    objectives = [objective.name for objective in content.objectives]
    titles = ["id", "iteration", "state", "is_front", "source"]
    titles += ["breaks"] if content.outcome_constraints else []
    titles += [parameter.name for parameter in content.parameters]
    titles += objectives
    titles += [f"{name}_sem" for name in objectives if _has_error(content.rows, name)]
    for name in objectives:
        titles += [f"{name}_predicted", f"{name}_predicted_std"]
    titles += [f"metadata.{name}" if name in titles else name for name in content.extras]
    return [*titles, "error"]


def cells(content: Content, row: Row) -> list[Any]:
    """Return the cells of one candidate, in the order of `header`; None where nothing is known."""
    objectives = [objective.name for objective in content.objectives]
    line: list[Any] = [row.id, row.iteration, row.state, int(row.is_front), row.source]
    line += ["; ".join(row.breaks)] if content.outcome_constraints else []
    line += [row.values.get(parameter.name) for parameter in content.parameters]
    line += [row.values.get(name) for name in objectives]
    line += [row.errors.get(name) for name in objectives if _has_error(content.rows, name)]
    for name in objectives:
        predicted = row.predicted.get(name, {})
        line += [predicted.get("mean"), predicted.get("std")]
    line += [_plain(row.extras.get(name)) for name in content.extras]
    return [*line, row.error]


def _plain(value: Any) -> Any:
    """Return a number or text as it is, anything else as text of bounded length."""
    return value if isinstance(value, int | float | None) else str(value)[:MAX_TEXT]


def safe(cell: Any) -> Any:
    """Return a cell that no spreadsheet runs: an apostrophe before text that looks like a formula.

    Numbers stay numbers, the negative ones too.
    """
    if isinstance(cell, str) and cell.startswith(FORMULA_STARTS):
        return f"'{cell}"
    return cell


def _has_error(rows: Sequence[Row], name: str) -> bool:
    return any(name in row.errors for row in rows)
