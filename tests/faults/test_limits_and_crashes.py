"""Limits, cancels and crashes of one job, with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures import only_postgresql, only_sqlite
from materia.services import execution, jobs
from materia.services.keeping import Keeper
from materia.services.submission import NewJob, submit
from servers import wait_until
from workers import Cluster, is_running

# Celery's clock starts when a child gets the message. A signal before the claim, which a busy
# machine makes late, ends nothing: the job would wait for a scheduler to send it again.
CLAIMED_WITHIN_S = 3.0


@only_postgresql
def test_a_job_whose_process_dies_is_tried_three_times_and_quarantined(cluster: Cluster) -> None:
    worker = cluster.worker(concurrency=2)
    cluster.scheduler()
    ways = ["exit", "segfault", "kill"]
    doomed = [submit(NewJob("tasks.test.die", kwargs={"how": how}))["id"] for how in ways]
    others = [submit(NewJob("tasks.test.echo", kwargs={"value": i}))["id"] for i in range(10)]
    for job_id in others:
        assert cluster.wait(job_id)["state"] == "SUCCEEDED"
    for job_id in doomed:
        row = cluster.wait(job_id)
        assert (row["state"], row["crashes"], row["attempt"]) == ("QUARANTINED", 3, 3)
        assert row["error"]["code"] == "crashed"
    assert worker.alive()


@pytest.mark.parametrize(
    ("kind", "database_url"),
    [("sleep", "postgresql"), ("python", "sqlite"), ("child", "postgresql")],
    indirect=["database_url"],
)
def test_the_soft_limit_ends_a_job_without_a_retry(cluster: Cluster, kind: str) -> None:
    cluster.worker(concurrency=1)
    job = NewJob(
        "tasks.test.work", kwargs={"kind": kind, "seconds": 60}, timeout_s=CLAIMED_WITHIN_S
    )
    row = cluster.wait(submit(job)["id"])
    assert (row["state"], row["attempt"]) == ("FAILED", 1)
    assert row["error"]["code"] == "time_limit"
    assert "soft" in row["error"]["message"]


@pytest.mark.parametrize(
    ("kind", "database_url"),
    [("native", "sqlite"), ("stubborn", "postgresql")],
    indirect=["database_url"],
)
def test_the_hard_limit_ends_what_the_soft_one_cannot(cluster: Cluster, kind: str) -> None:
    worker = cluster.worker(concurrency=1)
    job = NewJob(
        "tasks.test.work",
        kwargs={"kind": kind, "seconds": 60},
        soft_limit_s=CLAIMED_WITHIN_S,
        hard_limit_s=CLAIMED_WITHIN_S + 1.0,
    )
    row = cluster.wait(submit(job)["id"])
    assert (row["state"], row["attempt"]) == ("FAILED", 1)
    assert "hard" in row["error"]["message"]
    after = submit(NewJob("tasks.test.echo", kwargs={"value": "next"}))
    assert cluster.wait(after["id"])["result"] == "next"
    assert worker.alive()


@pytest.mark.parametrize(
    ("kind", "database_url"),
    [("sleep", "sqlite"), ("stubborn", "postgresql"), ("native", "sqlite")],
    indirect=["database_url"],
)
def test_a_running_job_is_cancelled_even_when_it_does_not_listen(
    cluster: Cluster, kind: str
) -> None:
    worker = cluster.worker(concurrency=1)
    row = submit(NewJob("tasks.test.work", kwargs={"kind": kind, "seconds": 120}))
    cluster.wait_state(row["id"], "RUNNING")
    jobs.cancel(row["id"])
    jobs.cancel(row["id"])
    assert cluster.wait(row["id"])["state"] == "CANCELLED"
    after = submit(NewJob("tasks.test.echo", kwargs={"value": "next"}))
    assert cluster.wait(after["id"])["result"] == "next"
    assert worker.alive()


def test_many_quick_cancels_all_end_in_a_final_state(cluster: Cluster) -> None:
    cluster.worker(concurrency=2)
    ids = [
        submit(NewJob("tasks.test.work", kwargs={"kind": "sleep", "seconds": 0.01}))["id"]
        for _ in range(100)
    ]
    for job_id in ids:
        jobs.cancel(job_id)
    states = {cluster.wait(job_id)["state"] for job_id in ids}
    assert states <= {"CANCELLED", "SUCCEEDED"}
    after = submit(NewJob("tasks.test.echo", kwargs={"value": "next"}))
    assert cluster.wait(after["id"])["result"] == "next"


@only_sqlite
def test_a_transient_error_is_retried_until_it_heals(cluster: Cluster) -> None:
    cluster.environment["MATERIA_CELERY_TASK_ANNOTATIONS"] = (
        '{"*": {"max_retries": 3, "default_retry_delay": 0.2}}'
    )
    cluster.worker(concurrency=1)
    cluster.scheduler()
    kwargs = {"path": str(cluster.folder / "attempts"), "succeed_at": 3}
    row = cluster.wait(submit(NewJob("tasks.test.transient", kwargs=kwargs))["id"])
    assert (row["state"], row["result"], row["attempt"]) == ("SUCCEEDED", 3, 3)


@only_postgresql
def test_progress_and_log_stay_with_the_job(cluster: Cluster) -> None:
    cluster.worker(concurrency=1)
    row = submit(NewJob("tasks.test.progress", kwargs={"total": 8, "pause_s": 0.5}))
    wait_until(lambda: (jobs.get(row["id"])["progress"] or {}).get("done"), "progress is kept")
    seen = jobs.get(row["id"])["progress"]
    assert seen["total"] == 8
    assert jobs.log_page(row["id"], 0, 1000)[0]
    final = cluster.wait(row["id"])
    assert final["progress"]["done"] == 8
    assert [line["text"] for line in jobs.log_page(row["id"], 0, 1000)[0]] == [
        text for i in range(8) for text in (f"part {i}: {i} of 8", f"at part {i}")
    ]


@only_postgresql
def test_a_worker_that_is_told_to_stop_finishes_or_gives_back(cluster: Cluster) -> None:
    first = cluster.worker(concurrency=2)
    cluster.scheduler()
    short = submit(NewJob("tasks.test.work", kwargs={"kind": "sleep", "seconds": 1}))["id"]
    path = cluster.folder / "runs"
    long = submit(
        NewJob("tasks.test.note", kwargs={"path": str(path), "value": "x", "sleep_s": 8})
    )["id"]
    for job_id in (short, long):
        cluster.wait_state(job_id, "RUNNING")
    first.stop()
    assert jobs.get(short)["state"] == "SUCCEEDED"
    assert jobs.get(long)["state"] == "QUEUED"
    assert jobs.get(long)["attempt"] == 0
    cluster.worker(concurrency=2)
    row = cluster.wait(long)
    assert (row["state"], row["attempt"], row["crashes"]) == ("SUCCEEDED", 1, 0)


@only_sqlite
def test_children_end_with_their_worker(cluster: Cluster) -> None:
    worker = cluster.worker(concurrency=2)
    children = worker.children()
    assert len(children) == 2
    os.kill(worker.pid, signal.SIGKILL)
    wait_until(lambda: not any(map(is_running, children)), "the children are gone")


def test_a_child_whose_worker_died_before_it_began_ends_too(tmp_path: Path) -> None:
    done = tmp_path / "done"
    code = f"""
