"""`materia up`: the whole stack as a user starts it, and what happens when parts of it die."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import redis
from celery import Celery

from materia.stack.orphans import MARK
from servers import PostgresServer, RedisServer, free_port, is_alive, wait_until
from stacks import Stack, materia

LONG_RUNNING = ("redis", "api", "worker", "scheduler")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("stack") / "data", n_workers=4)
    stack.start()
    yield stack
    stack.stop()


def ping(stack: Stack) -> dict[str, str]:
    """Send a job as a plain Celery client does and return its answer."""
    found = stack.state()
    with Celery(
        broker=found["broker_url"], backend=found["result_backend"], set_as_current=False
    ) as app:
        return app.send_task("tasks.simple_tasks.ping").get(timeout=120)


SLOW = {
    "name": "slow",
    "parameters": [
        {"name": "x1", "type": "continuous", "bounds": [0, 1]},
        {"name": "x2", "type": "continuous", "bounds": [0, 1]},
    ],
    "objectives": [
        {"name": "branin", "direction": "minimize"},
        {"name": "currin", "direction": "minimize"},
    ],
    "evaluator": {"type": "function", "options": {"name": "branin_currin", "delay_s": 600}},
    "optimizer": {"budget": 4, "batch_size": 4},
}


def start_slow_campaign(stack: Stack) -> None:
    """Start a campaign and wait until a worker is busy with an evaluation."""
    found = stack.state()
    httpx.post(
        f"{found['api_url']}/api/v1/campaigns/run",
        json=SLOW,
        headers={"Authorization": f"Bearer {found['api_key']}"},
    ).raise_for_status()
    wait_until(lambda: ("RUNNING", 0) in evaluations(stack), "a worker is busy")


def evaluations(stack: Stack) -> list[tuple[str, int]]:
    """Return state and number of crashes of every evaluation's job."""
    query = "SELECT state, crashes FROM jobs WHERE task LIKE '%.evaluate_candidates'"
    with closing(sqlite3.connect(stack.data_dir / "materia.db")) as connection:
        return connection.execute(query).fetchall()


def test_a_plain_celery_client_gets_its_answer(stack: Stack) -> None:
    assert ping(stack) == {"status": "pong", "worker": "celery"}


def test_a_stack_for_this_machine_warns_of_nothing(stack: Stack) -> None:
    assert httpx.get(f"http://127.0.0.1:{stack.port}/api/v1/health/live").status_code == 200
    assert "MatCraft is ready" in stack.output()
    assert "warning" not in stack.output()
    assert "other machines" not in stack.output()


def test_status_tells_scripts_where_everything_is(stack: Stack) -> None:
    told = materia("status", "--data-dir", stack.data_dir, "--json")
    assert told.returncode == 0
    found = json.loads(told.stdout)
    assert found["ready"] is True
    assert found["api_url"] == f"http://127.0.0.1:{stack.port}"
    assert found["database_url"] == f"sqlite:///{stack.data_dir / 'materia.db'}"
    assert Path(found["data_root"]).is_dir()
    assert {p["name"]: p["state"] for p in found["processes"]} == dict.fromkeys(
        LONG_RUNNING, "ready"
    )
    assert all(is_alive(process["pid"]) for process in found["processes"])
    with redis.Redis.from_url(found["broker_url"]) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_secrets_are_shown_to_scripts_only(stack: Stack) -> None:
    found = stack.state()
    password = found["broker_url"].split(":")[2].split("@")[0]
    told = materia("status", "--data-dir", stack.data_dir).stdout
    for secret in (found["api_key"], password):
        assert len(secret) >= 32
        assert secret not in told
        assert secret not in stack.output()
        for pid in [stack.pid, *stack.pids().values(), *stack.left()]:
            assert secret not in Path(f"/proc/{pid}/cmdline").read_text()


def test_the_data_folder_is_private(stack: Stack) -> None:
    assert stat.S_IMODE(stack.data_dir.stat().st_mode) == 0o700
    files = [p for p in stack.data_dir.rglob("*") if p.is_file() and not p.is_symlink()]
    assert [str(p) for p in files if p.stat().st_mode & 0o077] == []


