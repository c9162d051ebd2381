"""Job rows: insert, claim, renew, finish, release. Every write is guarded by state and token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update

from materia.store.database import Database
from materia.store.tables import job_log, jobs

Row = dict[str, Any]
LOG_LINES = 1000


class JobState(StrEnum):
    """States of a job; the last four are final."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    RETRYING = "RETRYING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    QUARANTINED = "QUARANTINED"


FINAL = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.QUARANTINED)
WAITING = (JobState.QUEUED, JobState.RETRYING)


def add(database: Database, connection: Connection, rows: Sequence[Row]) -> list[Row]:
    """Insert job rows; one whose id or idempotency key exists is left out.

    Args:
        rows: All with the same keys.

    Returns:
        The rows that were inserted.
    """
    if not rows:
        return []
    statement = database.insert(jobs).on_conflict_do_nothing()
    if len(rows) == 1:
        added = connection.execute(statement.values(rows[0])).rowcount
        return list(rows) if added else []
    inserted = connection.execute(statement.returning(jobs.c.id), list(rows)).scalars().all()
    known = set(inserted)
    return [row for row in rows if row["id"] in known]


def claim(
    database: Database, connection: Connection, job_id: str, claimant: Row, lease_s: float
) -> Row | None:
    """Take a waiting job; None when it is running, final, not yet due or unknown.

    Args:
        claimant: claimed_by, worker, pid.
    """
    now = database.now()
    statement = (
        update(jobs)
        .where(
            jobs.c.id == job_id,
            jobs.c.state.in_(WAITING),
            or_(jobs.c.run_at.is_(None), jobs.c.run_at <= now),
        )
        .values(
            state=JobState.RUNNING,
            attempt=jobs.c.attempt + 1,
            token=jobs.c.token + 1,
            event_number=jobs.c.event_number + 1,
            lease_until=now + lease_s,
            claimed_at=now,
            started_at=func.coalesce(jobs.c.started_at, now),
            run_at=None,
            **claimant,
        )
        .returning(*jobs.c)
    )
    row = connection.execute(statement).mappings().first()
    return dict(row) if row else None


def settle(
    database: Database,
    connection: Connection,
    job_id: str,
    values: Row,
    *,
    token: int | None = None,
    claimed_by: str | None = None,
    pid: int | None = None,
    states: Iterable[str] = (JobState.RUNNING,),
) -> Row | None:
    """Write a new state, guarded; None when somebody else was faster.

    Args:
        values: Columns to set, ``state`` among them. A final state also sets ``finished_at``.
        token: The fencing token that the writer holds.
        claimed_by: The worker that must still hold the claim.
        pid: The child process that must still hold the claim.
        states: States from which the change is allowed.
    """
    guard = [jobs.c.id == job_id, jobs.c.state.in_(list(states))]
    if token is not None:
        guard.append(jobs.c.token == token)
    if claimed_by is not None:
        guard.append(jobs.c.claimed_by == claimed_by)
    if pid is not None:
        guard.append(jobs.c.pid == pid)
    if values["state"] in FINAL:
        values = {**values, "finished_at": database.now()}
    statement = (
        update(jobs)
        .where(*guard)
        .values(event_number=jobs.c.event_number + 1, lease_until=None, **values)
        .returning(*jobs.c)
    )
    row = connection.execute(statement).mappings().first()
    return dict(row) if row else None


def renew(
    database: Database, connection: Connection, claimed_by: str, pids: Sequence[int], lease_s: float
) -> None:
    """Renew the leases of the jobs that the living children of a worker run."""
    connection.execute(
        update(jobs)
        .where(
            jobs.c.state == JobState.RUNNING,
            jobs.c.claimed_by == claimed_by,
            jobs.c.pid.in_(list(pids)),
        )
        .values(lease_until=database.now() + lease_s)
    )


def running_of(connection: Connection, claimed_by: str) -> list[Row]:
    """Return the running jobs of one worker."""
    query = select(jobs).where(jobs.c.state == JobState.RUNNING, jobs.c.claimed_by == claimed_by)
    return [dict(row) for row in connection.execute(query).mappings()]


