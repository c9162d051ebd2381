"""A canary is a ping that travels through a queue, to see that what waits there is taken.

A check that waited for one would hold the very process that may have to answer it, so canaries are
sent at one check and judged at the next: see docs/decisions/canaries-of-queues.md.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from materia.broker import app as broker
from materia.services import submission
from materia.services.campaign_life import cancel_job
from materia.services.submission import NewJob
from materia.services.work import Work
from materia.settings import QUEUES
from materia.store import jobs as job_rows
from materia.store import retention
from materia.store.jobs import FINAL, JobState, Row

PING = "tasks.simple_tasks.ping"
# A canary that waits for less is on its way.
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is known of the queues at one moment.

    Args:
        workers: Those that live, with boot, name, queues and n_processes.
        running: How many jobs each of them runs, by boot.
        overdue: How many jobs of each queue could have been taken for some time.
        canaries: The newest canary of each queue.
        now: Time of the database.
    """

    workers: Sequence[Row]
    running: Mapping[str, int]
    overdue: Mapping[str, int]
    canaries: Mapping[str, Row]
    now: float

    def queues(self) -> list[str]:
        """Return every queue that there is, is served, or holds work."""
        own = [*QUEUES, str(broker.app.conf.task_default_queue)]
        served = {queue for worker in self.workers for queue in worker["queues"]}
        return list(dict.fromkeys([*own, *sorted(served | set(self.overdue))]))

    def judge(self, queue: str) -> dict[str, Any]:
        """Return ``{workers, overdue, canary, fault}`` of a queue; without a fault it is None."""
        takers = [worker for worker in self.workers if queue in worker["queues"]]
        overdue = self.overdue.get(queue, 0)
        canary, fault = self._canary(queue, takers)
        if overdue and not takers:
            fault = f"{_jobs(overdue)} and no worker takes this queue"
        return {
            "workers": [worker["name"] for worker in takers],
            "overdue": overdue,
            "canary": canary,
            "fault": fault,
        }

    def _canary(self, queue: str, takers: Sequence[Row]) -> tuple[str, str | None]:
        """Return how the canary of a queue is, and what is wrong."""
        job = self.canaries.get(queue)
        if not takers:
            return "no worker takes this queue", None
        if job is None or job["state"] == JobState.CANCELLED:
            return "none has travelled yet", None
        if job["state"] == JobState.SUCCEEDED:
            took_s = max(0.0, job["finished_at"] - job["queued_at"])
            return f"answered after {took_s:.1f} s, {_age(self.now - job['finished_at'])} ago", None
        if job["state"] in FINAL:
            reason = (job["error"] or {}).get("message", job["state"])
            return "failed", f"its canary failed: {reason}"
        # Before there was a worker nobody could take it.
        possible_since = max(job["queued_at"], min(w["started_at"] for w in takers))
        waited_s = self.now - possible_since
        if waited_s < PATIENCE_S or job["state"] == JobState.RUNNING:
            return f"on its way for {_age(self.now - job['queued_at'])}", None
        if all(self.running.get(w["boot"], 0) >= w["n_processes"] for w in takers):
            return f"waits for {waited_s:.0f} s, for all processes are busy", None
        names = ", ".join(worker["name"] for worker in takers)
        fault = f"a canary has waited for {waited_s:.0f} s although {names} could have taken it"
        return f"waits for {waited_s:.0f} s", fault


def _age(seconds: float) -> str:
    whole = max(0, round(seconds))
    return f"{whole} s" if whole < 120 else f"{whole // 60} min"


def _jobs(n: int) -> str:
    return "1 job waits" if n == 1 else f"{n} jobs wait"


def known(work_ids: Mapping[str, str], rows: Sequence[Row]) -> dict[str, Row]:
    """Return the canary of each queue whose job still exists."""
    by_id = {row["id"]: row for row in rows}
    return {queue: by_id[job_id] for queue, job_id in work_ids.items() if job_id in by_id}


def renew(work: Work, traffic: Traffic) -> dict[str, str]:
    """Put away the canaries that were judged, and send new ones through the queues served.

    One that still waits in a queue that is served stays, so that no queue ever holds two.

    Returns:
        Id of the canary of each queue.
    """
    served = {queue for worker in traffic.workers for queue in worker["queues"]}
    kept: dict[str, str] = {}
    for queue, seen in traffic.canaries.items():
        job = job_rows.get(work.connection, seen["id"])
        if job is None:
            continue
        if job["state"] in FINAL:
            retention.delete_jobs(work.connection, [job["id"]])
            continue
        kept[queue] = job["id"]
        if queue not in served:
            cancel_job(work, job, "no worker takes this queue any more")
    new = [_canary(queue) for queue in sorted(served - set(kept))]
    submission.add(work, new)
    return {**kept, **{str(job.queue): str(job.id) for job in new}}


def _canary(queue: str) -> NewJob:
    return NewJob(
        task=PING,
        id=f"canary-{queue[:40]}-{uuid.uuid4().hex[:12]}",
        queue=queue,
        # Before all other work: it asks whether the queue is taken from, not how long it is.
        priority=9,
        requested_by="check_cluster_health",
    )
