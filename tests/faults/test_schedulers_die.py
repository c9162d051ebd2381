"""Schedulers that are killed while a schedule is due: every due time fires, and fires once."""

from __future__ import annotations

import random
import time
from itertools import pairwise

from fixtures import only_sqlite
from materia.services import jobs, schedules
from materia.services.schedules import NewSchedule
from materia.store.jobs import JobState
from servers import wait_until
from workers import Cluster

# What the database must hold here, tests/integration/test_schedules.py asks of both.
pytestmark = only_sqlite


def test_every_due_time_fires_once_while_schedulers_are_killed(cluster: Cluster) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    cluster.worker()
    alive = [cluster.scheduler(), cluster.scheduler()]
    new = NewSchedule("s", "tasks.simple_tasks.ping", interval_s=5.0, missed="all")
    first = schedules.create(new)["next_at"]
    for _ in range(4):
        time.sleep(chance.uniform(1.0, 5.0))
        alive.pop(chance.randrange(2)).kill()
        alive.append(cluster.scheduler())
    wait_until(lambda: schedules.history("s", None, 1)[1] >= 3, "it has fired three times")
    ended = schedules.pause("s")
    runs, total = schedules.history("s", None, 100)
    due = [run["due_at"] for run in runs][::-1]
    assert due[0] == first
    assert len(due) == total >= 3
    assert {round(b - a, 3) for a, b in pairwise(due)} <= {5.0}
    # What was due before the pause has fired, or was still to fire when it came.
    assert round(ended["next_at"] - due[-1], 3) == 5.0
    for run in runs:
        assert cluster.wait(run["job_id"])["state"] == JobState.SUCCEEDED
    assert jobs.page(100, task="tasks.simple_tasks.ping")[1] == total
