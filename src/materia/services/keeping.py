"""What the parent process of a worker does for the jobs of its children.

A thread in a child would stop while native code holds the interpreter; the parent is free.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy import select

from materia import log, settings
from materia.events import stream
from materia.events.models import Event, job_topic
from materia.services import execution
from materia.services.campaign_life import cancelled
from materia.services.work import answer
from materia.store import events as event_rows
from materia.store import jobs as job_rows
from materia.store.database import database
from materia.store.jobs import Row

logger = log.logger(__name__)


@dataclass(slots=True)
class Keeper:
    """Keeps the claims of one worker.

    Args:
        boot: Name of this start of the worker; claims carry it.
        living: Returns the process ids of the living children.
        soft_signal: Signal that raises the soft limit's exception in a child.
    """

    boot: str
    living: Callable[[], Collection[int]]
    soft_signal: int = int(signal.SIGUSR1)
    _told: dict[str, int] = field(default_factory=dict)

    def look(self, *, renew: bool) -> int:
        """Renew leases, pass cancels on and enforce hard limits; returns how many jobs run."""
        with database().read() as connection:
            rows = job_rows.running_of(connection, self.boot)
            now = connection.execute(select(database().now())).scalar_one()
        alive = set(self.living())
        kept = [row for row in rows if row["pid"] in alive]
        if kept and renew:
            with database().write() as connection:
                lease_s = settings.current().lease_s
                pids = [row["pid"] for row in kept]
                job_rows.renew(database(), connection, self.boot, pids, lease_s)
        self._tell_of_new(kept)
        rows = self._without_forgotten(rows)
        for row in rows:
            if row["pid"] not in alive:
                self._record_death(row, "its process is gone")
            elif row["cancel_requested_at"] is not None:
                self._cancel(row, now - row["cancel_requested_at"])
            elif row["hard_limit_s"] and now - row["claimed_at"] > row["hard_limit_s"] + 1.0:
                self._kill(row, execution.out_of_time("hard", row["hard_limit_s"]))
        return len(rows)

    def _tell_of_new(self, rows: list[Row]) -> None:
        """Publish that jobs run which were not running at the last look."""
        running = {row["id"]: row["event_number"] for row in rows}
        new = [item for item in running.items() if self._told.get(item[0]) != item[1]]
        self._told = running
        if not new:
            return
        with database().read() as connection:
            found = [
                Event(**event)
                for job_id, number in new
                for event in event_rows.after(connection, job_topic(job_id), number - 1, 1)
            ]
        stream.append(found, again=True)

    @staticmethod
    def _without_forgotten(rows: list[Row]) -> list[Row]:
        """Give back older claims of a child: it works on its newest one only."""
        newest: dict[int, Row] = {}
        for row in sorted(rows, key=lambda row: row["claimed_at"]):
            forgotten = newest.get(row["pid"])
            if forgotten is not None:
                execution.give_back(forgotten)
            newest[row["pid"]] = row
        return list(newest.values())

    def _cancel(self, row: Row, waited_s: float) -> None:
        if waited_s < settings.current().cancel_grace_s:
            # Repeated at every look: code that swallows the signal once may not do so twice.
            with suppress(ProcessLookupError):
                os.kill(row["pid"], self.soft_signal)
            return
        self._kill(row, cancelled("cancelled; its process did not stop in time and was killed"))

    def _kill(self, row: Row, values: Row) -> None:
        # The row first: whoever sees the death of the process then finds the job final.
        # And only if it was ours to end: the child may be at its next job already.
        if execution.end(row, values):
            with suppress(ProcessLookupError):
                os.kill(row["pid"], signal.SIGKILL)

    def child_died(self, job_id: str, pid: int | None, reason: str) -> None:
        """Record that the process of a job died by itself."""
        row = self._held(job_id, pid)
        if row is not None:
            self._record_death(row, reason)

    def _held(self, job_id: str, pid: int | None) -> Row | None:
        """Return the job of a dead child if that held its claim; a later attempt is another's.

        A job that is final is answered again: the child may have died before it had done so.
        """
        with database().read() as connection:
            row = job_rows.get(connection, job_id)
        if row is None:
            return None
        if row["state"] in job_rows.FINAL:
            answer([row])
            return None
        is_held = row["state"] == job_rows.JobState.RUNNING and row["claimed_by"] == self.boot
        return row if is_held and pid in (None, row["pid"]) else None

    def _record_death(self, row: Row, reason: str) -> None:
        if row["cancel_requested_at"] is not None:
            execution.end(row, cancelled("cancelled; its process was killed"))
        else:
            execution.crashed(row, reason)

    def hard_limit(self, job_id: str, pid: int | None) -> None:
        """Record that a job was killed at its hard limit."""
        row = self._held(job_id, pid)
        if row is not None:
            execution.end(row, execution.out_of_time("hard", row["hard_limit_s"]))

    def give_all_back(self) -> list[int]:
        """Give every claim back without counting the attempt; returns the pids that held them."""
        with database().read() as connection:
            rows = job_rows.running_of(connection, self.boot)
        for row in rows:
            execution.give_back(row)
        return [row["pid"] for row in rows]
