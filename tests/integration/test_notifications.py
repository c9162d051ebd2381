"""Notifications delivered to real servers, and kept from reaching others."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from materia import settings
from materia.errors import AccessError, MissingExtraError, StateError, TransientError
from materia.outbound import delivery
from materia.services import notifications
from materia.stack import checks
from materia.stack.checks import Place

HERE = ["127.0.0.1"]


class Desk(ThreadingHTTPServer):
    """Takes notifications; the path says how it behaves."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.taken: list[tuple[str, dict[str, object]]] = []
        self.seen: Counter[str] = Counter()
        self.host = f"127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Desk

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self.path.strip("/")
        self.server.seen[path] += 1
        if path == "slow":
            time.sleep(delivery.TIMEOUT_S + 2)
        if path == "drip":
            self._drip()
            return
        if path == "late" and self.server.seen[path] == 1:
            self.send_error(503)
            return
        if path.isdigit():
            self.send_response(int(path))
            self.send_header("Location", f"http://{self.server.host}/ok")
            self.end_headers()
            return
        self.server.taken.append((path, body))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"x" * (2**17 if path == "long" else 10))

    def _drip(self) -> None:
        """Send a byte now and then, each soon enough for a limit of silence."""
        self.send_response(200)
        self.end_headers()
        for _ in range(20):
            try:
                self.wfile.write(b".")
                self.wfile.flush()
            except OSError:
                return
            time.sleep(0.5)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def _desk() -> Iterator[Desk]:
    with Desk() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def desk(_desk: Desk) -> Desk:
    _desk.taken.clear()
    _desk.seen.clear()
    return _desk


def test_each_address_says_how_it_went(desk: Desk) -> None:
    paths = ("ok", "500", "429", "404", "302", "307", "long", "drip")
    addresses = [f"json://{desk.host}/{path}" for path in paths]
    gone = "json://127.0.0.1:1/"
    attempts = delivery.deliver([*addresses, gone, "nothing://x"], "hello – ü", allow=HERE)
    found = dict(zip([*paths, "gone", "nothing"], attempts, strict=True))
    assert {name: attempt.state for name, attempt in found.items()} == {
        "ok": "delivered",
        "500": "passing",
        "429": "passing",
        "404": "rejected",
        "302": "rejected",
        "307": "rejected",
        "long": "rejected",
        "drip": "passing",
        "gone": "passing",
        "nothing": "rejected",
    }
    assert "redirects are not followed" in found["302"].reason
    assert "64 KB" in found["long"].reason
    assert "5 s" in found["drip"].reason
    assert desk.seen["ok"] == 1
    path, body = desk.taken[0]
    assert (path, body["message"], body["title"]) == ("ok", "hello – ü", "MatCraft")


def test_local_addresses_are_refused_in_every_form(desk: Desk) -> None:
    port = desk.server_port
    hosts = ("127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1")
    addresses = [f"{scheme}://{h}:{port}/ok" for scheme in ("json", "xml") for h in hosts]
    addresses += [f"json://{host}/" for host in ("10.0.0.1", "169.254.169.254")]
    for sends in (False, True):
        attempts = delivery.deliver(addresses, "x", sends=sends)
        assert {attempt.state for attempt in attempts} == {"refused"}, attempts
    assert desk.seen == {}


def test_the_guard_sees_what_is_really_connected_to(desk: Desk) -> None:
    # As when a name has come to mean another address after it was looked at.
    program = f"""
import socket, subprocess
from materia.outbound.addresses import Allowed
from materia.outbound.guard import Guard, Refused
guard = Guard(Allowed())
guard.install()
def attempt(action):
    try:
        action()
    except Refused:
        return
    raise SystemExit("not refused")
here = ("127.0.0.1", {desk.server_port})
attempt(lambda: socket.create_connection(here))
attempt(lambda: socket.create_connection(("localhost", {desk.server_port})))
attempt(lambda: socket.socket().connect_ex(here))
attempt(lambda: socket.socket().connect(("localhost", {desk.server_port})))
attempt(lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", here))
attempt(lambda: socket.socket(type=socket.SOCK_DGRAM).sendmsg([b"x"], [], 0, here))
attempt(lambda: socket.socket(socket.AF_INET6).connect(("::ffff:127.0.0.1", 80)))
attempt(lambda: socket.socket(socket.AF_UNIX).connect("/run/docker.sock"))
attempt(lambda: subprocess.run(["true"]))
assert len(guard.refusals) >= 9
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert desk.seen == {}


@pytest.fixture
def channels(desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("MATERIA_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("MATERIA_NOTIFY_ALLOW_HOSTS", "127.0.0.1")
    chosen = {
        "both": [f"json://{desk.host}/ok", f"json://secret:word@{desk.host}/late"],
        "broken": f"json://secret:word@{desk.host}/404",
        "inside": "json://10.0.0.1/",
    }
    monkeypatch.setenv("MATERIA_NOTIFY_CHANNELS", json.dumps(chosen))
    # What is set for the machine is not asked: a proxy would connect in our place.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    settings.current.cache_clear()


@pytest.mark.usefixtures("channels")
def test_after_a_retry_each_address_has_the_message_once(desk: Desk) -> None:
    with pytest.raises(TransientError, match=r"address 2 .*503"):
        notifications.send_notification("once", "both")
    result = notifications.send_notification("once", "both").result
    assert (result["status"], result["delivered"]) == ("sent", ["JSON", "JSON"])
    assert desk.seen == {"ok": 1, "late": 2}


@pytest.mark.usefixtures("channels")
def test_what_waiting_cannot_heal_fails_with_the_reason_and_without_secrets() -> None:
    with pytest.raises(StateError, match="404") as failed:
        notifications.send_notification("x", "broken")
    with pytest.raises(AccessError, match="private") as refused:
        notifications.send_notification("x", "inside")
    assert "MATERIA_NOTIFY_ALLOW_HOSTS" in str(refused.value.hint)
    assert "secret" not in f"{failed.value}{refused.value}"


@pytest.mark.usefixtures("channels")
def test_channels_are_looked_at_without_sending(desk: Desk) -> None:
    place = Place(settings.current(), {}, has_own_broker=False)
    found = {check.name: check for check in checks.notifications(place)}
    assert {name: check.level for name, check in found.items()} == {
        "channel both": "ok",
        "channel broken": "ok",
        "channel inside": "fail",
    }
    assert "private" in found["channel inside"].message
    assert desk.seen == {}


@pytest.mark.usefixtures("channels")
def test_without_apprise_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match="notify"):
        notifications.send_notification("x", "both")
