"""Delete what has been kept for long enough. Every function deletes a bounded number of rows."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, or_, select

from materia.store.campaigns import FINAL_CAMPAIGN
from materia.store.jobs import FINAL, JobState, Row
from materia.store.tables import campaigns, events, idempotency, is_open, job_log, jobs


def delete_jobs(connection: Connection, ids: Sequence[str]) -> int:
    """Delete jobs with their logs and events; returns how many jobs."""
    if not ids:
        return 0
    topics = [f"job:{job_id}" for job_id in ids]
    connection.execute(delete(events).where(events.c.topic.in_(topics)))
    connection.execute(delete(job_log).where(job_log.c.job_id.in_(list(ids))))
    statement = delete(jobs).where(jobs.c.id.in_(list(ids)), jobs.c.state.in_(FINAL))
    return int(connection.execute(statement).rowcount)


def old_jobs(
    connection: Connection,
    before: float,
    *,
    keep_keys: Sequence[str],
    keep_step: str,
    keep_task: str,
    keep_task_since: float,
    limit: int,
) -> list[str]:
    """Return the ids of final jobs that ended before a time and that nothing refers to.

    Jobs of a campaign stay until that has ended: their keys keep its steps from being done twice.

    Args:
        keep_keys: Beginnings of idempotency keys that are a record of what was done.
        keep_step: Step of the jobs that stand for campaigns; they stay as long as those.
        keep_task, keep_task_since: Jobs of this task stay when they ended after that time.
    """
    owner = campaigns.alias()
    goes_on = (
        select(owner.c.id)
        .where(owner.c.id == jobs.c.campaign_id, owner.c.state.not_in(FINAL_CAMPAIGN))
        .exists()
    )
    is_record = [jobs.c.idempotency_key.startswith(key, autoescape=True) for key in keep_keys]
    query = (
        select(jobs.c.id)
        .where(
            jobs.c.state.in_(FINAL),
            jobs.c.finished_at < before,
            jobs.c.is_answer_due.is_(False),
            jobs.c.step.is_distinct_from(keep_step),
            ~goes_on,
            or_(jobs.c.idempotency_key.is_(None), ~or_(*is_record)),
            or_(jobs.c.task != keep_task, jobs.c.finished_at < keep_task_since),
        )
        .order_by(jobs.c.id)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def old_successes(connection: Connection, task: str, before: float, limit: int) -> list[str]:
    """Return the ids of jobs of a task that nobody asks for once they have succeeded."""
    query = (
        select(jobs.c.id)
        .where(
            jobs.c.task == task,
            jobs.c.state == JobState.SUCCEEDED,
            jobs.c.finished_at < before,
            jobs.c.is_answer_due.is_(False),
        )
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def old_results(connection: Connection, task: str, before: float, after: str) -> list[Row]:
    """Return a page of final jobs of a task that ended before a time, by id after one."""
    query = (
        select(jobs.c.id, jobs.c.result, jobs.c.finished_at)
        .where(
            jobs.c.task == task,
            jobs.c.state.in_(FINAL),
            jobs.c.finished_at < before,
            jobs.c.id > after,
        )
        .order_by(jobs.c.id)
        .limit(100)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def oldest_claim(connection: Connection) -> float | None:
    """Return since when the job that runs longest has run; None when none does."""
    query = select(func.min(jobs.c.claimed_at)).where(is_open, jobs.c.state == JobState.RUNNING)
    found: float | None = connection.execute(query).scalar_one()
    return found


def open_jobs(connection: Connection) -> set[str]:
    """Return the ids of all jobs that are not final."""
    return set(connection.execute(select(jobs.c.id).where(is_open)).scalars())


def delete_logs(connection: Connection, before: float) -> int:
    """Delete log lines that are older than a time; returns how many."""
    final = select(jobs.c.id).where(jobs.c.state.in_(FINAL), jobs.c.finished_at < before)
    statement = delete(job_log).where(job_log.c.time < before, job_log.c.job_id.in_(final))
    return int(connection.execute(statement).rowcount)


def delete_events(connection: Connection, before: float) -> int:
    """Delete old events of campaigns that have ended; returns how many.

    The newest one of each stays: from it clients see that they have missed nothing later.
    """
    ended = campaigns.c.state.in_(FINAL_CAMPAIGN)
    newest = events.alias()
    last = (
        select(func.max(newest.c.number)).where(newest.c.topic == events.c.topic).scalar_subquery()
    )
    statement = delete(events).where(
        events.c.time < before,
        events.c.campaign_id.in_(select(campaigns.c.id).where(ended)),
        events.c.number < last,
    )
    return int(connection.execute(statement).rowcount)


def delete_keys(connection: Connection, before: float) -> int:
    """Delete idempotency keys of requests that came before a time; returns how many."""
    statement = delete(idempotency).where(idempotency.c.created_at < before)
    return int(connection.execute(statement).rowcount)
