"""Live views over a real server: everything once and in order, whatever happens in between."""

from __future__ import annotations

import base64
import json
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from fixtures import KEY, only_postgresql, only_sqlite
from materia.api import live
from materia.events import stream
from materia.events.models import Event, EventType, campaign_topic, job_topic
from materia.services import campaigns, jobs
from materia.services.submission import NewJob, submit
from materia.services.work import unit_of_work
from materia.store import campaigns as campaign_rows
from materia.store import events as event_rows
from materia.store.database import database, driver_of
from materia.store.tables import events as event_table
from servers import RedisServer, wait_until
from serving import BASE, BEARER, Server, ThreadServer

PATIENCE_S = 60.0

Served = Server | ThreadServer


@pytest.fixture
def server(backends: dict[str, str]) -> Iterator[ThreadServer]:
    """Return a running API on either database."""
    with ThreadServer() as started:
        yield started


@pytest.fixture
def campaign_id(backends: dict[str, str]) -> str:
    """Return a campaign that has had its first events."""
    return new_campaign()


def new_campaign() -> str:
    definition = {
        "name": "watched",
        "parameters": [{"name": "x1", "bounds": [0, 1]}, {"name": "x2", "bounds": [0, 1]}],
        "objectives": [{"name": "branin"}, {"name": "currin"}],
        "evaluator": {"type": "function", "options": {"name": "branin_currin"}},
    }
    for parameter in definition["parameters"]:
        parameter["type"] = "continuous"
    return campaigns.run(definition)["campaign_id"]


def publish(campaign_id: str, n: int = 1, size: int = 0) -> None:
    """Report `n` events of a campaign, each in a transaction of its own as workers do."""
    for i in range(n):
        with unit_of_work() as work:
            campaign_rows.lock(work.connection, campaign_id)
            data = {"iteration": i, "filling": "x" * size}
            work.campaign_event(campaign_id, EventType.ITERATION_STARTED, data)


def last_event(campaign_id: str) -> int:
    return int(campaigns.get(campaign_id)["event_number"])


def close_code(view: ClientConnection) -> int:
    """Return the code that the server closes a view with, now and with a reason."""
    with pytest.raises(ConnectionClosed) as closed:
        view.recv(timeout=PATIENCE_S)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.reason or closed.value.rcvd.code in (1009, 1012)
    return closed.value.rcvd.code


def open_view(server: Served, path: str, **options: Any) -> ClientConnection:
    # With a bounded queue this client waits ten seconds when it closes before it has read all.
    options = {"max_queue": None, "additional_headers": BEARER, **options}
    return connect(f"{server.url.replace('http', 'ws')}{BASE}/ws/{path}", **options)


