"""The check of health: what it finds, and that a change is told once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner

from fixtures import only_sqlite
from materia import cli, settings
from materia.broker.app import app
from materia.client import Client
from materia.services import cluster_health, health, jobs, submission, workers
from materia.services.canaries import PING
from materia.services.dispatch import LEADER
from materia.services.notifications import SEND
from materia.services.submission import NewJob
from materia.services.work import unit_of_work
from materia.store import health as health_rows
from materia.store import leases
from materia.store.database import database
from materia.store.jobs import JobState, Row
from materia.store.tables import jobs as job_table
from servers import wait_until
from serving import ThreadServer
from workers import Cluster


@pytest.fixture
def installation(backends: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A scheduler and a worker as rows; the database and the broker are real."""
    monkeypatch.setenv("MATERIA_NOTIFY_CHANNELS", '{"default": "json://127.0.0.1:9/"}')
    # A busy machine must not make the worker below look dead.
    monkeypatch.setenv("MATERIA_LEASE_S", "60")
    settings.current.cache_clear()

    def alive() -> None:
        with database().write() as connection:
            leases.acquire(database(), connection, LEADER, "test", 600.0)
        workers.seen("b", "general@lab", ["default", "ml"], 1)

    alive()
    return alive


def keep(outcome: Any) -> None:
    """Commit what a check found, as the end of its job does."""
    with unit_of_work() as work:
        outcome.effects(work)


def check() -> Row:
    outcome = cluster_health.check_cluster_health()
    keep(outcome)
    return dict(outcome.result)


def of_task(task: str) -> list[Row]:
    rows, _ = jobs.page(100, task=task)
    return list(rows)


def finish(row: Row, state: JobState = JobState.SUCCEEDED) -> None:
    with database().write() as connection:
        now = database().now()
        values = {"state": state, "finished_at": now}
        connection.execute(job_table.update().where(job_table.c.id == row["id"]).values(values))


def age(row: Row, seconds: float) -> None:
    with database().write() as connection:
        values = {"queued_at": row["queued_at"] - seconds}
        connection.execute(job_table.update().where(job_table.c.id == row["id"]).values(values))


def state() -> Row:
    with database().read() as connection:
        found = health_rows.get(connection, cluster_health.NAME)
    assert found is not None
    return found


def test_a_canary_travels_through_each_served_queue_and_none_is_left_behind(
    installation: Callable[[], None],
) -> None:
    assert check()["status"] == "healthy"
    sent = of_task(PING)
    assert {row["queue"] for row in sent} == {"default", "ml"}
    assert {row["priority"] for row in sent} == {9}
    # One that still waits is not joined by a second.
    check()
    assert {row["id"] for row in of_task(PING)} == {row["id"] for row in sent}
    for row in sent:
        finish(row)
    found = check()
    queues = found["parts"]["workers"]["queues"]
    assert queues["default"]["canary"].startswith("answered after")
    assert queues["data"]["canary"] == "no worker takes this queue"
    new = of_task(PING)
    assert len(new) == 2
    assert not {row["id"] for row in new} & {row["id"] for row in sent}


def test_a_change_is_told_once_and_only_a_change(installation: Callable[[], None]) -> None:
    assert check()["status"] == "healthy"
    assert of_task(SEND) == []
    work = submission.submit(NewJob(task="tasks.data_tasks.process_new_data"))
    assert check()["status"] == "healthy"  # submitted just now
    age(work, 600.0)
    found = check()
    assert found["status"] == "degraded"
    assert found["reasons"] == ["workers: queue data: 1 job waits and no worker takes this queue"]
    since = state()["since"]
    check()
    (told,) = of_task(SEND)
    assert told["kwargs"]["channel"] == "default"
    assert "degraded; it was healthy" in told["kwargs"]["message"]
    assert "queue data" in told["kwargs"]["message"]
    assert state()["since"] == since
    jobs.cancel(work["id"])
    assert check()["status"] == "healthy"
    assert len(of_task(SEND)) == 2


def test_two_checks_at_once_tell_and_send_once(installation: Callable[[], None]) -> None:
    work = submission.submit(NewJob(task="tasks.data_tasks.process_new_data"))
    age(work, 600.0)
    outcomes = [cluster_health.check_cluster_health() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(keep, outcomes))
    assert {outcome.result["status"] for outcome in outcomes} == {"degraded"}
    assert len(of_task(SEND)) == 1
    assert len(of_task(PING)) == 2
    assert state()["version"] == 1


def test_a_canary_that_is_not_taken_is_a_fault_and_one_without_a_worker_is_put_away(
    installation: Callable[[], None],
) -> None:
    check()
    for row in of_task(PING):
        age(row, 600.0)
    with database().write() as connection:
        from materia.store.tables import workers as table

        connection.execute(table.update().values(started_at=0.0))
    found = check()
    assert found["status"] == "degraded"
    assert all("general@lab could have taken it" in reason for reason in found["reasons"])
    workers.seen("b", "general@lab", ["default"], 1)
    check()
    assert {row["queue"]: row["state"] for row in of_task(PING)} == {
        "default": "QUEUED",
        "ml": "CANCELLED",
    }
    check()
    assert [row["queue"] for row in of_task(PING)] == ["default"]


