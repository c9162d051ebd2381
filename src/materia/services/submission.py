"""Put a job into its queue: the row first, the message after the commit."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from materia.broker import app as broker
from materia.errors import NotFoundError, StateError
from materia.services import running
from materia.services.idempotency import Once
from materia.services.work import Work, unit_of_work
from materia.store import jobs as job_rows
from materia.store import owners
from materia.store.jobs import JobState, Row

KNOWN_CAMPAIGNS = 1000


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be submitted; what is left out comes from the configuration of its task.

    Args:
        task: Name of the task, such as ``tasks.simple_tasks.ping``.
        kwargs: Keyword arguments of the task; JSON.
        priority: 0–9, 9 the most urgent.
        timeout_s: An attempt is asked to end after so long, and killed shortly after.
        soft_limit_s, hard_limit_s: The two limits one by one, as a plain client gives them.
        idempotency_key: A second job of the same key is not made.
        step: Step of a campaign's iteration that the job does.
        requested_by: The key, schedule or task that asked for it, for people to read.
        owner: Who may see it; that of its campaign, or of the job that submits it, if None.
        reply: Also put the answer into the Celery result backend.
    """

    task: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    args: Sequence[Any] = ()
    id: str | None = None
    queue: str | None = None
    priority: int | None = None
    timeout_s: float | None = None
    soft_limit_s: float | None = None
    hard_limit_s: float | None = None
    campaign_id: str | None = None
    iteration: int | None = None
    step: str | None = None
    idempotency_key: str | None = None
    requested_by: str | None = None
    owner: str | None = None
    reply: bool = False
    state: JobState = JobState.QUEUED

    def row(self) -> Row:
        """Return the row to insert."""
        queue, priority = broker.route(self.task)
        policy = broker.policy(self.task)
        soft = self.soft_limit_s or policy.soft_limit_s
        hard = self.hard_limit_s or policy.hard_limit_s
        if self.timeout_s is not None:
            soft, hard = self.timeout_s, self.timeout_s + max(5.0, 0.1 * self.timeout_s)
        now = time.time()
        return {
            "id": self.id or str(uuid.uuid4()),
            "task": self.task,
            "queue": self.queue or queue,
            "priority": priority if self.priority is None else self.priority,
            "args": list(self.args),
            "kwargs": dict(self.kwargs),
            "state": self.state,
            "attempt": 0,
            "token": 0,
            "soft_limit_s": soft,
            "hard_limit_s": hard,
            "campaign_id": self.campaign_id,
            "iteration": self.iteration,
            "step": self.step,
            "idempotency_key": self.idempotency_key,
            "requested_by": self.requested_by,
            "owner": self.owner,
            "reply": self.reply,
            "event_number": 1,
            "queued_at": now,
            # The message leaves right after the commit; if it cannot, this is taken back.
            "sent_at": now,
            "sends": 1,
        }


def add(work: Work, new: Sequence[NewJob]) -> list[Row]:
    """Insert jobs in a transaction of the caller; messages leave after its commit."""
    owned = [replace(job, owner=_owner(work, job)) for job in new]
    rows = job_rows.add(work.database, work.connection, [job.row() for job in owned])
    for row in rows:
        work.job_event(row)
    work.to_send.extend(row for row in rows if row["state"] == JobState.QUEUED)
    return rows


# By campaign; the owner of one never changes.
_owners: dict[str, str | None] = {}


def _owner(work: Work, job: NewJob) -> str | None:
    if job.owner is not None:
        return job.owner
    if job.campaign_id is None:
        parent = running.current()
        return None if parent is None else parent.row.get("owner")
    if job.campaign_id not in _owners:
        if len(_owners) >= KNOWN_CAMPAIGNS:
            _owners.clear()
        _owners[job.campaign_id] = owners.owner(work.connection, "campaign", job.campaign_id)[1]
    return _owners[job.campaign_id]


def submit(new: NewJob, *, once: Once | None = None) -> Row:
    """Insert a job and send its message; a known idempotency key returns the job it has.

    Args:
        once: A request that makes one job, however often it comes.
    """
    if once is not None:
        new = replace(new, id=new.id or str(uuid.uuid4()))
    with unit_of_work() as work:
        if once is not None and (known := once.keep(work, {"job_id": new.id})) is not None:
            first = job_rows.get(work.connection, known["job_id"])
            if first is None:
                raise NotFoundError(f"the job {known['job_id']!r} of this request was deleted")
            return first
        rows = add(work, [new])
        if not rows and new.idempotency_key:
            known = job_rows.by_key(work.connection, new.idempotency_key)
            rows = [known] if known else []
    if not rows:
        raise StateError(f"a job with the id {new.id!r} exists already")
    return rows[0]
