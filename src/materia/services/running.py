"""The job that this process runs at present: its progress and its log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from materia import log
from materia.errors import StateError, TransientError
from materia.events import stream
from materia.events.models import Event, EventType, job_topic
from materia.services.work import Work
from materia.store import jobs as job_rows
from materia.store.database import database
from materia.store.jobs import Row


class Superseded(StateError):
    """Raised by effects that come too late, such as those of a step of a stopped campaign."""


PUBLISH_EVERY_S = 0.2
SAVE_EVERY_S = 2.0
LINE_LENGTH = 2000

logger = log.logger(__name__)


@dataclass(slots=True)
class RunningJob:
    """A claimed job in the process that works on it."""

    row: Row
    started: float = field(default_factory=time.monotonic)
    lines: list[Row] = field(default_factory=list)
    latest: Row | None = None
    _published: float = 0.0
    _saved: float = 0.0
    _noted: tuple[str, int] = ("", -1)

    @property
    def id(self) -> str:
        """Id of the job, the same for every attempt."""
        return str(self.row["id"])

    @property
    def token(self) -> int:
        """Fencing token of this attempt; user code can hand it on to be made idempotent."""
        return int(self.row["token"])

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Report how far the job is; may be called often, what leaves is throttled."""
        now = time.monotonic()
        rate = done / (now - self.started) if done else 0.0
        eta = (total - done) / rate if total is not None and rate > 0 else None
        self.latest = {"done": done, "total": total, "message": message, "eta_s": eta}
        self._note_progress(done, total, message)
        complete = total is not None and done >= total
        if complete or now - self._published >= PUBLISH_EVERY_S:
            self._published = now
            stream.append_progress(job_topic(self.id), self._progress_event())
        if now - self._saved >= SAVE_EVERY_S:
            self._saved = now
            self.save()

    def note(self, text: str, level: str = "INFO", at: float | None = None) -> None:
        """Gather a line of the job's log."""
        line = {"time": at or time.time(), "level": level, "text": storable(text[:LINE_LENGTH])}
        self.lines.append(line)
        if len(self.lines) > job_rows.LOG_LINES:
            del self.lines[0]

    def _note_progress(self, done: float, total: float | None, message: str) -> None:
        """Log what is being done whenever that changes, and each further tenth of it."""
        tenth = int(10 * done / total) if total else 0
        if message and (message, tenth) != self._noted:
            self._noted = (message, tenth)
            of = f": {done:g} of {total:g}" if total else ""
            self.note(f"{message}{of}")

    def _progress_event(self) -> Event:
        return Event(
            topic=job_topic(self.id),
            # Progress is not kept, so it has no number of its own: the last one's stands in.
            number=self.row["event_number"],
            type=EventType.JOB_PROGRESS,
            time=time.time(),
            data=dict(self.latest or {}),
            campaign_id=self.row["campaign_id"],
            job_id=self.id,
        )

    def save(self) -> None:
        """Write the latest progress and the log lines gathered so far."""
        lines = list(self.lines)
        try:
            with database().write() as connection:
                # First, for it also shows that the claim still holds.
                latest = self.latest or self.row["progress"]
                if not job_rows.set_progress(connection, self.id, self.token, latest):
                    return
                job_rows.add_log(connection, self.id, lines)
        except TransientError as error:
            # Progress is a courtesy: it must not end the work that it tells of.
            logger.warning("progress_not_saved", job_id=self.id, reason=str(error))
        else:
            del self.lines[: len(lines)]


def storable(text: str) -> str:
    """Return a text without what a database refuses: NUL and lone surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


_current: ContextVar[RunningJob | None] = ContextVar("materia_running_job", default=None)


def current() -> RunningJob | None:
    """Return the job that this process runs, None outside of one."""
    return _current.get()


def enter(job: RunningJob | None) -> None:
    """Make a job the current one; whatever is logged meanwhile carries its ids."""
    _current.set(job)
    if job is None:
        log.forget_labels()
    else:
        log.label(job_id=job.id, campaign_id=job.row["campaign_id"])


def wants_answers() -> bool:
    """Tell whether who submitted the current job waits at the Celery result backend.

    Then the jobs that it submits answer there too, for their ids are part of its result.
    """
    job = _current.get()
    return job is not None and bool(job.row["reply"])


def progress(done: float, total: float | None = None, message: str = "") -> None:
    """Report progress of the current job; outside of a job nothing happens."""
    job = _current.get()
    if job is not None:
        job.progress(done, total, message)


def note(text: str, level: str = "INFO") -> None:
    """Add a line to the log of the current job; outside of a job nothing happens."""
    job = _current.get()
    if job is not None:
        job.note(text, level)


class JobLog(logging.Handler):
    """Keeps what is logged while a job runs with that job."""

    def emit(self, record: logging.LogRecord) -> None:
        """Gather one line; lines of Celery itself and of MatCraft's own plumbing stay out."""
        job = _current.get()
        if job is None or record.name.startswith(("celery", "kombu", "amqp", "materia.services")):
            return
        job.note(record.getMessage(), record.levelname, record.created)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A task's result together with what it changes.

    Args:
        result: Plain data.
        effects: Called with the unit of work that also makes the job final, so that both are
            committed, or neither.
    """

    result: Any
    effects: Callable[[Work], None] | None = None
