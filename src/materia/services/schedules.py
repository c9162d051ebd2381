"""Schedules: rows that submit a job whenever they are due."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from celery.schedules import crontab as CeleryCrontab  # noqa: N812
from sqlalchemy import select

from materia import log
from materia.broker import app as broker
from materia.errors import ConflictError, DefinitionError, NotFoundError, StateError
from materia.mdl.suggest import did_you_mean
from materia.services import submission, tasks
from materia.services.due_times import MISSED, Timing
from materia.services.idempotency import Once
from materia.services.submission import NewJob
from materia.services.work import unit_of_work
from materia.store import schedules as rows
from materia.store.database import Database, database
from materia.store.jobs import Row

BATCH = 100
MAX_SCHEDULES = 1000
CHANGEABLE = (
    "kwargs",
    "queue",
    "priority",
    "crontab",
    "timezone",
    "interval_s",
    "missed",
    "expires_at",
)
TIMED = ("crontab", "timezone", "interval_s", "expires_at")

logger = log.logger(__name__)


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """A schedule to be made.

    Args:
        id: Chosen by its maker, such as ``nightly-export``.
        task: Task that it submits, with `kwargs`, to `queue` with `priority`.
        crontab, timezone, interval_s: See `due_times.Timing`.
        missed: What becomes of due times at which no scheduler was alive: skip, one, all.
        starts_at: First due time of an interval; now plus one interval unless given.
        expires_at: No due time after this fires; seconds since the epoch.
    """

    id: str
    task: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    queue: str | None = None
    priority: int | None = None
    crontab: str | None = None
    timezone: str = "UTC"
    interval_s: float | None = None
    missed: str = "one"
    starts_at: float | None = None
    expires_at: float | None = None
    requested_by: str | None = None
    owner: str | None = None
    configured: Mapping[str, Any] | None = None

    def row(self, now: float) -> Row:
        """Return the row to insert, checked.

        Raises:
            DefinitionError: Something does not fit; nothing was written.
        """
        row = {
            "id": self.id,
            "task": self.task,
            "kwargs": dict(self.kwargs),
            "queue": self.queue,
            "priority": self.priority,
            "crontab": self.crontab,
            "timezone": self.timezone,
            "interval_s": self.interval_s,
            "missed": self.missed,
            "starts_at": now + (self.interval_s or 0.0)
            if self.starts_at is None
            else self.starts_at,
            "expires_at": self.expires_at,
            "requested_by": self.requested_by,
            "owner": self.owner,
            "configured": None if self.configured is None else dict(self.configured),
            "created_at": now,
        }
        _check(row, now)
        return {**row, "next_at": _next(row, now)}


def _check(row: Row, now: float) -> None:
    if row["expires_at"] is not None and row["expires_at"] <= now:
        raise DefinitionError(
            "expires_at: that time has passed, so that it would never fire",
            "give a later time, or null for a schedule that does not end",
            path="expires_at",
        )
    # Its files may come later.
    tasks.require(row["task"], (), row["kwargs"], row["queue"], look=False)
    Timing.of(row).check()
    if row["missed"] not in MISSED:
        raise DefinitionError(
            f"missed: {row['missed']!r} is not one of {', '.join(MISSED)}",
            did_you_mean(row["missed"], MISSED),
            path="missed",
        )


def _next(row: Row, now: float) -> float | None:
    """Return the first due time after now, None when the schedule has expired by then."""
    following = Timing.of(row).after(now)
    expires = row["expires_at"]
    return None if following is None or (expires and following > expires) else following


def _now(db: Database) -> float:
    with db.read() as connection:
        return float(connection.execute(select(db.now())).scalar_one())


def create(new: NewSchedule, *, once: Once | None = None) -> Row:
    """Make a schedule.

    Raises:
        DefinitionError: Something does not fit.
        ConflictError: There is one with this id.
    """
    db = database()
    row = new.row(_now(db))
    with unit_of_work() as work:
        if once is not None and once.keep(work, {"schedule_id": new.id}) is not None:
            return _required(rows.get(work.connection, new.id), new.id)
        if rows.count(work.connection) >= MAX_SCHEDULES:
            raise StateError(f"there are {MAX_SCHEDULES} schedules already", "delete one first")
        if not rows.add(db, work.connection, row):
            raise ConflictError(
                f"there is a schedule {new.id!r} already", "choose another id, or change that one"
            )
    return get(new.id)


def _required(row: Row | None, schedule_id: str) -> Row:
    if row is None:
        raise unknown(schedule_id)
    return row


def unknown(schedule_id: str) -> NotFoundError:
    """Return the error for an id that no schedule has."""
    return NotFoundError(
        f"there is no schedule {schedule_id!r}", "`materia schedule list` shows them"
    )


def get(schedule_id: str) -> Row:
    """Return one schedule; `NotFoundError` when there is none."""
    with database().read() as connection:
        return _required(rows.get(connection, schedule_id), schedule_id)


def every(owner: str | None = None) -> list[Row]:
    """Return all schedules by id, or those of one owner."""
    with database().read() as connection:
        found = rows.every(connection)
    return [row for row in found if owner in (None, row["owner"])]


def change(schedule_id: str, values: Row) -> Row:
    """Change fields of a schedule; its clock goes on unless the timing itself changes.

    Raises:
        DefinitionError: A field is unknown, or the outcome does not fit; nothing was changed.
    """
    for name in values:
        if name not in CHANGEABLE:
            raise DefinitionError(
                f"{name}: it cannot be changed",
                did_you_mean(name, CHANGEABLE) or f"one of {', '.join(CHANGEABLE)} can",
                path=name,
            )
    now = _now(database())
    with unit_of_work() as work:
        old = _required(rows.get(work.connection, schedule_id), schedule_id)
        changed = dict(values)
        if changed.get("interval_s") and "crontab" not in changed:
            changed["crontab"] = None
        if changed.get("crontab") and "interval_s" not in changed:
            changed["interval_s"] = None
        _check({**old, **changed}, now)
        interval = changed.get("interval_s")
        if interval is not None and interval != old["interval_s"]:
            changed["starts_at"] = now + interval
        if any(changed.get(name, old[name]) != old[name] for name in TIMED):
            changed["next_at"] = _next({**old, **changed}, now)
        # Only these: somebody else may pause it at the same moment.
        if changed:
            rows.change(work.connection, schedule_id, changed)
    return get(schedule_id)


def pause(schedule_id: str) -> Row:
    """Let due times pass without firing; pausing again changes nothing."""
    with unit_of_work() as work:
        _required(rows.get(work.connection, schedule_id), schedule_id)
        rows.change(work.connection, schedule_id, {"is_paused": True})
    return get(schedule_id)


def resume(schedule_id: str) -> Row:
    """Fire again from the next due time on; what passed meanwhile was not missed but paused."""
    now = _now(database())
    with unit_of_work() as work:
        row = _required(rows.get(work.connection, schedule_id), schedule_id)
        if row["is_paused"]:
            values = {"is_paused": False, "next_at": _next(row, now)}
            rows.change(work.connection, schedule_id, values)
    return get(schedule_id)


def delete(schedule_id: str) -> None:
    """Delete a schedule and its history; its jobs stay.

    Raises:
        StateError: It comes from the configuration, and would come back.
    """
    with unit_of_work() as work:
        row = _required(rows.get(work.connection, schedule_id), schedule_id)
        if row["configured"] is not None and schedule_id in (broker.app.conf.beat_schedule or {}):
            raise StateError(
                f"the schedule {schedule_id!r} comes from celeryconfig.py and would come back",
                f"pause it: `materia schedule pause {schedule_id}`",
            )
        rows.remove(work.connection, schedule_id)


def run_now(schedule_id: str, *, once: Once | None = None) -> Row:
    """Submit the job of a schedule now, besides its due times; returns the job."""
    job_id = str(uuid.uuid4())
    now = _now(database())
    with unit_of_work() as work:
        row = _required(rows.get(work.connection, schedule_id), schedule_id)
        if once is not None and (known := once.keep(work, {"job_id": job_id})) is not None:
            return {"id": known["job_id"]}
        submission.add(work, [_job(row, job_id)])
        rows.add_run(work.database, work.connection, schedule_id, now, job_id)
    return {"id": job_id}


def history(schedule_id: str, before: float | None, limit: int) -> tuple[list[Row], int]:
    """Return when a schedule fired and the job of each time, newest first, and how often."""
    get(schedule_id)
    with database().read() as connection:
        return rows.runs(connection, schedule_id, before, limit)


def _job(schedule: Row, job_id: str) -> NewJob:
    return NewJob(
        task=schedule["task"],
        id=job_id,
        kwargs=schedule["kwargs"],
        queue=schedule["queue"],
        priority=schedule["priority"],
        requested_by=f"schedule:{schedule['id']}",
        owner=schedule["owner"],
    )


def fire_due() -> int:
    """Submit the jobs of all schedules that are due; returns how many jobs that were."""
    db = database()
    now = _now(db)
    with db.read() as connection:
        found = rows.due(connection, now, BATCH)
    return sum(_fire(schedule, now) for schedule in found)


def _fire(schedule: Row, now: float) -> int:
    """Fire one schedule: the jobs and the next due time are one transaction."""
    due, next_at = Timing.of(schedule).due(schedule["next_at"], now, schedule["missed"])
    expires = schedule["expires_at"]
    if expires is not None:
        due = [moment for moment in due if moment <= expires]
        next_at = None if next_at is None or next_at > expires else next_at
    fired = 0
    with unit_of_work() as work:
        if not rows.advance(work.connection, schedule, next_at):
            return 0
        for moment in due:
            job_id = str(uuid.uuid4())
            if rows.add_run(work.database, work.connection, schedule["id"], moment, job_id):
                submission.add(work, [_job(schedule, job_id)])
                fired += 1
    if not fired:
        logger.warning("due_times_skipped", schedule=schedule["id"], next_at=next_at)
    return fired


def ensure_configured() -> int:
    """Make rows of the schedules in celeryconfig.py; returns how many were made or changed.

    A row keeps what users changed in it until the configuration itself says something else.
    """
    changed = 0
    for schedule_id, entry in (broker.app.conf.beat_schedule or {}).items():
        try:
            changed += _ensure(schedule_id, entry)
        except (DefinitionError, KeyError, TypeError, ValueError) as error:
            # One wrong entry, such as that of a task that is not there, is not to stop the others.
            reason = f"{type(error).__name__}: {error}"
            logger.error("schedule_of_configuration_refused", id=schedule_id, reason=reason)
    return changed


def _ensure(schedule_id: str, entry: Mapping[str, Any]) -> bool:
    """Make the row of an entry of the configuration; False when it was there."""
    configured = _configured(schedule_id, entry)
    now = time.time()
    new = NewSchedule(schedule_id, configured=configured, requested_by="config", **configured)
    with unit_of_work() as work:
        old = rows.get(work.connection, schedule_id)
        if old is None:
            return rows.add(work.database, work.connection, new.row(now))
        if old["configured"] == configured:
            return False
        values = new.row(now)
        del values["created_at"]
        return rows.change(work.connection, schedule_id, values)


def _configured(schedule_id: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an entry of Celery's own `beat_schedule` says, as plain data."""
    when, options = entry["schedule"], dict(entry.get("options") or {})
    found: dict[str, Any] = {
        "task": entry["task"],
        "kwargs": dict(entry.get("kwargs") or {}),
        "queue": options.get("queue"),
        "priority": options.get("priority"),
        "missed": options.get("missed", "one"),
    }
    if entry.get("args"):
        raise DefinitionError(
            f"beat_schedule: {schedule_id!r} has args", "give them by name, in kwargs"
        )
    if isinstance(when, CeleryCrontab):
        found["crontab"] = " ".join(
            str(part)
            for part in (
                when._orig_minute,
                when._orig_hour,
                when._orig_day_of_month,
                when._orig_month_of_year,
                when._orig_day_of_week,
            )
        )
        found["timezone"] = str(broker.app.conf.timezone or "UTC")
    else:
        seconds = when.total_seconds() if hasattr(when, "total_seconds") else float(when)
        found["interval_s"] = seconds
    return found
