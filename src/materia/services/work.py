"""A unit of work: one short write transaction; what must leave, leaves after its commit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, update

from materia.broker import messages, results
from materia.events import stream
from materia.events.models import Event, EventType, campaign_topic, job_topic
from materia.store import events as event_rows
from materia.store import jobs as job_rows
from materia.store.database import Database, database
from materia.store.jobs import Row
from materia.store.tables import campaigns


@dataclass(slots=True)
class Work:
    """What one transaction writes, and what follows from it once it is committed."""

    database: Database
    connection: Connection
    events: list[Event] = field(default_factory=list)
    to_send: list[Row] = field(default_factory=list)
    to_answer: list[Row] = field(default_factory=list)
    is_claim: bool = False

    def job_event(self, row: Row, **data: Any) -> None:
        """Report the state that a job row has just been given."""
        event = Event(
            topic=job_topic(row["id"]),
            number=row["event_number"],
            type=EventType.JOB_STATE_CHANGED,
            time=time.time(),
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
        self.events.append(event)

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

    def _insert_events(self) -> None:
        event_rows.add(
            self.connection,
            [
                {
                    "topic": event.topic,
                    "number": event.number,
                    "type": str(event.type),
                    "time": event.time,
                    "campaign_id": event.campaign_id,
                    "job_id": event.job_id,
                    "data": event.data,
                }
                for event in self.events
            ],
        )

    def _leave(self) -> None:
        if self.events:
            stream.append(self.events, hold=self.is_claim)
        unanswered = [row["id"] for row in self.to_answer if not results.store(row)]
        if unanswered:
            with self.database.write() as connection:
                job_rows.mark_answered(connection, unanswered, done=False)
        unsent = messages.send(self.to_send) if self.to_send else []
        if unsent:
            with self.database.write() as connection:
                job_rows.mark_unsent(connection, unsent)


@contextmanager
def unit_of_work(*, is_claim: bool = False) -> Iterator[Work]:
    """Commit what is written inside, then publish its events, answers and messages.

    Args:
        is_claim: The work claims a job; see `stream.append`.
    """
    db = database()
    with db.write() as connection:
        work = Work(db, connection, is_claim=is_claim)
        yield work
        work._insert_events()
    work._leave()