def abandoned(database: Database, connection: Connection, limit: int) -> list[Row]:
    """Return running jobs whose lease has run out."""
    query = (
        select(jobs)
        .where(jobs.c.state == JobState.RUNNING, jobs.c.lease_until < database.now())
        .limit(limit)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def sendable(
    database: Database, connection: Connection, resend_after_s: float, limit: int
) -> list[Row]:
    """Return waiting jobs whose message is due, most urgent first.

    A message is due when it was never sent, when the job's `run_at` has come, or when nothing was
    heard for an age that doubles with every message sent (at most ten minutes).
    """
    now = database.now()
    age = now - jobs.c.sent_at
    overdue = [
        and_(jobs.c.sends == n, age > min(resend_after_s * 2 ** (n - 1), 600.0))
        for n in range(1, 8)
    ]
    query = (
        select(jobs)
        .where(
            jobs.c.state.in_(WAITING),
            or_(jobs.c.run_at.is_(None), jobs.c.run_at <= now),
            or_(jobs.c.sent_at.is_(None), *overdue, and_(jobs.c.sends >= 8, age > 600.0)),
        )
        .order_by(jobs.c.priority.desc(), jobs.c.queued_at)
        .limit(limit)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def waiting_page(connection: Connection, after: tuple[int, float, str] | None, n: int) -> list[Row]:
    """Return a page of all waiting jobs, most urgent first, after (priority, queued_at, id)."""
    query = select(jobs).where(jobs.c.state.in_(WAITING))
    if after is not None:
        priority, queued_at, job_id = after
        same = jobs.c.priority == priority
        query = query.where(
            or_(
                jobs.c.priority < priority,
                and_(same, jobs.c.queued_at > queued_at),
                and_(same, jobs.c.queued_at == queued_at, jobs.c.id > job_id),
            )
        )
    query = query.order_by(jobs.c.priority.desc(), jobs.c.queued_at, jobs.c.id).limit(n)
    return [dict(row) for row in connection.execute(query).mappings()]


def waiting_of(connection: Connection, campaign_id: str) -> list[Row]:
    """Return the waiting jobs of a campaign."""
    query = select(jobs).where(jobs.c.campaign_id == campaign_id, jobs.c.state.in_(WAITING))
    return [dict(row) for row in connection.execute(query).mappings()]


def mark_sent(database: Database, connection: Connection, ids: Sequence[str]) -> None:
    """Note that messages were sent just now."""
    if ids:
        connection.execute(
            update(jobs)
            .where(jobs.c.id.in_(list(ids)))
            .values(sent_at=database.now(), sends=jobs.c.sends + 1)
        )


def mark_unsent(connection: Connection, ids: Sequence[str]) -> None:
    """Note that a message could not be sent, so that the scheduler sends it."""
    if ids:
        connection.execute(update(jobs).where(jobs.c.id.in_(list(ids))).values(sent_at=None))


def request_cancel(database: Database, connection: Connection, job_id: str) -> bool:
    """Ask the worker of a running job to stop it."""
    statement = (
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state == JobState.RUNNING)
        .values(cancel_requested_at=func.coalesce(jobs.c.cancel_requested_at, database.now()))
    )
    return bool(connection.execute(statement).rowcount)


def set_progress(connection: Connection, job_id: str, token: int, progress: Row) -> bool:
    """Keep the latest progress; False when the claim is lost."""
    statement = (
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.token == token, jobs.c.state == JobState.RUNNING)
        .values(progress=progress)
    )
    return bool(connection.execute(statement).rowcount)


def get(connection: Connection, job_id: str) -> Row | None:
    """Return one job, or None."""
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().first()
    return dict(row) if row else None


def by_key(connection: Connection, idempotency_key: str) -> Row | None:
    """Return the job of an idempotency key, or None."""
    query = select(jobs).where(jobs.c.idempotency_key == idempotency_key)
    row = connection.execute(query).mappings().first()
    return dict(row) if row else None


def page(
    connection: Connection,
    *,
    limit: int,
    before: tuple[float, str] | None = None,
    state: str | None = None,
    task: str | None = None,
    campaign_id: str | None = None,
    queue: str | None = None,
) -> tuple[list[Row], int]:
    """Return a page of jobs, newest first, and how many match in all.

    Args:
        before: (queued_at, id) of the last row of the page before.
    """
    matches = [
        column == value
        for column, value in (
            (jobs.c.state, state),
            (jobs.c.task, task),
            (jobs.c.campaign_id, campaign_id),
            (jobs.c.queue, queue),
        )
        if value is not None
    ]
    total = connection.execute(select(func.count()).select_from(jobs).where(*matches)).scalar_one()
    query = select(jobs).where(*matches)
    if before is not None:
        queued_at, job_id = before
        query = query.where(
            or_(
                jobs.c.queued_at < queued_at,
                and_(jobs.c.queued_at == queued_at, jobs.c.id < job_id),
            )
        )
    query = query.order_by(jobs.c.queued_at.desc(), jobs.c.id.desc()).limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()], total


def counts(connection: Connection) -> list[tuple[str, str, int]]:
    """Return how many jobs each queue holds in each state that is not final."""
    query = (
        select(jobs.c.queue, jobs.c.state, func.count())
        .where(jobs.c.state.not_in(FINAL))
        .group_by(jobs.c.queue, jobs.c.state)
    )
    return [(queue, state, n) for queue, state, n in connection.execute(query)]


def add_log(connection: Connection, job_id: str, lines: Sequence[Row]) -> None:
    """Append log lines (time, level, text); of a long log only the newest lines are kept."""
    if not lines:
        return
    last = connection.execute(
        select(func.coalesce(func.max(job_log.c.number), 0)).where(job_log.c.job_id == job_id)
    ).scalar_one()
    rows = [{"job_id": job_id, "number": last + i, **line} for i, line in enumerate(lines, 1)]
    connection.execute(insert(job_log), rows)
    oldest = last + len(rows) - LOG_LINES
    if oldest > 0:
        connection.execute(
            delete(job_log).where(job_log.c.job_id == job_id, job_log.c.number <= oldest)
        )


def log_after(connection: Connection, job_id: str, number: int, limit: int) -> list[Row]:
    """Return up to `limit` log lines after a number."""
    query = (
        select(job_log.c.number, job_log.c.time, job_log.c.level, job_log.c.text)
        .where(job_log.c.job_id == job_id, job_log.c.number > number)
        .order_by(job_log.c.number)
        .limit(limit)
    )
    return [dict(row) for row in connection.execute(query).mappings()]
