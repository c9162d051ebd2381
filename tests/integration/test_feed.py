"""The live view of everything: all topics, once and in one order, over any number of views."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from materia.client import Client
from materia.events.models import EventType
from materia.services import feed, jobs, keys, workers
from materia.services.keys import NewKey
from materia.services.submission import NewJob, submit
from materia.services.work import unit_of_work
from materia.store import feed as feed_rows
from materia.store.database import database
from serving import BASE, BEARER, ThreadServer

PATIENCE_S = 30.0
PING = "tasks.simple_tasks.ping"


@pytest.fixture
def server(backends: dict[str, str]) -> Iterator[ThreadServer]:
    """Return a running API on either database."""
    with ThreadServer() as started:
        yield started


def open_view(server: ThreadServer, query: str = "") -> ClientConnection:
    url = f"{server.url.replace('http', 'ws')}{BASE}/ws/events{query}"
    return connect(url, max_queue=None, additional_headers=BEARER)


def received(view: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(view.recv(timeout=PATIENCE_S))
    return message


def ping() -> str:
    return str(submit(NewJob(task=PING))["id"])


def test_every_topic_is_followed_in_one_order_without_a_gap_or_a_double(
    server: ThreadServer,
) -> None:
    ping()
    with open_view(server) as view:
        begin = received(view)
        assert begin["type"] == "resync"
        first, second = ping(), ping()
        workers.seen("b", "general@lab", ["default"], 1)
        jobs.cancel(first)
        found = [received(view) for _ in range(4)]
    assert [message["id"] for message in found] == [begin["id"] + i for i in range(1, 5)]
    assert set(found[0]) == {"id", "type", "time", "campaign_id", "job_id", "data"}
    assert {(m["type"], m["job_id"], m["data"]["state"]) for m in found} == {
        ("job_state_changed", first, "QUEUED"),
        ("job_state_changed", second, "QUEUED"),
        ("worker_state_changed", None, "online"),
        ("job_state_changed", first, "CANCELLED"),
    }
    # What happened while nobody followed is there too.
    third = ping()
    with open_view(server, f"?after={found[1]['id']}") as view:
        again = [received(view) for _ in range(3)]
    assert again[:2] == found[2:]
    assert (again[2]["id"], again[2]["job_id"]) == (found[-1]["id"] + 1, third)


def test_views_that_come_and_go_under_load_miss_nothing(server: ThreadServer) -> None:
    n, n_threads = 40, 3
    with Client(server.url) as client:
        view = client.watch()
        assert next(view)["type"] == "resync"

        def publish() -> None:
            for _ in range(n):
                ping()

        threads = [threading.Thread(target=publish) for _ in range(n_threads)]
        for thread in threads:
            thread.start()
        found: list[dict[str, Any]] = []
        while len(found) < n * n_threads:
            found.append(next(view))
            if len(found) % 25 == 0:
                view.close()
                view = client.watch(after=found[-1]["id"])
        for thread in threads:
            thread.join()
        view.close()
    assert len({message["job_id"] for message in found}) == n * n_threads
    ids = [message["id"] for message in found]
    assert ids == list(range(ids[0], ids[0] + len(ids)))


@pytest.mark.parametrize(
    ("every", "late_s"), [("LOOK_LATE_EVERY", 30.0), ("LOOK_FAR_EVERY", 900.0)]
)
def test_an_event_that_is_committed_late_comes_later(
    server: ThreadServer, monkeypatch: pytest.MonkeyPatch, every: str, late_s: float
) -> None:
    feed.extend(feed.Look.LATE)
    with database().write() as connection:
        # Somebody has followed for a while.
        connection.exec_driver_sql("UPDATE feed SET time = time - 1000")
        connection.exec_driver_sql(
            "INSERT INTO feed SELECT position + 1, 'feed', 0, time + 1000 FROM feed"
        )
    monkeypatch.setattr(feed, every, 2)
    with open_view(server) as view:
        received(view)
        with unit_of_work() as work:
            kind = EventType.WORKER_STATE_CHANGED
            work.worker_event("slow", 1, {"state": "online"})
            (event,) = work.events
            # Its transaction began before those of others that were seen already.
            work.events[:] = [type(event)(event.topic, 1, kind, event.time - late_s, event.data)]
        assert received(view)["data"] == {"state": "online"}


def test_what_is_no_longer_kept_makes_the_client_read_the_state(
    server: ThreadServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ping()
    last = feed.extend(feed.Look.LATE)
    for after in (0, last + 1):
        with open_view(server, f"?after={after}") as view:
            assert received(view)["type"] == "resync"
    # Nobody followed for longer than events are put into order afterwards.
    with database().write() as connection:
        connection.exec_driver_sql("UPDATE feed SET time = time - 1e6")
    ping()
    with open_view(server, f"?after={last}") as view:
        begin = received(view)
        assert begin["type"] == "resync"
        assert begin["id"] > last
        job_id = ping()
        assert received(view)["job_id"] == job_id
    # So is a backlog that is too long.
    monkeypatch.setattr(feed_rows, "MOST", 2)
    before = feed.extend(feed.Look.SOON)
    for _ in range(3):
        ping()
    with open_view(server, f"?after={before}") as view:
        assert received(view)["type"] == "resync"


def test_a_key_follows_the_work_of_its_owner_and_that_of_workers_only(
    server: ThreadServer,
) -> None:
    secrets = {name: str(keys.create(NewKey(name, ("read",), name))[1]) for name in ("anna", "ben")}

    def submitted(owner: str) -> str:
        return str(submit(NewJob(task=PING, owner=owner))["id"])

    with Client(server.url, secrets["anna"]) as annas, Client(server.url, secrets["ben"]) as bens:
        views = {"anna": annas.watch(), "ben": bens.watch()}
        begin = {name: next(view)["id"] for name, view in views.items()}
        ids = [(owner, submitted(owner)) for owner in ("anna", "ben", "ben", "anna")]
        workers.seen("b", "general@lab", ["default"], 1)
        for name, view in views.items():
            found = [next(view) for _ in range(3)]
            assert [m["job_id"] for m in found] == [
                *(job_id for owner, job_id in ids if owner == name),
                None,
            ]
            view.close()
            # Going on after an event of one's own misses nothing of one's own.
            again = (annas if name == "anna" else bens).watch(after=found[0]["id"])
            assert [next(again)["id"] for _ in range(2)] == [m["id"] for m in found[1:]]
            again.close()
            assert found[0]["id"] > begin[name]
        named = {worker["id"]: worker for worker in bens.workers.list()["items"]}
    assert named["b"]["jobs"] == []
