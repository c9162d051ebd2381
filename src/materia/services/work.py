"""A unit of work: one short write transaction; what must leave, leaves after its commit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, update

from materia.broker import messages, results
from materia.events import stream
from materia.events.models import Event, EventType, campaign_topic, job_topic, worker_topic
from materia.store import events as event_rows
from materia.store import jobs as job_rows
from materia.store.database import Database, database, driver_of
from materia.store.jobs import Row
from materia.store.tables import campaigns


@dataclass(slots=True)
class Work:
    """What one transaction writes, and what follows from it once it is committed."""

    database: Database
    connection: Connection
    # Events whose rows are still to be written, and those that were written with their change.
    events: list[Event] = field(default_factory=list)
    reported: list[Event] = field(default_factory=list)
    to_send: list[Row] = field(default_factory=list)
    to_answer: list[Row] = field(default_factory=list)

    def job_event(self, row: Row, **data: Any) -> None:
        """Report the state that a job row has just been given."""
        self.events.append(event_of(row, **data))

    def finish(self, known: Row, values: Row) -> bool:
        """Make a claimed job final, and report it; False when the claim is lost.

        Args:
            known: The job as it was claimed.
            values: Columns to set, a final ``state`` among them.
        """
        done = _finish(self.database, driver_of(self.connection), known, values)
        if done is not None:
            event, row = done
            self.reported.append(event)
            self.to_answer.append(row)
        return done is not None

    def campaign_event(
        self, campaign_id: str, kind: EventType, data: dict[str, Any], job_id: str | None = None
    ) -> None:
        """Report something of a campaign; numbers follow the order of commits."""
        number = self.connection.execute(
            update(campaigns)
            .where(campaigns.c.id == campaign_id)
            .values(event_number=campaigns.c.event_number + 1)
            .returning(campaigns.c.event_number)
        ).scalar_one()
        topic = campaign_topic(campaign_id)
        event = Event(topic, number, kind, time.time(), data, campaign_id, job_id)
        self.events.append(event)

    def worker_event(self, boot: str, number: int, data: dict[str, Any]) -> None:
        """Report the state that a worker's row has just been given."""
        kind = EventType.WORKER_STATE_CHANGED
        self.events.append(Event(worker_topic(boot), number, kind, time.time(), data))


def event_of(row: Row, **data: Any) -> Event:
    """Return the event that reports the state of a job row."""
    now = time.time()
    if row["state"] in job_rows.FINAL and row.get("claimed_at"):
        data["duration_s"] = round(max(0.0, now - row["claimed_at"]), 4)
    return Event(
        topic=job_topic(row["id"]),
        number=row["event_number"],
        type=EventType.JOB_STATE_CHANGED,
        time=now,
        data={
            "state": row["state"],
            "task": row["task"],
            "queue": row["queue"],
            "attempt": row["attempt"],
            "worker": row.get("worker"),
            "error": row.get("error"),
            **data,
        },
        campaign_id=row.get("campaign_id"),
        job_id=row["id"],
    )


def _row_of(event: Event) -> Row:
    """Return the row of an event but for its number."""
    return {
        "topic": event.topic,
        "type": str(event.type),
        "time": event.time,
        "campaign_id": event.campaign_id,
        "job_id": event.job_id,
        "data": event.data,
    }


def _finish(database: Database, driver: Any, known: Row, values: Row) -> tuple[Event, Row] | None:
    row = {**known, **values}
    event = event_of(row)
    number = job_rows.finish(database, driver, row["id"], known["token"], values, _row_of(event))
    return None if number is None else (replace(event, number=number), row)


def answer(rows: Sequence[Row]) -> None:
    """Answer the plain clients of final jobs; what the backend does not take is due."""
    unanswered = [row["id"] for row in rows if not results.store(row)]
    if unanswered:
        with database().write() as connection:
            job_rows.mark_answered(connection, unanswered, done=False)


@contextmanager
def unit_of_work(*, is_claim: bool = False) -> Iterator[Work]:
    """Commit what is written inside, then publish its events, answers and messages.

    Args:
        is_claim: The work claims a job; see `stream.append`.
    """
    db = database()
    with db.write() as connection:
        work = Work(db, connection)
        yield work
        rows = [{**_row_of(event), "number": event.number} for event in work.events]
        event_rows.add(db, driver_of(connection), rows)
    stream.append([*work.reported, *work.events], hold=is_claim)
    answer(work.to_answer)
    unsent = messages.send(work.to_send) if work.to_send else []
    if unsent:
        with db.write() as connection:
            job_rows.mark_unsent(connection, unsent)


def add_claimed(row: Row, lease_s: float) -> bool:
    """Insert a job that this process runs at once, as a unit of work; False when its id exists."""
    db, event = database(), event_of(row)
    with db.alone() as driver:
        number = job_rows.add_claimed(db, driver, row, lease_s, _row_of(event))
    if number is not None:
        stream.append([event], hold=True)
    return number is not None


def finish(known: Row, values: Row) -> bool:
    """Do what `Work.finish` does, as a unit of work."""
    db = database()
    with db.alone() as driver:
        done = _finish(db, driver, known, values)
    if done is not None:
        event, row = done
        stream.append([event])
        answer([row])
    return done is not None
