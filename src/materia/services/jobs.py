"""Jobs for people: look at, cancel, retry. What a worker does with one is in `execution`."""

from __future__ import annotations

from typing import Any

from materia.errors import NotFoundError, StateError
from materia.services import campaign_life
from materia.services.idempotency import Once
from materia.services.submission import NewJob, submit
from materia.services.work import unit_of_work
from materia.store import jobs as job_rows
from materia.store.database import database
from materia.store.jobs import WAITING, JobState, Row


def get(job_id: str) -> Row:
    """Return one job; `NotFoundError` when there is none."""
    with database().read() as connection:
        row = job_rows.get(connection, job_id)
    if row is None:
        raise unknown(job_id)
    return row


def unknown(job_id: str) -> NotFoundError:
    """Return the error for an id that no job has."""
    return NotFoundError(f"there is no job {job_id!r}", "`materia job list` shows the jobs")


def cancel(job_id: str, reason: str = "cancelled by its user") -> Row:
    """Cancel a job: at once when it waits, through its worker when it runs.

    Cancelling a final job changes nothing. The root job of a campaign stands for the campaign,
    which is stopped.
    """
    with unit_of_work() as work:
        row = job_rows.get(work.connection, job_id)
        if row is not None and row["step"] == campaign_life.ROOT:
            campaign_life.stop(work, row["campaign_id"], reason)
        elif row is not None:
            campaign_life.cancel_job(work, row, reason)
    return get(job_id)


def revoke(arrived: NewJob | None, job_id: str, reason: str, *, only_waiting: bool = False) -> None:
    """Record that Celery dropped a message on somebody's order.

    Args:
        only_waiting: Leave a running job alone, as when a message has expired.
        arrived: The job that the message would have become, when it came from a plain client.
    """
    with unit_of_work() as work:
        if arrived is not None:
            for row in job_rows.add(work.database, work.connection, [arrived.row()]):
                work.job_event(row)
    if not only_waiting or get(job_id)["state"] in WAITING:
        cancel(job_id, reason)


def retry(job_id: str, *, once: Once | None = None) -> Row:
    """Submit the task and arguments of a failed job as a new one; final states never change."""
    row = get(job_id)
    again = (JobState.FAILED, JobState.CANCELLED, JobState.QUARANTINED)
    if row["state"] not in again or row["step"]:
        raise StateError(
            f"job {job_id!r} cannot be retried: it is {row['state']}"
            + (" and a step of a campaign" if row["step"] else ""),
            "a failed, cancelled or quarantined job that is no step of a campaign can",
        )
    return submit(
        NewJob(
            task=row["task"],
            args=row["args"],
            kwargs=row["kwargs"],
            queue=row["queue"],
            priority=row["priority"],
            requested_by=row["requested_by"],
            owner=row["owner"],
        ),
        once=once,
    )


def page(limit: int, before: tuple[float, str] | None = None, **filters: str | None) -> Any:
    """Return a page of jobs, newest first, and how many match in all."""
    with database().read() as connection:
        return job_rows.page(connection, limit=limit, before=before, **filters)


def ended(job_id: str) -> Row:
    """Return a job that has ended; `StateError` while it has not."""
    row = get(job_id)
    if row["state"] not in job_rows.FINAL:
        raise StateError(
            f"job {job_id!r} has no result yet: it is {row['state']}",
            "ask again when it has ended; its live view tells when",
        )
    return row


def log_page(job_id: str, after: int, limit: int) -> tuple[list[Row], int]:
    """Return log lines of a job after a number, and how many there are in all."""
    get(job_id)
    with database().read() as connection:
        rows = job_rows.log_after(connection, job_id, after, limit)
        return rows, job_rows.n_log_lines(connection, job_id)
