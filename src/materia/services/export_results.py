"""The candidates of a campaign as a file: CSV, JSON, Parquet, a workbook, or the report's page."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import orjson

from materia import report, settings
from materia.errors import DataError
from materia.mdl.definition import Definition
from materia.report.content import MAX_EXTRAS, Content, Row
from materia.report.files import made_whole
from materia.report.table import Columns
from materia.services import (
    campaign_views,
    campaigns,
    explanation,
    export_files,
    exports,
    files,
    running,
)
from materia.services.partial import folder_name
from materia.services.running import Outcome
from materia.store import jobs as job_rows

PIECE = 1000
"""Candidates read and written at a time."""


def export_results(campaign_id: str, format: str) -> Outcome:  # noqa: A002 - as the task calls it
    """Write all candidates of a campaign, as many as there are now; another attempt replaces it.

    The columns are those of a report's `results.csv`. Which there are is known at the end only, so
    that the rows wait on disk, not in memory.

    Raises:
        NotFoundError: There is no such campaign.
        DefinitionError: There is no such format.
        DataError: The file cannot be written.
    """
    exports.require_format(format)
    campaign = campaigns.get(campaign_id)
    job = running.current()
    digest = folder_name(job.id if job else campaign_id)[:12]
    name = f"{exports.FOLDER}/{campaign_id}/{campaign['name'][:64]}-{digest}.{format}"
    path = files.writable(name)
    if path != settings.current().data_root.resolve() / name:
        raise DataError(f"'{name}' leads elsewhere", "remove the link in its place")
    with made_whole(path) as folder:
        if format == exports.REPORT:
            columns, n_rows = _report(campaign, folder / path.name)
        else:
            waiting = folder / "rows.jsonl"
            columns, n_rows = _gather(campaign, waiting)
            rows = _counted(_read(waiting), n_rows)
            export_files.write(folder / path.name, columns, rows, n_rows)
        size = (folder / path.name).stat().st_size
    result = {
        "status": "success",
        "campaign_id": campaign_id,
        "format": format,
        "file": files.shown(path),
        "rows": n_rows,
        "columns": len(columns.header()),
        "size_bytes": size,
    }
    return Outcome(result)


def _report(campaign: job_rows.Row, path: Path) -> tuple[Columns, int]:
    """Write the page of the report, as `materia campaign report` does; figures if they can be."""
    candidates = [row for piece in _pieces(campaign["id"]) for row in piece]
    convergence = campaign_views.convergence(campaign["id"])
    parity = campaign_views.surrogate(campaign["id"])["parity"] or {}
    learnt = report.Learnt.of(
        Definition.model_validate(campaign["definition"]),
        explanation.explain(campaign["id"])["importance"],
        partial(explanation.along, campaign["id"]),
    )
    content = Content.of(campaign, candidates, convergence, parity, learnt)
    running.progress(len(candidates), 2 * len(candidates), "drawing figures")
    path.write_text(report.page_of(content), encoding="utf-8")
    return Columns.of(content), len(candidates)


def _gather(campaign: job_rows.Row, path: Path) -> tuple[Columns, int]:
    """Write all candidates to a file, one a line, and return their columns and number."""
    columns = Columns.of(Content.of(campaign, [], {}, {}))
    with_error: set[str] = set()
    extras: dict[str, None] = {}
    n_rows = 0
    with path.open("wb") as file:
        for candidates in _pieces(campaign["id"]):
            for row in Content.of(campaign, candidates, {}, {}).rows:
                with_error.update(row.errors)
                extras |= dict.fromkeys(row.extras)
                file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
            n_rows += len(candidates)
    found = Columns(
        parameters=columns.parameters,
        objectives=columns.objectives,
        has_limits=columns.has_limits,
        with_error=[name for name in columns.objectives if name in with_error],
        extras=list(extras)[:MAX_EXTRAS],
    )
    return found, n_rows


def _pieces(campaign_id: str) -> Iterator[list[job_rows.Row]]:
    after, done = -1, 0
    while True:
        rows, total = campaigns.candidates(campaign_id, after=after, limit=PIECE)
        if not rows:
            return
        yield rows
        after, done = rows[-1]["number"], done + len(rows)
        running.progress(done, 2 * max(total, done), "candidates read")


def _read(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        for line in file:
            yield Row(**orjson.loads(line))


def _counted(rows: Iterator[Row], total: int) -> Iterator[Row]:
    for done, row in enumerate(rows, start=1):
        yield row
        if done % PIECE == 0 or done == total:
            running.progress(total + done, 2 * total, "candidates written")