import os, time
from materia.tasks import process
parent = os.getpid()
if os.fork():
    os._exit(0)
while os.getppid() == parent:
    time.sleep(0.01)
process.die_with_parent()
open({str(done)!r}, "w").close()
"""
    program = subprocess.run(
        [sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, timeout=60
    )
    # The pipe of the output is closed when the orphan, too, has ended.
    assert program.stdout == b""
    assert not done.exists()


@only_sqlite
def test_plain_messages_that_died_with_their_worker_are_taken_by_another(
    cluster: Cluster,
) -> None:
    cluster.scheduler()
    first = cluster.worker("--prefetch-multiplier=4", concurrency=1)
    client = cluster.client()
    answers = [client.send_task("tasks.test.work", args=["sleep", 1]) for _ in range(6)]
    cluster.wait_state(answers[0].id, "RUNNING")
    with cluster.redis.client() as redis:
        wait_until(lambda: redis.hlen("unacked") > 1, "the worker holds a message in reserve")
    first.kill()
    cluster.worker(concurrency=2)
    assert [answer.get(timeout=120) for answer in answers] == ["sleep"] * 6
    with cluster.redis.client() as redis:
        assert redis.hlen("unacked") <= 1


def test_two_claims_of_one_child_leave_the_newer_one(cluster: Cluster) -> None:
    older, newer = (submit(NewJob("tasks.test.echo")) for _ in range(2))
    claimant = execution.Claimant(boot="boot", worker="w@host")
    execution.claim(older["id"], claimant)
    execution.claim(newer["id"], claimant)
    Keeper("boot", lambda: {os.getpid()}).look(renew=True)
    assert jobs.get(older["id"])["state"] == "QUEUED"
    assert jobs.get(newer["id"])["state"] == "RUNNING"
