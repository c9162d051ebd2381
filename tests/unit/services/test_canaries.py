"""What the canary of a queue tells."""

from __future__ import annotations

from typing import Any

import pytest

from materia.services.canaries import PATIENCE_S, Traffic
from materia.store.jobs import Row

NOW = 10_000.0
WORKER: Row = {
    "boot": "b",
    "name": "general@lab",
    "queues": ["default", "ml"],
    "n_processes": 2,
    "started_at": 0.0,
}


def canary(state: str, age_s: float, **values: Any) -> Row:
    return {"id": "c", "state": state, "queued_at": NOW - age_s, "finished_at": None, **values}


def judged(
    queue: str = "default",
    *,
    workers: list[Row] | None = None,
    running: dict[str, int] | None = None,
    overdue: dict[str, int] | None = None,
    job: Row | None = None,
) -> dict[str, Any]:
    return Traffic(
        workers=[WORKER] if workers is None else workers,
        running=running or {},
        overdue=overdue or {},
        canaries={queue: job} if job else {},
        now=NOW,
    ).judge(queue)


def test_an_answered_canary_says_how_long_it_took() -> None:
    found = judged(job=canary("SUCCEEDED", 300.0, finished_at=NOW - 299.5))
    assert (found["canary"], found["fault"]) == ("answered after 0.5 s, 5 min ago", None)
    assert found["workers"] == ["general@lab"]


def test_before_the_first_canary_nothing_is_wrong() -> None:
    assert judged()["fault"] is None
    assert judged(job=canary("QUEUED", PATIENCE_S - 1))["canary"] == "on its way for 59 s"


def test_a_queue_that_nobody_serves_is_a_fault_only_when_work_waits_there() -> None:
    assert judged("data")["fault"] is None
    assert "1 job waits" in judged("data", overdue={"data": 1})["fault"]
    assert "3 jobs wait" in judged("data", overdue={"data": 3}, workers=[])["fault"]
    # Behind a worker that lives work may wait as long as it must.
    assert judged(overdue={"default": 3})["fault"] is None


def test_a_canary_that_nobody_takes_is_a_fault_unless_all_processes_are_busy() -> None:
    job = canary("QUEUED", 300.0)
    assert "general@lab could have taken it" in judged(job=job)["fault"]
    assert judged(job=job, running={"b": 1})["fault"]
    busy = judged(job=job, running={"b": 2})
    assert busy["fault"] is None
    assert "busy" in busy["canary"]
    # Another worker of the queue has time.
    idle = {**WORKER, "boot": "c", "name": "second@lab"}
    assert judged(job=job, running={"b": 2}, workers=[WORKER, idle])["fault"]


def test_a_canary_from_before_the_worker_started_gets_its_time() -> None:
    young = {**WORKER, "started_at": NOW - 5.0}
    assert judged(job=canary("QUEUED", 3000.0), workers=[young])["fault"] is None


@pytest.mark.parametrize("state", ["FAILED", "QUARANTINED"])
def test_a_canary_that_fails_is_a_fault_with_its_reason(state: str) -> None:
    job = canary(state, 300.0, error={"message": "the process of the job died"})
    assert "the process of the job died" in judged(job=job)["fault"]


def test_a_canary_that_runs_or_was_cancelled_is_none() -> None:
    assert judged(job=canary("RUNNING", 300.0))["fault"] is None
    assert judged(job=canary("CANCELLED", 300.0))["fault"] is None


def test_every_queue_is_looked_at() -> None:
    own = {**WORKER, "queues": ["default", "of-the-lab"]}
    traffic = Traffic([own], {}, {"elsewhere": 1}, {}, NOW)
    names = traffic.queues()
    assert names[:3] == ["high_priority", "default", "low_priority"]
    assert {"celery", "of-the-lab", "elsewhere"} <= set(names)
    assert len(names) == len(set(names))
