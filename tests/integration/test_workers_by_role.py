"""Workers by role, as an operator starts them: who takes what, how they go, and who is told."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest
from typer.testing import CliRunner

from campaigns_under_test import branin_currin, finished
from fixtures import only_sqlite
from materia import cli
from materia.client import Client
from materia.services import campaigns, jobs, workers
from materia.services.submission import NewJob, submit
from materia.store import events as event_rows
from materia.store import jobs as job_rows
from materia.store.database import database
from servers import wait_until
from serving import InProcess, serving_commands
from workers import Cluster

LIGHT = "--queues=high_priority,default,low_priority"
GPU = "--queues=gpu_training"


def known(name: str) -> dict[str, Any]:
    """Return the newest worker of a name."""
    found = [row for row in workers.every() if row["name"].startswith(name)]
    return max(found, key=lambda row: row["started_at"], default={"state": None, "queues": []})


def states(boot: str) -> list[str]:
    """Return the states that were told of a worker, in order."""
    with database().read() as connection:
        told = event_rows.after(connection, f"worker:{boot}", 0, 100)
    assert [event["number"] for event in told] == list(range(1, len(told) + 1))
    assert {event["type"] for event in told} == {"worker_state_changed"}
    return [event["data"]["state"] for event in told]


@only_sqlite
def test_training_goes_to_a_gpu_worker_and_to_the_others_without_one(cluster: Cluster) -> None:
    from materia.api.app import create_app

    cluster.scheduler()
    cluster.worker()
    wait_until(lambda: known("w1@")["state"] == "online", "the general worker is seen")
    assert "gpu_training" in known("w1@")["queues"]
    gpu = cluster.worker(GPU, concurrency=1)
    # Whoever takes everything leaves training to who is there for it.
    wait_until(lambda: "gpu_training" not in known("w1@")["queues"], "the queue is left")
    ended = finished(cluster, campaigns.run(branin_currin(optimizer={"budget": 14}))["campaign_id"])
    assert ended["state"] == "completed"
    rows, _ = jobs.page(100, campaign_id=ended["id"])
    trained = [row for row in rows if row["step"] == "train_surrogate"]
    assert trained
    assert all(row["queue"] == "gpu_training" for row in trained)
    assert all(row["worker"].startswith("w2@") for row in trained)

    with Client("http://test", transport=InProcess(create_app(), raises=True)) as client:
        listed = {worker["name"].split("@")[0]: worker for worker in client.workers.list()["items"]}
        queues = {queue["queue"]: queue for queue in client.queues()}
        assert client.cluster()["status"] == "not_checked"
    assert listed["w2"]["pid"] == gpu.pid
    assert listed["w2"]["concurrency"] == 1
    assert listed["w2"]["queues"] == ["gpu_training"]
    assert set(listed["w2"]["versions"]) >= {"materia", "python", "celery"}
    assert queues["gpu_training"]["workers"] == [listed["w2"]["name"]]

    # A stop gives back what cannot end in time, and counts no attempt.
    boot = known("w2@")["boot"]
    job = submit(NewJob(task="tasks.test.work", args=("sleep", 600.0), queue="gpu_training"))
    cluster.wait_state(job["id"], "RUNNING")
    gpu.process.send_signal(signal.SIGTERM)
    wait_until(lambda: known("w2@")["state"] == "draining", "it drains")
    assert gpu.stop(timeout_s=15) == 0
    assert states(boot) == ["online", "draining", "offline"]
    with database().read() as connection:
        (left,) = event_rows.after(connection, f"worker:{boot}", 1, 1)
    # It was seen as long as it drained, and not only when it began to.
    assert known("w2@")["seen_at"] > left["time"] + 0.5
    # The general worker takes the queue again.
    cluster.wait_state(job["id"], "RUNNING")
    row = jobs.get(job["id"])
    assert row["worker"].startswith("w1@")
    assert (row["attempt"], row["queue"]) == (1, "gpu_training")
    jobs.cancel(job["id"])

    killed = cluster.worker(GPU, concurrency=1)
    wait_until(lambda: known("w3@")["state"] == "online", "the next one is seen")
    boot = known("w3@")["boot"]
    killed.kill()
    wait_until(lambda: states(boot)[-1] == "lost", "its loss is told")
    assert "not heard of for 3 s" in str(known("w3@")["reason"])


@only_sqlite
def test_jobs_that_wait_for_a_gpu_worker_in_vain_go_on_without_one(cluster: Cluster) -> None:
    cluster.environment["MATERIA_GPU_PATIENCE_S"] = "1"
    cluster.scheduler()
    cluster.worker(LIGHT)
    plain = cluster.client().send_task("tasks.simple_tasks.ping", queue="gpu_training", priority=9)
    job = submit(NewJob(task="tasks.simple_tasks.ping", queue="gpu_training"))
    row = cluster.wait(job["id"])
    assert (row["state"], row["queue"], row["attempt"]) == ("SUCCEEDED", "default", 1)
    with database().read() as connection:
        told = event_rows.after(connection, f"job:{job['id']}", 0, 100)
        (line,) = job_rows.log_after(connection, job["id"], 0, 10)
    (moved,) = [event["data"] for event in told if "moved_from" in event["data"]]
    assert (moved["moved_from"], moved["queue"]) == ("gpu_training", "default")
    assert "no worker has taken the queue gpu_training for 1 s" in moved["reason"]
    assert line["text"].startswith("moved to the queue default: no worker")
    assert plain.get(timeout=60) == {"status": "pong", "worker": "celery"}


def test_only_a_worker_that_was_lost_comes_back(backends: dict[str, str]) -> None:
    workers.seen("b", "general@lab", ["default"], 1, host="lab", pid=7)
    workers.seen("b", "general@lab", ["default", "ml"], 2)
    assert states("b") == ["online"]
    with database().write() as connection:
        connection.exec_driver_sql("UPDATE workers SET seen_at = seen_at - 1000")
    assert workers.note_lost() == 1
    assert workers.note_lost() == 0
    assert workers.living() == []
    workers.seen("b", "general@lab", ["default"], 1)
    assert [row["boot"] for row in workers.living()] == ["b"]
    workers.leave("b")
    workers.leave("b")
    assert workers.living() == []
    # One that drains says so again and again, and is lost without; cut off, it comes back as such.
    with database().write() as connection:
        connection.exec_driver_sql("UPDATE workers SET seen_at = seen_at - 1000")
    workers.leave("b")
    assert workers.note_lost() == 0
    with database().write() as connection:
        connection.exec_driver_sql("UPDATE workers SET seen_at = seen_at - 1000")
    assert workers.note_lost() == 1
    workers.leave("b")
    workers.gone("b")
    workers.leave("b")
    workers.seen("b", "general@lab", ["default"], 1)
    drained = ["draining", "lost", "draining", "offline"]
    assert states("b") == ["online", "lost", "online", *drained]
    (row,) = workers.every()
    assert (row["state"], row["reason"], row["host"], row["pid"]) == (
        "offline",
        "stopped",
        "lab",
        7,
    )


@only_sqlite
def test_a_command_lists_workers(backends: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def printed(*arguments: str) -> str:
        result = CliRunner().invoke(cli.app, ["worker", "list", *arguments])
        assert result.exit_code == 0, result.output
        return str(result.output)

    with serving_commands(monkeypatch):
        assert "no worker; `materia up` or `materia worker` starts one" in printed()
        device = {"versions": {"materia": "1", "torch_device": "cuda: H200"}}
        workers.seen("b", "gpu@lab", ["gpu_training"], 1, host="lab", pid=7, **device)
        workers.seen("c", "general@lab", ["default"], 4)
        workers.gone("c")
        shown = printed()
        assert "gpu@lab" in shown
        assert "0 of 1" in shown
        assert "cuda: H200" in shown
        assert "offline" in shown
        assert "gpu@lab" not in printed("--state", "offline")
        (worker,) = json.loads(printed("--state", "online", "--json"))["items"]
    assert worker["versions"] == {"materia": "1"}
    assert worker["device"] == "cuda: H200"
