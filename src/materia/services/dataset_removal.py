"""Deleting datasets: those that were sent here, and only while nothing needs them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from materia import log, settings
from materia.errors import NotFoundError, StateError
from materia.services import datasets, files
from materia.services.work import unit_of_work
from materia.store import campaigns as campaign_rows
from materia.store import datasets as rows
from materia.store import jobs as job_rows
from materia.store import retrainings as retraining_rows
from materia.store import schedules as schedule_rows
from materia.store.jobs import Row

logger = log.logger(__name__)


def delete(name: str) -> Row:
    """Delete a dataset with its files, and return it as a listing had it.

    Raises:
        AccessError: It lies outside the allowed folders.
        NotFoundError: There is no such dataset.
        StateError: It was not sent here, or something needs it.
    """
    path = files.resolve(name)
    parts = datasets.parts_of(path)
    shown = files.shown(path)
    found = next((row for row in datasets.every() if row["path"] == shown), None)
    if found is None:
        raise NotFoundError(f"there is no dataset {shown!r}", "`materia dataset list` shows them")
    with unit_of_work() as work:
        for part in parts:
            _require_ours(work.connection, part)
        user = next(_users(work.connection, path, parts), None)
        if user is not None:
            what, fix = user
            raise StateError(f"{what} needs the dataset {shown!r}", fix)
        rows.remove(work.connection, {shown, *(files.shown(part) for part in parts)})
    for part in parts:
        try:
            part.unlink(missing_ok=True)
        except OSError as error:
            raise StateError(
                f"the file of {shown!r} cannot be removed: {error.strerror}",
                "see that the server may write in its folder, and send the dataset again",
            ) from error
    logger.info("dataset_deleted", path=shown)
    return found


def _require_ours(connection: Connection, part: Path) -> None:
    row, stat = rows.get(connection, files.shown(part)), part.stat()
    here = {"n_files": 1, "size_bytes": stat.st_size, "changed_at": stat.st_mtime}
    if row is None or not row["is_upload"]:
        reason = "was not sent to this server, which deletes only what it was sent"
    elif not datasets.is_same(row, here):
        reason = "was changed by others since it was sent"
    else:
        return
    raise StateError(f"{files.shown(part)!r} {reason}", "remove the file yourself where it lies")


def _users(connection: Connection, path: Path, parts: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Yield who needs a dataset, and what to do about it."""
    for retraining in retraining_rows.every(connection):
        if _names(retraining["dataset_path"], path, parts):
            name = retraining["name"]
            yield (
                f"the retraining {name!r}",
                f"delete that entry first: `materia model retraining delete {name}`",
            )
    for job in job_rows.open_with_files(connection):
        if _names([job["args"], job["kwargs"]], path, parts):
            yield (
                f"the job {job['id']!r} ({job['task']})",
                f"wait until it has ended, or cancel it: `materia job cancel {job['id']}`",
            )
    for schedule in schedule_rows.every(connection):
        if _names(schedule["kwargs"], path, parts):
            name = schedule["id"]
            yield (
                f"the schedule {name!r}",
                f"delete it first: `materia schedule delete {name}`",
            )
    for campaign in campaign_rows.not_ended(connection):
        definition = campaign["definition"]
        read = [definition.get(key) for key in ("evaluator", "candidates", "warm_start")]
        if _names(read, path, parts):
            yield (
                f"the campaign {campaign['id']!r}",
                f"stop it first: `materia campaign stop {campaign['id']}`",
            )


def _names(value: Any, path: Path, parts: Sequence[Path]) -> bool:
    """Tell whether a document names a dataset: whole, by a part, or by the folder it is in."""
    if isinstance(value, dict):
        return any(_names(inner, path, parts) for inner in value.values())
    if isinstance(value, list):
        return any(_names(inner, path, parts) for inner in value)
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        return False
    root = settings.current().data_root.resolve()
    named = Path(os.path.normpath(root / value))
    if named == path or named in parts:
        return True
    begun = re.compile(re.escape(str(named)) + r"_part_\d+\.(?:csv|parquet)", re.IGNORECASE)
    return any(
        (named == part.parent and named != root) or begun.fullmatch(str(part)) for part in parts
    )