@only_sqlite
def test_what_is_missing_is_named(
    installation: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    workers.leave("b")
    with database().write() as connection:
        leases.release(connection, LEADER, "test")
    monkeypatch.setenv("MATERIA_LOW_DISK_BYTES", str(10**18))
    monkeypatch.setenv("MATERIA_BROKER_URL", "redis://127.0.0.1:1/0")
    settings.current.cache_clear()
    found = cluster_health.look()
    assert found["status"] == "unhealthy"
    statuses = {name: part["status"] for name, part in found["parts"].items()}
    assert statuses == {
        "database": "healthy",
        "broker": "unhealthy",
        "scheduler": "unhealthy",
        "disk": "unhealthy",
        "workers": "unhealthy",
        "cluster": "not_checked",
        "check": "not_configured",
    }
    assert "no worker is alive" in "".join(found["reasons"])


@only_sqlite
def test_without_a_database_the_report_still_comes(
    installation: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MATERIA_DATABASE_URL", "sqlite:////nowhere/materia.db")
    settings.current.cache_clear()
    found = cluster_health.look()
    assert found["status"] == "unhealthy"
    assert found["parts"]["workers"]["reasons"][0].startswith("not known")


@only_sqlite
def test_api_client_and_command_show_the_same(
    installation: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    check()
    with ThreadServer() as server, Client(server.url) as client:
        monkeypatch.setenv("MATERIA_SERVER", server.url)
        found = client.health()
        shown = CliRunner().invoke(cli.app, ["health"])
        assert (found["status"], shown.exit_code) == ("healthy", cli.OK), shown.output
        assert "general@lab" in shown.stdout
        assert found["parts"]["check"]["checked_at"] is not None
        workers.leave("b")
        shown = CliRunner().invoke(cli.app, ["health"])
        assert shown.exit_code == cli.FAILED
        assert "no worker is alive" in shown.stdout
        plain = CliRunner().invoke(cli.app, ["health", "--json"])
        assert json.loads(plain.stdout)["status"] == "unhealthy"


@only_sqlite
def test_a_worker_of_one_process_checks_itself(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check holds the only process that can answer a canary, and still comes to its end."""
    monkeypatch.setenv("MATERIA_LEASE_S", "20")
    cluster.environment["MATERIA_LEASE_S"] = "20"
    settings.current.cache_clear()
    worker = cluster.worker("--queues=default,low_priority", concurrency=1)
    cluster.scheduler()
    wait_until(lambda: not any(health.checks().values()), "the scheduler leads")
    for _ in range(2):
        job = submission.submit(NewJob(task=cluster_health.CHECK))
        result = cluster.wait(job["id"])["result"]
        for canary in state()["canaries"].values():
            assert cluster.wait(canary)["state"] == JobState.SUCCEEDED
    assert result["status"] == "healthy", result
    queues = result["parts"]["workers"]["queues"]
    for name in ("default", "low_priority", "celery"):
        assert queues[name]["canary"].startswith("answered after"), queues
    assert queues["ml"]["canary"] == "no worker takes this queue"
    (seen,) = workers.living()
    assert (seen["n_processes"], sorted(seen["queues"])) == (
        1,
        ["celery", "default", "low_priority"],
    )
    worker.stop()
    assert workers.living() == []
    assert set(health.checks()) <= set(cluster_health.look()["parts"])
    assert app.conf.beat_schedule["cluster-health-check"]["task"] == cluster_health.CHECK


def node(address: str, state: str, message: str | None = None) -> Row:
    """Return a node as a Ray head tells of it."""
    resources = {"CPU": 8.0, "memory": 2**33}
    return {
        "node_id": address,
        "node_ip": address,
        "state": state,
        "state_message": message,
        "resources_total": resources,
    }


class Head(BaseHTTPRequestHandler):
    """The part of a head's HTTP interface that tells of its nodes."""

    nodes: ClassVar[list[Row]] = []

    def do_GET(self) -> None:
        """Answer as Ray 2.60 does."""
        found = {"result": True, "msg": "", "data": {"result": {"result": self.nodes}}}
        content = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@only_sqlite
def test_lost_nodes_of_a_cluster_are_named(
    installation: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Head) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MATERIA_RAY_ADDRESS", "127.0.0.1:6380")
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("MATERIA_RAY_DASHBOARD_URL", url)
        settings.current.cache_clear()
        good = [
            node("10.0.0.1", "ALIVE"),
            node("10.0.0.1", "DEAD", "health check failed"),
            node("10.0.0.2", "DEAD", "Expected termination: received SIGTERM"),
        ]
        Head.nodes = good
        found = check()
        assert (found["status"], len(found["parts"]["cluster"]["nodes"])) == ("healthy", 3)
        Head.nodes = [*good, node("10.0.0.3", "DEAD", "health check failed")]
        found = check()
        assert found["status"] == "degraded"
        assert found["reasons"] == ["cluster: node 10.0.0.3: health check failed"]
        # The API, which asks no cluster, tells what the check has found.
        assert cluster_health.look()["parts"]["cluster"] == found["parts"]["cluster"]
        Head.nodes = good[1:]
        assert "cluster: no node is alive" in check()["reasons"]
        server.shutdown()
    found = check()
    assert (found["status"], found["parts"]["cluster"]["status"]) == ("unhealthy", "unhealthy")
