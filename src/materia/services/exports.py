"""Exports of campaigns: submit one, and find the file that it has written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from materia import settings
from materia.errors import DefinitionError, NotFoundError, StateError
from materia.mdl.suggest import did_you_mean
from materia.services import campaigns, jobs, submission
from materia.services.idempotency import Once
from materia.services.submission import NewJob
from materia.store import jobs as job_rows
from materia.store.jobs import JobState

TASK = "tasks.campaign_tasks.export_results"
FOLDER = "exports"
MEDIA_TYPES = {
    "csv": "text/csv",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "html": "text/html",
}
FORMATS = tuple(MEDIA_TYPES)
REPORT = "html"
"""The format that is no table but the page of the report."""
FILE = re.compile(rf"[A-Za-z0-9_-]+-[0-9a-f]{{12}}\.({'|'.join(FORMATS)})")
"""Names of the files that exports write."""


def require_format(given: Any) -> None:
    """Raise a DefinitionError unless there is such a format."""
    if given not in FORMATS:
        fix = did_you_mean(str(given)[:50], FORMATS)
        allowed = f"allowed: {', '.join(FORMATS)}"
        raise DefinitionError(
            f"format: {given!r:.50} is unknown; {allowed}", fix or allowed, path="format"
        )


def submit(
    campaign_id: str,
    format: str,  # noqa: A002 - as the task calls it
    *,
    requested_by: str | None = None,
    owner: str | None = None,
    once: Once | None = None,
) -> job_rows.Row:
    """Submit an export and return its job.

    Raises:
        NotFoundError: There is no such campaign.
        DefinitionError: There is no such format.
    """
    require_format(format)
    campaigns.get(campaign_id)
    kwargs = {"campaign_id": campaign_id, "format": format}
    return submission.submit(
        NewJob(task=TASK, kwargs=kwargs, requested_by=requested_by, owner=owner),
        once=once,
    )


def file_of(job_id: str) -> Path:
    """Return the file that an export has written.

    Raises:
        NotFoundError: There is no such job, it writes no file, or the file is gone.
        StateError: It has not ended, or has not succeeded.
    """
    job = jobs.get(job_id)
    if job["task"] != TASK:
        raise NotFoundError(
            f"job {job_id!r} writes no file that is sent", f"only jobs of {TASK} do"
        )
    if jobs.ended(job_id)["state"] != JobState.SUCCEEDED:
        raise StateError(
            f"job {job_id!r} has written no file: it is {job['state']}",
            f"`materia job show {job_id}` says why",
        )
    name = str((job["result"] or {}).get("file"))
    path = settings.current().data_root.resolve() / name
    if path.resolve() != path or not FILE.fullmatch(path.name) or not path.is_file():
        days = settings.current().keep_exports_days
        raise NotFoundError(
            f"the file of job {job_id!r} is gone",
            f"exports are kept for {days:g} days; export the campaign again",
        )
    return path
