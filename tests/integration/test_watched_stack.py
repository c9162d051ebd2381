"""What an operator sees of a stack: through Flower, through the doctor, and as a backup of it."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery

from materia.cli import doctor
from materia.stack.checks import Check, examine
from materia.stack.environment import read_settings
from servers import free_port, wait_until
from stacks import Stack, materia

USER, PASSWORD = "lab", "of-the-lab, really"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack with Flower, whose worker has read the test's own tasks."""
    env = {
        "FLOWER_USER": USER,
        "FLOWER_PASSWORD": PASSWORD,
        "FLOWER_PORT": str(free_port()),
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "MATERIA_CELERY_INCLUDE": '["job_bodies"]',
        # Canaries of the health check would wait among the jobs that a test counts.
        "MATERIA_CELERY_BEAT_SCHEDULE": "{}",
    }
    stack = Stack(
        tmp_path_factory.mktemp("flower") / "data", n_workers=1, env=env, options=("--flower",)
    )
    stack.start()
    yield stack
    stack.stop()


@pytest.fixture(scope="module")
def flower(stack: Stack) -> Iterator[httpx.Client]:
    """Return a client of Flower's HTTP interface, after the worker began to send events."""
    url = stack.state()["flower_url"]
    with httpx.Client(base_url=url, auth=(USER, PASSWORD), timeout=60) as client:
        wait_until(lambda: send_and_look(stack, client, "echo"), "Flower sees jobs")
        yield client


def send(stack: Stack, body: str, **options: Any) -> Any:
    """Send a message as a plain client does and return its handle."""
    found = stack.state()
    app = Celery(broker=found["broker_url"], backend=found["result_backend"], set_as_current=False)
    return app.send_task(f"tasks.test.{body}", **options)


def seen(client: httpx.Client, task_id: str) -> dict[str, Any]:
    """Return what Flower knows of a task; empty when it does not."""
    answer = client.get(f"/api/task/info/{task_id}")
    return answer.json() if answer.status_code == 200 else {}


def send_and_look(stack: Stack, client: httpx.Client, body: str) -> bool:
    """Tell whether a job was seen from its arrival to its end."""
    sent = send(stack, body)
    sent.get(timeout=60)
    return seen(client, sent.id).get("state") == "SUCCESS"


def wait_seen(client: httpx.Client, task_id: str, state: str) -> dict[str, Any]:
    """Wait until Flower shows a state."""
    wait_until(lambda: seen(client, task_id).get("state") == state, f"{task_id} is {state}")
    return seen(client, task_id)


def test_flower_is_a_process_of_the_stack(stack: Stack) -> None:
    told = materia("status", "--data-dir", stack.data_dir).stdout
    assert "flower" in told
    assert PASSWORD not in told
    assert PASSWORD not in stack.output()


def test_flower_asks_for_user_and_password_also_for_its_metrics(flower: httpx.Client) -> None:
    for path in ("/workers", "/api/workers", "/api/queues/length", "/metrics"):
        assert httpx.get(f"{flower.base_url}{path}", timeout=60).status_code == 401, path
        wrong = httpx.get(f"{flower.base_url}{path}", auth=(USER, "wrong"), timeout=60)
        assert wrong.status_code == 401, path
        assert flower.get(path).status_code == 200, path


def test_history_shows_a_job_that_succeeded(stack: Stack, flower: httpx.Client) -> None:
    sent = send(stack, "echo", args=["aluminium"])
    sent.get(timeout=60)
    found = wait_seen(flower, sent.id, "SUCCESS")
    assert found["name"] == "tasks.test.echo"
    assert found["result"] == "'aluminium'"
    assert found["worker"].startswith("general@")
    assert sent.id in flower.get("/api/tasks").json()


def test_a_failed_job_has_its_traceback(stack: Stack, flower: httpx.Client) -> None:
    sent = send(stack, "fail", args=["the furnace is cold"])
    found = wait_seen(flower, sent.id, "FAILURE")
    assert "ValueError('the furnace is cold')" in found["exception"]
    assert "raise ValueError(message)" in found["traceback"]


def test_jobs_that_were_stopped_are_not_shown_as_running(
    stack: Stack, flower: httpx.Client
) -> None:
    late = send(stack, "work", args=["sleep", 60], soft_time_limit=1, time_limit=30)
    assert "soft time limit" in wait_seen(flower, late.id, "FAILURE")["traceback"]

    cancelled = send(stack, "work", args=["sleep", 60])
    wait_seen(flower, cancelled.id, "STARTED")
    assert materia("job", "cancel", cancelled.id, "--data-dir", stack.data_dir).returncode == 0
    wait_seen(flower, cancelled.id, "REVOKED")


