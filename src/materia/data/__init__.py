"""Tables of any size: processed, aggregated, and taken from an inbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from materia.errors import MissingExtraError

if TYPE_CHECKING:
    from materia.data.look import Look

Progress = Callable[[float, float | None, str], None]
"""Told what has been done, of how much, and what is being done; raises to stop the work."""


def process(
    source: Path, output: Path, transformations: Mapping[str, Any] | None, *, progress: Progress
) -> dict[str, Any]:
    """Apply transformations to a table and write the outcome; see `materia.data.processing`."""
    require_polars("processing a table")
    from materia.data.processing import process

    return process(source, output, transformations, progress=progress)


def aggregate(
    sources: Sequence[Path],
    output: Path | None,
    *,
    group_by: Sequence[str] = (),
    aggregations: Mapping[str, Sequence[str]] | Sequence[str] | None = None,
    shown: Callable[[Path], str] = str,
    progress: Progress,
) -> dict[str, Any]:
    """Summarise tables, each and together; see `materia.data.aggregation`."""
    require_polars("aggregating tables")
    from materia.data.aggregation import aggregate

    return aggregate(
        sources,
        output,
        group_by=group_by,
        aggregations=aggregations,
        shown=shown,
        progress=progress,
    )


def check_columns(source: Path, transformations: Mapping[str, Any] | None) -> None:
    """Raise unless transformations fit a table, of which no row is read."""
    require_polars("looking at a table")
    from materia.data.processing import check

    check(source, transformations)


def check_functions(aggregations: Any) -> None:
    """Raise unless aggregations name functions that there are."""
    require_polars("looking at a table")
    from materia.data.aggregation import check_functions

    check_functions(aggregations)


def columns_of(source: Path) -> list[str]:
    """Return the names of a table's columns, of which no row is read."""
    require_polars("looking at a table")
    from materia.data.source import open_table

    with open_table(source) as table:
        return list(table.columns)


def looked_at(source: Path, delimiter: str, n_rows: int, *, is_whole: bool) -> Look:
    """Return what is in a table; see `materia.data.look`."""
    require_polars("looking at a table")
    from materia.data.look import look

    return look(source, delimiter, n_rows, is_whole=is_whole)


def require_polars(purpose: str) -> None:
    """Raise a MissingExtraError where tables cannot be read."""
    if find_spec("polars") is None:
        raise MissingExtraError("data", purpose)
