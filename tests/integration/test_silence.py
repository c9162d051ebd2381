"""All workers gone: the scheduler tells of it, for nobody else is left."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fixtures import only_postgresql, only_sqlite
from materia import settings
from materia.services import cluster_health, jobs, schedules, silence, workers
from materia.services.dispatch import Dispatcher
from materia.services.notifications import SEND
from materia.services.silence import LEASES, Silence
from materia.services.work import unit_of_work
from materia.store.jobs import JobState
from servers import wait_until

LEASE_S = 60.0
PAGE = (Path(__file__).parents[2] / "docs" / "health-and-notifications.md").read_text()


class Desk(BaseHTTPRequestHandler):
    """Takes notifications."""

    server: Taken

    def do_POST(self) -> None:
        """Take one."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.messages.append(body["message"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Taken(ThreadingHTTPServer):
    """Keeps what the desk took."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Desk)
        self.messages: list[str] = []


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def desk(backends: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Taken]:
    """An installation with a leading scheduler, which somebody wants to be checked."""
    with Taken() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        channels = {"default": f"json://127.0.0.1:{server.server_port}/"}
        monkeypatch.setenv("MATERIA_NOTIFY_CHANNELS", json.dumps(channels))
        monkeypatch.setenv("MATERIA_NOTIFY_ALLOW_HOSTS", "127.0.0.1")
        monkeypatch.setenv("MATERIA_LEASE_S", str(LEASE_S))
        monkeypatch.setenv("MATERIA_SCAN_INTERVAL_S", "60")  # of the lead, which nobody renews here
        settings.current.cache_clear()
        assert Dispatcher("test").tick()  # makes the schedules of the configuration too
        workers.seen("b", "general@lab", ["default"], 1)
        check()
        yield server
        server.shutdown()


def check() -> str:
    outcome = cluster_health.check_cluster_health()
    with unit_of_work() as work:
        assert outcome.effects is not None
        outcome.effects(work)
    return str(outcome.result["status"])


@only_sqlite
def test_long_silence_is_told_once_by_the_scheduler_itself(desk: Taken) -> None:
    clock = Clock()
    watch, second = Silence(clock), Silence(clock)
    assert watch.look() is None
    workers.leave("b")
    # Workers may be away for a moment, as in every restart.
    for clock.now in (10.0, 100.0, 10.0 + LEASES * LEASE_S - 1):
        assert watch.look() is None
        second.look()
    clock.now += 10
    job_id = watch.look()
    assert job_id is not None
    wait_until(lambda: jobs.get(job_id)["state"] == JobState.SUCCEEDED, "the message is sent")
    (message,) = desk.messages
    assert "unhealthy; it was healthy" in message
    assert "workers: no worker is alive" in message
    assert cluster_health.look()["status"] == "unhealthy"
    clock.now += 1000
    assert (watch.look(), second.look()) == (None, None)

    # The first check of a worker that is back tells the end of it.
    workers.seen("c", "general@lab", ["default"], 1)
    assert check() == "healthy"
    assert jobs.page(10, task=SEND)[1] == 2


def test_silence_that_nobody_wants_to_hear_of_is_not_told(desk: Taken) -> None:
    workers.leave("b")
    schedules.pause("cluster-health-check")
    clock = Clock()
    watch = Silence(clock)
    for clock.now in (0.0, 1000.0):
        assert watch.look() is None
    assert jobs.page(10, task=SEND)[1] == 0


@only_postgresql
def test_what_cannot_be_sent_waits_for_a_worker(
    desk: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.shutdown()
    desk.server_close()
    workers.leave("b")
    job_id = cluster_health.note_silence()
    assert job_id is not None
    silence.deliver(job_id)
    assert jobs.get(job_id)["state"] == JobState.RETRYING
    silence.deliver(job_id)  # not due yet


def test_the_page_says_how_long() -> None:
    assert f"for {LEASES} leases ({LEASES * 30} seconds by default)" in PAGE