def test_queue_lengths_count_every_priority(stack: Stack, flower: httpx.Client) -> None:
    def length() -> int:
        queues = flower.get("/api/queues/length").json()["active_queues"]
        return next(queue["messages"] for queue in queues if queue["name"] == "low_priority")

    # What a worker has taken in advance is in no queue, so a consumer is taken away first.
    worker = next(iter(flower.get("/api/workers?refresh=1").json()))
    where = {"queue": "low_priority"}
    flower.post(f"/api/worker/queue/cancel-consumer/{worker}", params=where).raise_for_status()
    waiting = [send(stack, "echo", queue="low_priority", priority=n) for n in (0, 5, 9)]
    wait_until(lambda: length() == 3, "the messages are counted")
    flower.post(f"/api/worker/queue/add-consumer/{worker}", params=where).raise_for_status()
    for one in waiting:
        one.get(timeout=60)
    assert length() == 0


def test_a_pool_can_be_started_again(stack: Stack, flower: httpx.Client) -> None:
    worker = next(iter(flower.get("/api/workers?refresh=1").json()))
    answer = flower.post(f"/api/worker/pool/restart/{worker}")
    assert answer.status_code == 200, answer.text
    assert send(stack, "echo", args=["again"]).get(timeout=60) == "again"


def examined(stack: Stack) -> dict[str, list[Check]]:
    """Return what the doctor finds, by the name of the check."""
    found: dict[str, list[Check]] = {}
    for check in examine(doctor._place(read_settings(data_dir=stack.data_dir))):
        found.setdefault(check.name, []).append(check)
    return found


@contextmanager
def frozen(stack: Stack, name: str) -> Iterator[None]:
    """Stop a process of the stack, which looks like one that hangs."""
    pid = stack.pids()[name]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_the_doctor_finds_workers_that_do_nothing(stack: Stack) -> None:
    with frozen(stack, "worker"):
        waiting = send(stack, "echo", queue="data")
        # Plain messages become rows when a worker takes them; this one is a row that waits.
        old = materia("job", "submit", "simple_tasks.ping", "--data-dir", stack.data_dir)
        assert old.returncode == 0, old.stderr
        with closing(sqlite3.connect(stack.data_dir / "materia.db", timeout=60)) as connection:
            connection.execute("UPDATE jobs SET queued_at = queued_at - 500 WHERE state = 'QUEUED'")
            connection.commit()
        found = examined(stack)
        for queue in ("default", "ml", "data"):
            (check,) = found[f"queue {queue}"]
            assert (check.level, check.message) == ("warn", "no worker takes it")
        (late,) = found["waiting jobs"]
        assert late.level == "warn"
        assert late.message.startswith("1 wait in default, the oldest for 5")
    waiting.get(timeout=60)


def test_the_doctor_finds_tasks_that_fail(stack: Stack) -> None:
    for _ in range(3):
        send(stack, "fail", args=["the furnace is cold"])
    wait_until(
        lambda: any("fail" in check.message for check in examined(stack)["failed jobs"]),
        "the jobs have failed",
    )
    messages = [check.message for check in examined(stack)["failed jobs"]]
    assert any(
        text.startswith("tasks.test.fail: ") and text.endswith("the furnace is cold")
        for text in messages
    ), messages


def test_the_doctor_finds_a_redis_that_is_gone(stack: Stack) -> None:
    with frozen(stack, "redis"):
        (check,) = examined(stack)["broker"]
    assert check.level == "fail"
    assert "does not answer" in check.message
    assert check.fix


def test_the_doctor_finds_that_no_scheduler_runs(stack: Stack) -> None:
    assert examined(stack)["scheduler"][0].level == "ok"
    with frozen(stack, "scheduler"):
        wait_until(lambda: examined(stack)["scheduler"][0].level == "fail", "the lead is lost")


def test_a_running_stack_can_be_backed_up(stack: Stack, tmp_path: Path) -> None:
    archive = tmp_path / "lab.tar.gz"
    told = materia("backup", archive, "--data-dir", stack.data_dir)
    assert told.returncode == 0, told.stderr
    refused = materia("restore", archive, "--data-dir", stack.data_dir)
    assert refused.returncode == 1
    assert "a stack runs on" in refused.stderr


def test_the_command_refuses_a_user_without_password() -> None:
    command = [sys.executable, "-m", "celery", "-A", "materia.tasks", "flower", "--port=5555"]
    told = subprocess.run(
        command,
        env={**os.environ, "FLOWER_USER": USER, "FLOWER_PASSWORD": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode == 1
    assert "FLOWER_PASSWORD is empty" in told.stderr
    assert "set both FLOWER_USER and FLOWER_PASSWORD" in told.stderr
