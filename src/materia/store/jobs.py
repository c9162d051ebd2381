"""Job rows: insert, claim, renew, finish, release. Every write is guarded by state and token."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from materia.store import paging
from materia.store.database import Database, driver_of
from materia.store.events import Reported
from materia.store.prepared import Prepared
from materia.store.tables import answer_is_due, is_open, job_log, jobs

Row = dict[str, Any]
LOG_LINES = 1000
# The `run_at` of a job that waits until it is released: the year 3000.
HELD_UNTIL = 32_503_680_000.0
CLAIMANT = ("claimed_by", "worker", "pid")
# Columns of a job that is inserted; all other ones start with their defaults.
INSERTED = (
    "id",
    "task",
    "queue",
    "priority",
    "args",
    "kwargs",
    "state",
    "attempt",
    "token",
    "soft_limit_s",
    "hard_limit_s",
    "campaign_id",
    "iteration",
    "step",
    "idempotency_key",
    "requested_by",
    "owner",
    "reply",
    "event_number",
    "queued_at",
    "sent_at",
    "sends",
)
ADOPTED = (*INSERTED, *CLAIMANT)


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


def _is_one_of(states: Sequence[str]) -> ColumnElement[bool]:
    return or_(*(jobs.c.state == state for state in states))


@lru_cache(maxsize=8)
def _insert(database: Database) -> Prepared:
    # RETURNING tells what was inserted; the row count of an insert is not reliable everywhere.
    values: Row = {name: bindparam(name) for name in INSERTED}
    statement = database.insert(jobs).values(values).on_conflict_do_nothing()
    return Prepared(database, statement, returns=[jobs.c.id])


@lru_cache(maxsize=8)
def _insert_claimed(database: Database) -> Reported:
    now = database.now()
    values: dict[str, Any] = {name: bindparam(name) for name in ADOPTED}
    values |= {"claimed_at": now, "started_at": now, "lease_until": now + bindparam("lease_s")}
    statement = database.insert(jobs).values(values).on_conflict_do_nothing()
    return Reported(database, statement, jobs.c.event_number)


def add(database: Database, connection: Connection, rows: Sequence[Row]) -> list[Row]:
    """Insert job rows; one whose id or idempotency key exists is left out.

    Returns:
        The rows that were inserted.
    """
    return [row for row in rows if _insert(database).run(driver_of(connection), row)]


def add_claimed(
    database: Database, driver: Any, row: Row, lease_s: float, event: Row
) -> int | None:
    """Insert a job that the caller runs at once, with the event that reports it.

    Returns:
        The number of the event; None when the job's id exists.
    """
    return _insert_claimed(database).run(driver, {**row, "lease_s": lease_s}, event)


@lru_cache(maxsize=8)
def _claim(database: Database) -> Prepared:
    now = database.now()
    statement = (
        update(jobs)
        .where(
            jobs.c.id == bindparam("job_id"),
            _is_one_of(WAITING),
            or_(jobs.c.run_at.is_(None), jobs.c.run_at <= now),
        )
        .values(
            state=JobState.RUNNING,
            attempt=jobs.c.attempt + 1,
            token=jobs.c.token + 1,
            event_number=jobs.c.event_number + 1,
            lease_until=now + bindparam("lease_s"),
            claimed_at=now,
            started_at=func.coalesce(jobs.c.started_at, now),
            run_at=None,
            **{name: bindparam(f"new_{name}") for name in CLAIMANT},
        )
    )
    return Prepared(database, statement, returns=list(jobs.c))


def claim(
    database: Database, connection: Connection, job_id: str, claimant: Row, lease_s: float
) -> Row | None:
    """Take a waiting job; None when it is running, final, not yet due or unknown.

    Args:
        claimant: claimed_by, worker, pid.
    """
    parameters = {f"new_{name}": value for name, value in claimant.items()}
    parameters |= {"job_id": job_id, "lease_s": lease_s}
    return _claim(database).run(driver_of(connection), parameters)


@lru_cache(maxsize=128)
def _settle(
    database: Database,
    columns: tuple[str, ...],
    guards: tuple[str, ...],
    states: tuple[str, ...],
    final: bool,
    delayed: bool,
) -> Prepared:
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in columns}
    if final:
        values["finished_at"] = database.now()
    if delayed:
        values["run_at"] = database.now() + bindparam("run_in_s")
    statement = (
        update(jobs)
        .where(_is_one_of(states), *(jobs.c[name] == bindparam(f"is_{name}") for name in guards))
        .values(event_number=jobs.c.event_number + 1, lease_until=None, **values)
    )
    return Prepared(database, statement, returns=list(jobs.c))


def settle(
    database: Database,
    connection: Connection,
    job_id: str,
    values: Row,
    *,
    token: int | None = None,
    states: Sequence[str] = (JobState.RUNNING,),
    run_in_s: float | None = None,
) -> Row | None:
    """Write a new state, guarded; None when somebody else was faster.

    Args:
        values: Columns to set, ``state`` among them. A final state also sets ``finished_at``.
        token: The fencing token that the writer holds.
        states: States from which the change is allowed.
        run_in_s: The next attempt may start so many seconds from now.
    """
    guards = {"id": job_id} if token is None else {"id": job_id, "token": token}
    statement = _settle(
        database,
        tuple(values),
        tuple(guards),
        tuple(states),
        values["state"] in FINAL,
        run_in_s is not None,
    )
    parameters = {f"new_{name}": value for name, value in values.items()}
    parameters |= {f"is_{name}": value for name, value in guards.items()}
    if run_in_s is not None:
        parameters["run_in_s"] = run_in_s
    return statement.run(driver_of(connection), parameters)


@lru_cache(maxsize=32)
def _finish(database: Database, columns: tuple[str, ...]) -> Reported:
    statement = (
        update(jobs)
        .where(
            jobs.c.state == JobState.RUNNING,
            jobs.c.id == bindparam("is_id"),
            jobs.c.token == bindparam("is_token"),
        )
        .values(
            event_number=jobs.c.event_number + 1,
            lease_until=None,
            finished_at=database.now(),
            **{name: bindparam(f"new_{name}") for name in columns},
        )
    )
    return Reported(database, statement, jobs.c.event_number)


def finish(
    database: Database, driver: Any, job_id: str, token: int, values: Row, event: Row
) -> int | None:
    """Make a job final under its claim's token, with the event that reports it.

    Args:
        values: Columns to set, a final ``state`` among them.

    Returns:
        The number of the event; None when the claim is lost.
    """
    parameters = {f"new_{name}": value for name, value in values.items()}
    parameters |= {"is_id": job_id, "is_token": token}
    return _finish(database, tuple(values)).run(driver, parameters, event)


def _in_order(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Select rows for a change, and hold them in the order of their ids.

    Two changes of many rows that held them in different orders would wait for each other for ever.
    """
    return jobs.c.id.in_(select(jobs.c.id).where(*conditions).order_by(jobs.c.id).with_for_update())