def test_the_embedded_redis_asks_for_its_password(stack: Stack) -> None:
    port = int(stack.state()["broker_url"].rsplit(":", 1)[1].split("/")[0])
    with redis.Redis(port=port) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_an_idle_stack_needs_little_memory(stack: Stack) -> None:
    sizes = stack.pss_mb()
    assert sum(sizes.values()) <= 450, sizes


def test_doctor_finds_a_worker_for_every_queue(stack: Stack) -> None:
    told = materia("doctor", "--data-dir", stack.data_dir, "--json")
    checks = {check["name"]: check for check in json.loads(told.stdout)["checks"]}
    assert [c for c in checks.values() if c["level"] == "fail"] == []
    for queue in ("high_priority", "default", "low_priority", "gpu_training", "ml", "data"):
        assert checks[f"queue {queue}"]["level"] == "ok"
    assert told.returncode == 0


def test_a_second_start_on_the_folder_is_refused(stack: Stack) -> None:
    told = materia("up", "--data-dir", stack.data_dir, "--port", free_port())
    assert told.returncode == 1
    assert f"pid {stack.pid}" in told.stderr
    assert "--data-dir" in told.stderr
    assert stack.is_ready()


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        told = materia("up", "--data-dir", tmp_path / "data", "--port", port)
    assert told.returncode == 1
    assert f"port {port}" in told.stderr
    assert "--port" in told.stderr


def test_a_folder_that_cannot_be_made_is_named() -> None:
    told = materia("up", "--data-dir", "/proc/materia", "--port", free_port())
    assert told.returncode == 1
    assert "/proc/materia" in told.stderr


def test_status_of_a_folder_without_a_stack_says_how_to_start_one(tmp_path: Path) -> None:
    told = materia("status", "--data-dir", tmp_path / "none")
    assert told.returncode == 1
    assert "materia up" in told.stdout


def test_a_stack_works_with_a_database_and_a_broker_of_somebody_else(
    tmp_path: Path, postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    url = postgres_server.create_database()
    env = {"MATERIA_DATABASE_URL": url, "MATERIA_BROKER_URL": redis_server.url()}
    stack = Stack(tmp_path / "data", env=env)
    stack.start()
    assert ping(stack) == {"status": "pong", "worker": "celery"}
    found = stack.state()
    assert (found["database_url"], found["broker_url"]) == (url, redis_server.url())
    assert set(stack.pids()) == set(LONG_RUNNING) - {"redis"}
    assert not (stack.data_dir / "materia.db").exists()
    assert stack.stop() == 0
    postgres_server.drop_database(url)


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_a_killed_process_is_started_again(stack: Stack, name: str) -> None:
    before = stack.pids()
    os.kill(before[name], signal.SIGKILL)
    wait_until(lambda: stack.pids()[name] not in (before[name], None), f"{name} is started again")
    wait_until(stack.is_ready, "the stack is ready again", 120)
    after = stack.pids()
    assert {n for n in LONG_RUNNING if after[n] != before[n]} == {name}
    assert ping(stack) == {"status": "pong", "worker": "celery"}


def test_a_stopped_stack_leaves_nothing_and_goes_on_where_it_was(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "data", env={"MATERIA_SHUTDOWN_GRACE_S": "1"})
    stack.start()
    start_slow_campaign(stack)
    before = stack.state()
    pids = stack.pids().values()
    escaped = subprocess.Popen(["sleep", "600"], env={**os.environ, MARK: stack.stack_id()})
    # The kernel shows the environment of a new program a moment after it runs.
    wait_until(lambda: escaped.pid in stack.left(), "the process is seen")
    stack.signal(signal.SIGTERM)
    assert stack.stop() == 0, stack.output()
    assert escaped.wait() == -signal.SIGKILL
    assert stack.left() == []
    assert [pid for pid in pids if is_alive(pid)] == []
    assert materia("status", "--data-dir", stack.data_dir).returncode == 1

    stack.start()
    after = stack.state()
    assert after["api_key"] == before["api_key"]
    assert after["broker_url"] == before["broker_url"]
    wait_until(lambda: ("RUNNING", 0) in evaluations(stack), "a worker is busy again")
    assert {state for state, _ in evaluations(stack)} <= {"QUEUED", "RUNNING"}

    everybody = {*stack.left(), *stack.pids().values()}
    assert len(everybody) > len(LONG_RUNNING)
    stack.signal(signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, everybody)), "a killed supervisor leaves nothing")
    assert stack.state()["ready"] is False
