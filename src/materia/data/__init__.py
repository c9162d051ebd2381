"""Tables of any size: processed, aggregated, and taken from an inbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from materia.errors import MissingExtraError

Progress = Callable[[float, float | None, str], None]
"""Told what has been done, of how much, and what is being done; raises to stop the work."""


def process(
    source: Path, output: Path, transformations: Mapping[str, Any] | None, *, progress: Progress
) -> dict[str, Any]:
    """Apply transformations to a table and write the outcome; see `materia.data.processing`."""
    _require_polars("processing a table")
    from materia.data.processing import process

    return process(source, output, transformations, progress=progress)


def aggregate(
    sources: Sequence[Path],
    output: Path | None,
    *,
    group_by: Sequence[str] = (),
    aggregations: Mapping[str, Sequence[str]] | Sequence[str] | None = None,
    progress: Progress,
) -> dict[str, Any]:
    """Summarise tables, each and together; see `materia.data.aggregation`."""
    _require_polars("aggregating tables")
    from materia.data.aggregation import aggregate

    return aggregate(
        sources, output, group_by=group_by, aggregations=aggregations, progress=progress
    )


def _require_polars(purpose: str) -> None:
    if find_spec("polars") is None:
        raise MissingExtraError("data", purpose)
