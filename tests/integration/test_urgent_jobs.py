"""Urgent jobs do not wait behind ten thousand others."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from materia.services import submission
from materia.services.submission import NewJob, submit
from materia.services.work import unit_of_work
from materia.store.database import database
from materia.store.tables import jobs
from workers import Cluster

N_OTHERS = 10_000


def n_started_between(after: float, before: float) -> int:
    query = select(func.count()).where(jobs.c.claimed_at > after, jobs.c.claimed_at < before)
    with database().read() as connection:
        return int(connection.execute(query).scalar_one())


# `benchmarks/jobs/priority.py` tells the seconds, on both databases and beside raw Celery.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_urgent_job_starts_before_10000_others_in_its_own_queue_and_in_theirs(
    cluster: Cluster,
) -> None:
    other = NewJob("tasks.test.work", args=("sleep", 0.02), queue="low_priority", priority=1)
    for _ in range(N_OTHERS // 500):
        with unit_of_work() as work:
            submission.add(work, [other] * 500)
    cluster.worker()
    for queue in ("high_priority", "low_priority") * 3:
        job = submit(NewJob("tasks.test.echo", queue=queue, priority=9))
        urgent = cluster.wait(job["id"])
        assert urgent["state"] == "SUCCEEDED"
        # In order of submission it would be thousands.
        assert n_started_between(urgent["queued_at"], urgent["claimed_at"]) < 100
    with database().read() as connection:
        (n_left,) = connection.execute(
            select(func.count()).where(jobs.c.state == "QUEUED", jobs.c.priority == 1)
        ).one()
    assert n_left > N_OTHERS / 2
