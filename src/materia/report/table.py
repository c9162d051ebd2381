"""The table of all candidates: its columns, its cells, and its form as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from materia.report.content import Content, Row

# A spreadsheet takes text that starts so for a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
MAX_TEXT = 256


@dataclass(frozen=True)
class Columns:
    """What the table of a campaign shows.

    Attributes:
        has_limits: Whether outcome constraints are declared, which a candidate may break.
        with_error: Objectives of which an outcome came with a standard error.
        extras: Further columns, of what the evaluator tells beyond the outcomes.
    """

    parameters: Sequence[str]
    objectives: Sequence[str]
    has_limits: bool
    with_error: Sequence[str]
    extras: Sequence[str]

    @classmethod
    def of(cls, content: Content) -> Columns:
        """Return the columns of all candidates of a report."""
        objectives = [objective.name for objective in content.objectives]
        found = {name for row in content.rows for name in row.errors}
        return cls(
            parameters=[parameter.name for parameter in content.parameters],
            objectives=objectives,
            has_limits=bool(content.outcome_constraints),
            with_error=[name for name in objectives if name in found],
            extras=content.extras,
        )

    def header(self) -> list[str]:
        """Return the titles; names are those of the definition, without units."""
        titles = ["id", "iteration", "state", "is_front", "source"]
        titles += ["breaks"] if self.has_limits else []
        titles += self.parameters
        titles += self.objectives
        titles += [f"{name}_sem" for name in self.with_error]
        for name in self.objectives:
            titles += [f"{name}_predicted", f"{name}_predicted_std"]
        titles += [f"metadata.{name}" if name in titles else name for name in self.extras]
        return [*titles, "error"]

    def cells(self, row: Row) -> list[Any]:
        """Return the cells of a candidate, in the order of `header`; None for what is not known."""
        line: list[Any] = [row.id, row.iteration, row.state, int(row.is_front), row.source]
        line += ["; ".join(row.breaks)] if self.has_limits else []
        line += [row.values.get(name) for name in self.parameters]
        line += [row.values.get(name) for name in self.objectives]
        line += [row.errors.get(name) for name in self.with_error]
        for name in self.objectives:
            predicted = row.predicted.get(name, {})
            line += [predicted.get("mean"), predicted.get("std")]
        line += [_plain(row.extras.get(name)) for name in self.extras]
        return [*line, row.error]


def csv_text(content: Content) -> str:
    """Return one line per candidate, numbers in full precision, text safe for spreadsheets."""
    columns = Columns.of(content)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([safe(title) for title in columns.header()])
    writer.writerows([safe(cell) for cell in columns.cells(row)] for row in content.rows)
    return buffer.getvalue()


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
