"""Jobs over tables: processed, aggregated, and taken from a folder as they arrive."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from materia import log, settings
from materia.data import aggregate as aggregate_tables
from materia.data import inbox, process
from materia.errors import DefinitionError, NotFoundError
from materia.services import files, running, submission
from materia.services.running import Outcome
from materia.services.submission import NewJob
from materia.services.work import Work
from materia.store import jobs as job_rows
from materia.store.database import database
from materia.store.jobs import FINAL, JobState, Row

PROCESS = "tasks.data_tasks.process_large_csv"
KEY = "inbox:"

logger = log.logger(__name__)


def process_large_csv(
    file_path: str, output_path: str, transformations: Mapping[str, Any] | None = None
) -> Outcome:
    """Apply transformations to a table of any size.

    Raises:
        AccessError: A path lies outside the allowed folders.
        DefinitionError, NotFoundError, DataError: See `materia.data.process`.
    """
    source, output = files.readable(file_path), files.writable(output_path)
    result = process(source, output, transformations, progress=running.progress)
    return Outcome(_shown(result, "input_file", "output_file", "rejects_file"))


def aggregate_data(
    data_sources: Sequence[str],
    output_path: str | None = None,
    group_by: Sequence[str] = (),
    aggregations: Any = None,
) -> Outcome:
    """Summarise tables, each and together."""
    if isinstance(data_sources, str) or not isinstance(data_sources, Sequence) or not data_sources:
        raise DefinitionError("data_sources: must be a list of paths", path="data_sources")
    sources = [files.resolve(name) for name in data_sources]
    output = None if output_path is None else files.writable(output_path)
    result = aggregate_tables(
        sources, output, group_by=group_by, aggregations=aggregations, progress=running.progress
    )
    for summary in result["summaries"]:
        summary.update(_shown(summary, "source"))
    return Outcome(_shown(result, "output_file"))


def _shown(result: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return a result with paths as users write them."""
    paths = {name: files.shown(Path(result[name])) for name in names if result.get(name)}
    return {**result, **paths}


@dataclass(frozen=True, slots=True)
class _Ledger:
    """The content that was taken before: each has a job with a key of its own."""

    def __contains__(self, sha256: object) -> bool:
        return _job_of(str(sha256)) is not None


def _job_of(sha256: str) -> Row | None:
    with database().read() as connection:
        return job_rows.by_key(connection, KEY + sha256)


def process_new_data() -> Outcome:
    """Submit a job for each new file of the inbox, and put away those whose job has ended.

    A file that still grows waits for the next look. One whose content was taken before is not
    taken again, whatever its name.
    """
    config = settings.current()
    folder = files.resolve(config.new_data_dir)
    try:
        found = inbox.look(
            folder,
            _Ledger(),
            settle_s=config.new_data_settle_s,
            pause=time.sleep,
            progress=running.progress,
        )
    except NotFoundError:
        return Outcome({"status": "no_data", "files": []})
    for arrival in found.known:
        _put_away(folder, arrival)
    for name, reason in found.refused.items():
        logger.warning("file_of_the_inbox_refused", file=name, reason=reason)
    new = [_job(folder, arrival) for arrival in found.new]

    def submit(work: Work) -> None:
        submission.add(work, new)

    taken = [
        {"file": arrival.name, "task_id": job.id}
        for arrival, job in zip(found.new, new, strict=True)
    ]
    rest = {"growing": found.growing, "refused": found.refused}
    return Outcome({"status": "scheduled" if taken else "no_data", "files": taken, **rest}, submit)


def _job(folder: Path, arrival: inbox.Arrival) -> NewJob:
    return NewJob(
        task=PROCESS,
        # Follows from the content: a second run of this look submits the same job.
        id=f"inbox-{arrival.sha256[:40]}",
        kwargs={
            "file_path": files.shown(folder / arrival.name),
            "output_path": f"processed/{arrival.name}",
            "transformations": settings.current().new_data_transformations,
        },
        idempotency_key=KEY + arrival.sha256,
        requested_by="process_new_data",
        reply=running.wants_answers(),
    )


def _put_away(folder: Path, arrival: inbox.Arrival) -> None:
    """Move a file whose job has ended; one that is still worked on stays."""
    job = _job_of(arrival.sha256)
    if job is None or job["state"] not in FINAL:
        return
    if job["state"] == JobState.SUCCEEDED:
        inbox.move_done(folder, arrival)
        return
    error = job["error"] or {}
    reason = f"{error.get('message', job['state'])}\n{error.get('hint') or ''}"
    inbox.move_failed(folder, arrival, f"{reason.strip()}\njob: {job['id']}\n")