def renew(
    database: Database, connection: Connection, claimed_by: str, pids: Sequence[int], lease_s: float
) -> None:
    """Renew the leases of the jobs that the living children of a worker run."""
    kept = _in_order(
        is_open,
        jobs.c.state == JobState.RUNNING,
        jobs.c.claimed_by == claimed_by,
        jobs.c.pid.in_(list(pids)),
    )
    connection.execute(update(jobs).where(kept).values(lease_until=database.now() + lease_s))


def running_of(connection: Connection, claimed_by: str) -> list[Row]:
    """Return the running jobs of one worker."""
    query = select(jobs).where(
        is_open, jobs.c.state == JobState.RUNNING, jobs.c.claimed_by == claimed_by
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def abandoned(database: Database, connection: Connection, limit: int) -> list[Row]:
    """Return running jobs whose lease has run out."""
    query = (
        select(jobs)
        .where(is_open, jobs.c.state == JobState.RUNNING, jobs.c.lease_until < database.now())
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
            is_open,
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
    query = select(jobs).where(is_open, jobs.c.state.in_(WAITING))
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
    query = query.order_by(jobs.c.id)
    return [dict(row) for row in connection.execute(query).mappings()]


def has_open(connection: Connection, campaign_id: str, step: str | None = None) -> bool:
    """Tell whether a job of a campaign, or of one of its steps, is not final."""
    query = select(jobs.c.id).where(is_open, jobs.c.campaign_id == campaign_id).limit(1)
    if step is not None:
        query = query.where(jobs.c.step == step)
    return connection.execute(query).first() is not None


def open_with_files(connection: Connection) -> list[Row]:
    """Return id, task and arguments of jobs that are not final and may read files or models."""
    is_such = or_(
        jobs.c.task.like(r"tasks.ml\_tasks.%", escape="\\"),
        jobs.c.task.like(r"tasks.data\_tasks.%", escape="\\"),
    )
    columns = (jobs.c.id, jobs.c.task, jobs.c.args, jobs.c.kwargs)
    query = select(*columns).where(is_open, is_such).order_by(jobs.c.id)
    return [dict(row) for row in connection.execute(query).mappings()]


def hold(connection: Connection, campaign_id: str, steps: Sequence[str]) -> set[str]:
    """Keep the waiting jobs of some steps of a campaign from being taken; returns their ids.

    A message that is on its way already finds its job not yet due, and is dropped.
    """
    held = _in_order(
        is_open,
        jobs.c.campaign_id == campaign_id,
        jobs.c.state.in_(WAITING),
        jobs.c.step.in_(list(steps)),
    )
    statement = update(jobs).where(held).values(run_at=HELD_UNTIL).returning(jobs.c.id)
    return set(connection.execute(statement).scalars())


def release(database: Database, connection: Connection, campaign_id: str) -> list[Row]:
    """Let the held jobs of a campaign be taken; the caller sends their messages."""
    held = _in_order(is_open, jobs.c.campaign_id == campaign_id, jobs.c.run_at == HELD_UNTIL)
    values = {"run_at": None, "sent_at": database.now(), "sends": 1}
    statement = update(jobs).where(held).values(values).returning(*jobs.c)
    rows = [dict(row) for row in connection.execute(statement).mappings()]
    return sorted(rows, key=lambda row: (row["queued_at"], row["id"]))


def has_waiting(
    database: Database, connection: Connection, queue: str, older_than_s: float
) -> bool:
    """Tell whether a job has waited in a queue for some time."""
    query = select(jobs.c.id).where(*_waits_in(database, queue, older_than_s)).limit(1)
    return connection.execute(query).first() is not None


def _waits_in(database: Database, queue: str, older_than_s: float) -> list[ColumnElement[bool]]:
    is_old = jobs.c.queued_at < database.now() - older_than_s
    is_due = or_(jobs.c.run_at.is_(None), jobs.c.run_at <= database.now())
    return [is_open, jobs.c.state.in_(WAITING), jobs.c.queue == queue, is_old, is_due]


def move(database: Database, connection: Connection, source: str, target: str) -> list[Row]:
    """Put the jobs that wait in a queue into another one.

    Returns:
        The jobs as they are now; the caller sends their messages.
    """
    chosen = _in_order(*_waits_in(database, source, 0.0))
    values = {
        "queue": target,
        "sent_at": database.now(),
        "sends": 1,
        "event_number": jobs.c.event_number + 1,
    }
    statement = update(jobs).where(chosen).values(values).returning(*jobs.c)
    return paging.rows_of(connection.execute(statement))


def mark_sent(database: Database, connection: Connection, ids: Sequence[str]) -> None:
    """Note that messages were sent just now."""
    if ids:
        connection.execute(
            update(jobs)
            .where(_in_order(jobs.c.id.in_(list(ids))))
            .values(sent_at=database.now(), sends=jobs.c.sends + 1)
        )


def mark_unsent(connection: Connection, ids: Sequence[str]) -> None:
    """Note that a message could not be sent, so that the scheduler sends it."""
    if ids:
        chosen = _in_order(jobs.c.id.in_(list(ids)))
        connection.execute(update(jobs).where(chosen).values(sent_at=None))


def mark_answered(connection: Connection, ids: Sequence[str], *, done: bool) -> None:
    """Note whether answers are stored; those that are not are due."""
    if ids:
        chosen = _in_order(jobs.c.id.in_(list(ids)))
        connection.execute(update(jobs).where(chosen).values(is_answer_due=not done))


def unanswered(connection: Connection, limit: int) -> list[Row]:
    """Return final jobs whose answer could not be stored when they ended."""
    query = select(jobs).where(answer_is_due).limit(limit)
    return [dict(row) for row in connection.execute(query).mappings()]


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


def open_of(connection: Connection, ids: Collection[str]) -> set[str]:
    """Return those of some ids that are jobs and not final."""
    query = select(jobs.c.id).where(jobs.c.id.in_(list(ids)), is_open)
    return set(connection.execute(query).scalars())


def by_key(connection: Connection, idempotency_key: str) -> Row | None:
    """Return the job of an idempotency key, or None."""
    query = select(jobs).where(jobs.c.idempotency_key == idempotency_key)
    row = connection.execute(query).mappings().first()
    return dict(row) if row else None


def without_success(connection: Connection, prefix: str) -> list[Row]:
    """Return id, state and kwargs of jobs whose keys begin so and that have not succeeded."""
    is_one = jobs.c.idempotency_key.startswith(prefix, autoescape=True)
    query = select(jobs.c.id, jobs.c.state, jobs.c.kwargs)
    return paging.rows_of(connection.execute(query.where(is_one, jobs.c.state != "SUCCEEDED")))


def give_up_keys(connection: Connection, ids: Collection[str]) -> None:
    """Take their idempotency keys from jobs, so that other jobs may have them."""
    statement = update(jobs).where(jobs.c.id.in_(list(ids))).values(idempotency_key=None)
    connection.execute(statement)


def page(
    connection: Connection,
    *,
    limit: int,
    before: tuple[float, str] | None = None,
    state: str | None = None,
    task: str | None = None,
    campaign_id: str | None = None,
    queue: str | None = None,
    owner: str | None = None,
) -> tuple[list[Row], int]:
    """Return a page of jobs, newest first, and how many match in all.

    Args:
        before: (queued_at, id) of the last row of the page before.
    """
    filters = {
        "state": state,
        "task": task,
        "campaign_id": campaign_id,
        "queue": queue,
        "owner": owner,
    }
    return paging.newest_first(
        connection,
        jobs,
        tuple(jobs.c),
        by="queued_at",
        filters=filters,
        limit=limit,
        before=before,
    )


def n_waiting(connection: Connection, owner: str | None, limit: int) -> int:
    """Return how many jobs wait, of one owner or in all; counts no further than `limit`."""
    waiting = select(jobs.c.id).where(is_open, jobs.c.state.in_(WAITING))
    if owner is not None:
        waiting = waiting.where(jobs.c.owner == owner)
    found = select(func.count()).select_from(waiting.limit(limit).subquery())
    return int(connection.execute(found).scalar_one())


def counts(connection: Connection) -> list[tuple[str, str, int]]:
    """Return how many jobs each queue holds in each state that is not final."""
    query = (
        select(jobs.c.queue, jobs.c.state, func.count())
        .where(is_open)
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
    return paging.rows_of(connection.execute(query))


def n_log_lines(connection: Connection, job_id: str) -> int:
    """Return how many log lines a job has."""
    query = select(func.count()).select_from(job_log).where(job_log.c.job_id == job_id)
    return int(connection.execute(query).scalar_one())
