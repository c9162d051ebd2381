"""Jobs over tables: processed, aggregated, and taken from a folder as they arrive."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from materia import log, settings
from materia.data import aggregate as aggregate_tables
from materia.data import inbox, process
from materia.errors import DefinitionError, NotFoundError, TransientError
from materia.services import files, running, submission
from materia.services.running import Outcome
from materia.services.submission import NewJob
from materia.services.work import Work
from materia.store import jobs as job_rows
from materia.store.database import database
from materia.store.jobs import FINAL, JobState, Row

PROCESS = "tasks.data_tasks.process_large_csv"
KEY = "inbox:"
PROCESSED = "processed"

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
        sources,
        output,
        group_by=group_by,
        aggregations=aggregations,
        shown=files.shown,
        progress=running.progress,
    )
    return Outcome(result)


def _shown(result: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return a result with paths as users write them."""
    paths = {name: files.shown(Path(result[name])) for name in names if result.get(name)}
    return {**result, **paths}


@dataclass(frozen=True, slots=True)
class _Ledger:
    """The content that was taken before: each has a job with a key of its own.

    A job that ended without success has its key only until its file is put away: whoever drops the
    file once more wants another try.
    """

    def __contains__(self, sha256: object) -> bool:
        return _job_of(str(sha256)) is not None


def _job_of(sha256: str) -> Row | None:
    with database().read() as connection:
        return job_rows.by_key(connection, KEY + sha256)


def process_new_data() -> Outcome:
    """Submit a job for each new file of the inbox, and put away those whose job has ended.

    A file that still grows waits for the next look. One whose content was taken before is not
    taken again, whatever its name, unless its job failed and the file was put away since.
    """
    config = settings.current()
    folder = files.resolve(config.new_data_dir)
    # Before the look: a job that fails while it lasts leaves a file that is put away by the next.
    with database().read() as connection:
        before = job_rows.without_success(connection, KEY)
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
    ended = {job["id"] for job in before if job["state"] in FINAL}
    ended |= {job_id for arrival in found.known if (job_id := _put_away(folder, arrival))}
    for name, reason in found.refused.items():
        logger.warning("file_of_the_inbox_refused", file=name, reason=reason)
    names = _OutputNames(before)
    new = [_job(folder, arrival, names) for arrival in found.new]

    def submit(work: Work) -> None:
        job_rows.give_up_keys(work.connection, ended)
        _check_still_free(work, new)
        submission.add(work, new)

    taken = [
        {"file": arrival.name, "task_id": job.id, "output_file": job.kwargs["output_path"]}
        for arrival, job in zip(found.new, new, strict=True)
    ]
    rest = {"growing": found.growing, "refused": found.refused}
    return Outcome({"status": "scheduled" if taken else "no_data", "files": taken, **rest}, submit)


def _check_still_free(work: Work, new: Sequence[NewJob]) -> None:
    """Raise a TransientError if another look has given a job's output away at the same time."""
    others = _OutputNames(job_rows.without_success(work.connection, KEY))
    for job in new:
        is_known = job_rows.by_key(work.connection, str(job.idempotency_key)) is not None
        name = Path(job.kwargs["output_path"]).name
        if not is_known and others.choose(name) != name:
            raise TransientError(
                f"another look at the inbox has just given '{name}' to another file",
                "nothing was taken by this one; it is tried again by itself",
            )


class _OutputNames:
    """Names of files in `processed` that no other job of the inbox has written or will write.

    Args:
        jobs: Those of the inbox that may be about to write.
    """

    def __init__(self, jobs: Sequence[Row]) -> None:
        self._taken: set[str] = set()
        for job in jobs:
            if job["state"] not in FINAL:
                self._taken |= _written(Path(job["kwargs"]["output_path"]).name)

    def choose(self, name: str) -> str:
        """Return a name for the output of a file, numbered where the file's own is not free."""
        folder = files.resolve(PROCESSED)
        for found in inbox.numbered(name):
            written = _written(found)
            if not written & self._taken and not any(os.path.lexists(folder / n) for n in written):
                self._taken |= written
                return found
        raise AssertionError("numbers do not end")


def _written(name: str) -> set[str]:
    """Return the names that a job of the inbox may write: its output, and what it rejects."""
    return {name, f"{name}.rejects.csv", f"{name[: -len('.csv')]}.rejects.csv"}


def _job(folder: Path, arrival: inbox.Arrival, names: _OutputNames) -> NewJob:
    return NewJob(
        task=PROCESS,
        id=_free_id(arrival.sha256),
        kwargs={
            "file_path": files.shown(folder / arrival.name),
            "output_path": f"{PROCESSED}/{names.choose(arrival.name)}",
            "transformations": settings.current().new_data_transformations,
        },
        idempotency_key=KEY + arrival.sha256,
        requested_by="process_new_data",
        reply=running.wants_answers(),
    )


def _free_id(sha256: str) -> str:
    """Return the id of the next job of some content.

    It follows from the content: another look at the same time submits the same job.
    """
    first = f"inbox-{sha256[:40]}"
    with database().read() as connection:
        for number in count(1):
            found = first if number == 1 else f"{first}-{number}"
            if job_rows.get(connection, found) is None:
                return found
    raise AssertionError("numbers do not end")


def _put_away(folder: Path, arrival: inbox.Arrival) -> str | None:
    """Move a file whose job has ended; one that is still worked on stays.

    Returns:
        The id of the job, where it ended without success.
    """
    job = _job_of(arrival.sha256)
    if job is None or job["state"] not in FINAL:
        return None
    if job["state"] == JobState.SUCCEEDED:
        inbox.move_done(folder, arrival)
        return None
    error = job["error"] or {}
    reason = f"{error.get('message', job['state'])}\n{error.get('hint') or ''}".strip()
    again = f"to have it tried again, move it back into '{files.shown(folder)}'"
    inbox.move_failed(folder, arrival, f"{reason}\njob: {job['id']}\n{again}\n")
    return str(job["id"])