def received(view: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(view.recv(timeout=PATIENCE_S))
    return message


def numbers_until(view: ClientConnection, last: int) -> list[int]:
    """Return the numbers that come, up to `last`."""
    found: list[int] = []
    while not found or found[-1] < last:
        found.append(received(view)["id"])
    return found


def test_a_view_replays_everything_and_goes_on_live(server: Served, campaign_id: str) -> None:
    publish(campaign_id, 3)
    with open_view(server, f"campaigns/{campaign_id}") as view:
        before = last_event(campaign_id)
        assert numbers_until(view, before) == list(range(1, before + 1))
        publish(campaign_id, 3)
        assert numbers_until(view, before + 3) == [before + 1, before + 2, before + 3]


def test_a_message_is_what_the_list_of_events_says(server: Served, campaign_id: str) -> None:
    with open_view(server, f"campaigns/{campaign_id}?after=1") as view:
        publish(campaign_id)
        messages = [received(view) for _ in range(last_event(campaign_id) - 1)]
    with database().read() as connection:
        rows = event_rows.after(connection, campaign_topic(campaign_id), 1, 100)
    assert messages == [Event(**row).message() for row in rows]
    assert set(messages[0]) == {"id", "type", "time", "campaign_id", "job_id", "data"}


def test_a_view_goes_on_after_the_given_number(server: Served, campaign_id: str) -> None:
    publish(campaign_id, 5)
    last = last_event(campaign_id)
    for after in range(last):
        with open_view(server, f"campaigns/{campaign_id}?after={after}") as view:
            assert numbers_until(view, last) == list(range(after + 1, last + 1))


def test_a_long_history_is_replayed_whole(server: Served, campaign_id: str) -> None:
    topic = campaign_topic(campaign_id)
    first, n = last_event(campaign_id) + 1, 3 * live.PAGE + 7
    rows = [
        {
            "topic": topic,
            "number": first + i,
            "type": "iteration_started",
            "time": 1e9 + i,
            "campaign_id": campaign_id,
            "job_id": None,
            "data": {},
        }
        for i in range(n)
    ]
    with database().write() as connection:
        event_rows.add(database(), driver_of(connection), rows)
    last = first + n - 1
    with open_view(server, f"campaigns/{campaign_id}") as view:
        assert numbers_until(view, last) == list(range(1, last + 1))


def test_a_number_that_never_was_makes_the_client_read_the_state(
    server: Served, campaign_id: str
) -> None:
    before = last_event(campaign_id)
    with open_view(server, f"campaigns/{campaign_id}?after=999") as view:
        resync = received(view)
        assert (resync["type"], resync["id"]) == ("resync", before)
        assert resync["campaign_id"] == campaign_id
        publish(campaign_id)
        assert received(view)["id"] == before + 1


def test_a_number_older_than_what_is_kept_makes_the_client_read_the_state(
    server: Served, campaign_id: str
) -> None:
    publish(campaign_id, 5)
    last = last_event(campaign_id)
    with database().write() as connection:
        old = event_table.c.number <= 3
        connection.execute(
            delete(event_table).where(event_table.c.topic == campaign_topic(campaign_id), old)
        )
    with open_view(server, f"campaigns/{campaign_id}?after=2") as view:
        assert (message := received(view))["type"] == "resync"
        assert message["id"] == last
    for after in ("", "?after=3"):
        with open_view(server, f"campaigns/{campaign_id}{after}") as view:
            assert numbers_until(view, last) == list(range(4, last + 1))


def test_what_never_reached_redis_still_arrives(
    server: Served, campaign_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = last_event(campaign_id)
    with open_view(server, f"campaigns/{campaign_id}") as view:
        numbers_until(view, before)
        with monkeypatch.context() as patched:
            patched.setattr(stream, "append", lambda events, hold=False: None)
            publish(campaign_id, 2)
        assert numbers_until(view, before + 2) == [before + 1, before + 2]
        with monkeypatch.context() as patched:
            patched.setattr(stream, "append", lambda events, hold=False: None)
            publish(campaign_id, 2)
        # A later number on the stream shows the gap at once.
        publish(campaign_id)
        assert numbers_until(view, before + 5) == [before + 3, before + 4, before + 5]


class Watcher(threading.Thread):
    """A client that leaves and comes back at random, and goes on after what it saw last."""

    def __init__(self, server: Served, campaign_id: str, seed: int, done: Callable[[int], bool]):
        super().__init__(daemon=True)
        self.seen: list[int] = []
        self.n_views = 0
        self._view = (server, campaign_id)
        self._random = random.Random(seed)
        self._done = done

    def run(self) -> None:
        """Watch until everything has been seen."""
        server, campaign_id = self._view
        while not self._done(len(self.seen)):
            after = self.seen[-1] if self.seen else 0
            self.n_views += 1
            with open_view(server, f"campaigns/{campaign_id}?after={after}") as view:
                for _ in range(self._random.randint(1, 60)):
                    try:
                        self.seen.append(json.loads(view.recv(timeout=0.5))["id"])
                    except TimeoutError:
                        break


@only_postgresql
def test_watchers_that_come_and_go_see_each_event_once_while_redis_is_emptied(
    server: Served, campaign_id: str, redis_server: RedisServer
) -> None:
    n_writers, n_each = 3, 100
    total = last_event(campaign_id) + n_writers * n_each
    watchers = [
        Watcher(server, campaign_id, seed, lambda n_seen: n_seen >= total) for seed in range(5)
    ]
    writers = [
        threading.Thread(target=publish, args=(campaign_id, n_each)) for _ in range(n_writers)
    ]
    for thread in (*watchers, *writers):
        thread.start()
    with redis_server.client() as client:
        while any(writer.is_alive() for writer in writers):
            client.flushall()
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            threading.Event().wait(0.2)
    for watcher in watchers:
        watcher.join(PATIENCE_S)
    assert last_event(campaign_id) == total
    for watcher in watchers:
        assert watcher.seen == list(range(1, total + 1))
    assert sum(watcher.n_views for watcher in watchers) > len(watchers)


@only_sqlite
def test_views_survive_a_redis_that_goes_away_and_comes_back(
    redis_backed: Callable[[RedisServer], dict[str, str]],
    start_redis: Callable[[], RedisServer],
    tmp_path: Path,
) -> None:
    redis = start_redis()
    with Server(tmp_path, redis_backed(redis)) as server:
        campaign_id = new_campaign()
        with open_view(server, f"campaigns/{campaign_id}") as view:
            numbers_until(view, last := last_event(campaign_id))
            redis.kill()
            publish(campaign_id, 2)
            assert numbers_until(view, last + 2) == [last + 1, last + 2]
            redis.start()
            publish(campaign_id, 2)
            assert numbers_until(view, last + 4) == [last + 3, last + 4]


def test_the_view_of_a_job_has_its_states_and_its_progress(server: Served) -> None:
    job_id = submit(NewJob(task="tasks.simple_tasks.ping"))["id"]

    def report(done: int, number: int) -> None:
        data = {"done": done, "total": 9, "message": "", "eta_s": None}
        event = Event(job_topic(job_id), number, EventType.JOB_PROGRESS, 1e9, data, None, job_id)
        stream.append_progress(job_topic(job_id), event)

    report(3, 1)
    with open_view(server, f"jobs/{job_id}") as first:
        assert received(first)["data"]["state"] == "QUEUED"
        assert received(first)["data"]["done"] == 3
        with open_view(server, f"jobs/{job_id}?after=1") as second:
            # Who comes later gets the latest progress too.
            assert received(second)["data"]["done"] == 3
            report(4, 1)
            for view in (first, second):
                progress = received(view)
                assert (progress["type"], progress["id"]) == ("job_progress", 1)
                assert (progress["job_id"], progress["data"]["done"]) == (job_id, 4)
            jobs.cancel(job_id)
            assert received(first)["data"]["state"] == "CANCELLED"
            # Progress of before the end is no news any more.
            report(5, 1)
            report(6, 2)
            assert received(first)["data"]["done"] == 6


def test_a_view_of_nothing_is_closed_with_the_reason(server: Served, campaign_id: str) -> None:
    for path, code in (
        ("campaigns/nothing", live.UNKNOWN),
        ("jobs/nothing", live.UNKNOWN),
        ("jobs/%00", live.UNKNOWN),
        (f"campaigns/{campaign_id}?after=-1", live.BAD_REQUEST),
        (f"campaigns/{campaign_id}?after=x", live.BAD_REQUEST),
        (f"campaigns/{campaign_id}?since=1", live.BAD_REQUEST),
        (f"campaigns/{campaign_id}?after={'9' * 30}", live.BAD_REQUEST),
    ):
        with open_view(server, path) as view:
            assert close_code(view) == code


def test_what_a_client_sends_is_ignored_and_bounded(server: Served, campaign_id: str) -> None:
    last = last_event(campaign_id)
    with open_view(server, f"campaigns/{campaign_id}") as view:
        view.send("anything")
        view.send(b"\x00")
        view.send(json.dumps({"after": 0}))
        assert numbers_until(view, last) == list(range(1, last + 1))
        publish(campaign_id)
        assert received(view)["id"] == last + 1
        view.send("x" * 10_000)
        assert close_code(view) == 1009


@only_sqlite
def test_a_view_needs_the_key_and_the_own_page(backends: dict[str, str], tmp_path: Path) -> None:
    with Server(tmp_path, backends, MATERIA_API_KEY=KEY) as server:
        path = f"campaigns/{new_campaign()}"
        wrong: list[dict[str, Any]] = [
            {"additional_headers": {}},
            {"additional_headers": {"Authorization": "Bearer wrong"}},
            {"additional_headers": {}, "subprotocols": ["materia.bearer.wrong"]},
            {"additional_headers": {}, "subprotocols": ["materia.bearer."]},
            {"additional_headers": {}, "subprotocols": ["materia.v1"]},
        ]
        for options in wrong:
            with pytest.raises(InvalidStatus) as refused:
                open_view(server, path, **options)
            assert refused.value.response.status_code == 401
            assert json.loads(refused.value.response.body or b"")["code"] == "unauthorized"
        header = {"additional_headers": {"Authorization": f"Bearer {KEY}"}}
        with pytest.raises(InvalidStatus) as refused:
            open_view(server, path, origin="https://evil.example", **header)
        assert refused.value.response.status_code == 403
        right: list[tuple[dict[str, Any], str | None]] = [
            (header, None),
            ({"origin": server.url, **header}, None),
            ({"subprotocols": [f"materia.bearer.{KEY}"]}, f"materia.bearer.{KEY}"),
            ({"subprotocols": [f"materia.bearer.{KEY}", "materia.v1"]}, "materia.v1"),
        ]
        for given, subprotocol in right:
            options = {"additional_headers": {}, **given}
            with open_view(server, path, **options) as view:
                assert received(view)["id"] == 1
                assert view.subprotocol == subprotocol
    assert KEY not in server.log()


@only_sqlite
def test_a_server_that_stops_says_goodbye(
    backends: dict[str, str], tmp_path: Path, campaign_id: str
) -> None:
    with (
        Server(tmp_path, backends) as server,
        open_view(server, f"campaigns/{campaign_id}") as view,
    ):
        numbers_until(view, last_event(campaign_id))
        assert server.stop() == 0
        assert close_code(view) == 1012


def handshake(port: int, path: str) -> socket.socket:
    """Open a WebSocket by hand, so that nothing reads what the server sends."""
    opened = socket.create_connection(("127.0.0.1", port))
    key = base64.b64encode(os.urandom(16)).decode()
    lines = (
        f"GET {BASE}/ws/{path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        f"Authorization: Bearer {KEY}",
    )
    opened.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode())
    return opened


@only_sqlite
def test_who_never_reads_is_let_go_and_harms_nobody(
    server: ThreadServer, campaign_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "SEND_TIMEOUT_S", 0.5)
    publish(campaign_id, 60, size=500_000)
    last = last_event(campaign_id)
    hub = server.hub
    stuck = handshake(server.port, f"campaigns/{campaign_id}")
    wait_until(lambda: hub.n_listeners == 1, "the stuck client is served")
    with open_view(server, f"campaigns/{campaign_id}", max_size=None) as view:
        assert numbers_until(view, last) == list(range(1, last + 1))
        wait_until(lambda: hub.n_listeners == 1, "the stuck client is let go")
        publish(campaign_id)
        assert received(view)["id"] == last + 1
    stuck.close()
    wait_until(lambda: hub.n_listeners == 0, "nobody listens any more")


@only_postgresql
def test_a_view_that_events_overrun_is_told_to_read_the_state(
    server: ThreadServer, campaign_id: str
) -> None:
    with open_view(server, f"campaigns/{campaign_id}") as view:
        numbers_until(view, last_event(campaign_id))
        (listener,) = server.hub._topics[campaign_topic(campaign_id)].listeners
        message = {"type": ""}
        while message["type"] != "resync":
            # While it replays, an overrun listener is told to read the table instead.
            listener.is_overrun = True
            publish(campaign_id)
            message = received(view)
        assert close_code(view) == live.TRY_AGAIN


def test_there_is_a_limit_to_open_views(
    server: ThreadServer, campaign_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAX_LISTENERS", 1)
    with open_view(server, f"campaigns/{campaign_id}") as first:
        received(first)
        with open_view(server, f"campaigns/{campaign_id}") as second:
            assert close_code(second) == live.TRY_AGAIN
