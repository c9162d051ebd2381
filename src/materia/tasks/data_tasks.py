"""Work on tables."""

from __future__ import annotations

from typing import Any

from materia.services import tabular
from materia.services.running import Outcome
from materia.tasks.base import durable_task


@durable_task("tasks.data_tasks.process_large_csv")
def process_large_csv(
    file_path: str, output_path: str, transformations: dict[str, Any] | None = None
) -> Outcome:
    """Apply transformations to a table of any size."""
    return tabular.process_large_csv(file_path, output_path, transformations)


@durable_task("tasks.data_tasks.aggregate_data")
def aggregate_data(
    data_sources: list[str],
    output_path: str | None = None,
    group_by: list[str] | None = None,
    aggregations: dict[str, list[str]] | list[str] | None = None,
) -> Outcome:
    """Summarise tables, each and together."""
    return tabular.aggregate_data(data_sources, output_path, group_by or [], aggregations)


@durable_task("tasks.data_tasks.process_new_data")
def process_new_data() -> Outcome:
    """Submit a job for each new file of the inbox."""
    return tabular.process_new_data()
