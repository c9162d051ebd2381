"""What was accepted is done once, whoever is killed or stands still meanwhile."""

from __future__ import annotations

import os
import random
import signal
from contextlib import suppress
from itertools import chain
from pathlib import Path

import httpx
import pytest

from fixtures import only_postgresql, only_sqlite
from materia.services import jobs
from materia.services.submission import NewJob, submit
from servers import wait_until
from serving import BASE, BEARER, Server
from workers import Cluster, Program


@only_sqlite
@pytest.mark.trials
def test_what_a_client_was_told_is_done_whatever_is_killed_right_after_the_answer(
    cluster: Cluster, tmp_path: Path, trials: int
) -> None:
    seed = int(os.environ.get("MATERIA_TEST_SEED", random.SystemRandom().randrange(2**32)))
    print(f"seed {seed}; repeat with MATERIA_TEST_SEED={seed}")
    chance = random.Random(seed)
    worker, scheduler = cluster.worker(), cluster.scheduler()
    accepted: list[str] = []
    victims = ["api", "worker", "child", "scheduler", "redis"]
    with Server(tmp_path, cluster.environment) as server:
        for victim in chain.from_iterable(
            chance.sample(victims, len(victims)) for _ in range(max(1, trials // 3))
        ):
            sent = {"task": "tasks.simple_tasks.ping"}
            answer = httpx.post(f"{server.url}{BASE}/jobs", json=sent, headers=BEARER)
            assert answer.status_code == 202
            accepted.append(answer.json()["task_id"])
            if victim == "api":
                server.stop(signal.SIGKILL)
                server.start()
            elif victim == "worker":
                worker.kill()
                worker = cluster.worker(ready=False)
            elif victim == "child":
                with suppress(IndexError, OSError):
                    os.kill(worker.children()[0], signal.SIGKILL)
            elif victim == "scheduler":
                scheduler.kill()
                scheduler = cluster.scheduler()
            else:
                with cluster.redis.client() as client:
                    client.flushall()
        for job_id in accepted:
            assert cluster.wait(job_id)["state"] == "SUCCEEDED"
    assert len(set(accepted)) == len(accepted)


@only_postgresql
def test_a_worker_that_stood_still_past_its_lease_writes_nothing_any_more(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.scheduler()
    first = cluster.worker(concurrency=1)
    notes = tmp_path / "notes"
    note = {"path": str(notes), "value": "run", "sleep_s": 1.0}
    job_id = submit(NewJob("tasks.test.note", kwargs=note))["id"]
    wait_until(notes.exists, "the job has begun")
    stopped = _stand_still(first)
    try:
        second = cluster.worker(concurrency=1)
        row = cluster.wait(job_id)
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert (row["state"], row["attempt"], row["crashes"]) == ("SUCCEEDED", 1, 0)
    assert row["worker"].startswith("w2@")
    # It comes to its own end of the job before it takes another one.
    second.stop()
    assert cluster.wait(submit(NewJob("tasks.test.echo"))["id"])["state"] == "SUCCEEDED"
    assert first.alive()
    assert jobs.get(job_id) == row
    assert notes.read_text().splitlines() == ["run", "run"]


def _stand_still(worker: Program) -> list[int]:
    """Stop a worker with its children and return their process ids."""
    stopped = [worker.pid, *worker.children()]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    return stopped
