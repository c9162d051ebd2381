"""What admission costs a request over HTTP: with several kinds of keys, and without any.

    python benchmarks/api/key.py [--smoke] [--rounds N] [--requests N]

Two servers of the same application run in this process and are asked the same in turns, by clients
with a connection each: one with all checks (key, pace, size, origin, audit, ownership), one without
any. Compared is processor time of the servers' threads per request, of which other work on the
machine takes little; ratios are those within a round, whose turns follow each other closely.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import uvicorn

sys.path.insert(0, str(Path(__file__).parents[1]))

import record
import stand
from stand import RedisServer

BASE = "/api/v1"
KEY = "a-key-of-the-settings-0123456789"
# That of the settings; one of the database for an admin; one that sees its owner's work only.
WHO = ("settings", "admin", "write")


class Open:
    """Lets everybody in, as an operator."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection."""
        from materia.services.keys import OPERATOR

        scope.setdefault("state", {}).update(caller=OPERATOR, refused=None)
        await self._app(scope, receive, send)


def serve(app: Any) -> int:
    """Serve an application in a thread and return its port."""
    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False)
    server = uvicorn.Server(config)
    port = stand.free_port()
    config.port = port
    threading.Thread(target=server.run, daemon=True).start()
    stand.wait_until(lambda: server.started, "the server has started")
    return port


class Asker:
    """One client with one connection."""

    def __init__(self, port: int, key: str | None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        """Return what the server answers."""
        headers = {**self._headers, **({"Content-Type": "application/json"} if body else {})}
        self._connection.request(method, f"{BASE}{path}", body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status < 300, content
        return json.loads(content)


def servers_us(
    asker: Asker, record: Any, n: int, method: str, path: str, body: bytes | None
) -> float:
    """Return the processor time of all threads but this one per request, in microseconds."""
    before = time.process_time() - time.thread_time()
    for _ in range(n):
        asker.ask(method, path, body)
    # What is written a moment later belongs to these requests.
    writer = threading.Thread(target=record.flush)
    writer.start()
    writer.join()
    return 1e6 * (time.process_time() - time.thread_time() - before) / n


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--requests", type=int, default=30)
    parser.add_argument("--smoke", action="store_true", help="a short one, nothing recorded")
    chosen = parser.parse_args()
    if chosen.smoke:
        chosen.rounds, chosen.requests = 3, 20
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        redis = RedisServer(folder / "redis")
        redis.start()
        try:
            os.environ.update(stand.environment(folder, redis, None), MATERIA_API_KEY=KEY)
            # Of the pace, which would hold the benchmark up.
            os.environ.update(MATERIA_REQUESTS_PER_S="1e6", MATERIA_CHANGES_PER_S="1e6")
            os.environ["MATERIA_MAX_WAITING_JOBS"] = "1000000"
            results = measure(chosen.rounds, chosen.requests)
        finally:
            redis.kill()
    summary = {
        what: {
            **{who: round(statistics.median(values), 1) for who, values in series.items()},
            **{
                f"ratio_{who}": round(
                    statistics.median(
                        a / b for a, b in zip(series[who], series["none"], strict=True)
                    ),
                    3,
                )
                for who in WHO
            },
        }
        for what, series in results.items()
    }
    for what, line in summary.items():
        print(
            f"{what:10} without {line['none']:6.0f} us"
            + "".join(f", {who} {line[who]:6.0f} ({line[f'ratio_{who}']:.3f})" for who in WHO)
        )
    if not chosen.smoke:
        data = {"summary": summary, "requests": chosen.requests, "rounds": chosen.rounds}
        print(record.write("api-key", data, ("uvicorn", "starlette")))


def measure(n_rounds: int, n_requests: int) -> dict[str, dict[str, list[float]]]:
    """Return microseconds per request, by what is asked for and who asks, for each round."""
    from materia import log
    from materia.api.app import create_app
    from materia.services import keys
    from materia.services.keys import NewKey
    from materia.services.submission import NewJob, submit

    log.configure("WARNING")
    _, of_admin = keys.create(NewKey("admin", ("admin",)))
    _, of_writer = keys.create(NewKey("somebody", ("write",)))
    closed, open_app = create_app(), create_app()
    open_app.user_middleware.clear()
    open_app.add_middleware(Open)
    port = serve(closed)
    askers = {
        "settings": Asker(port, KEY),
        "admin": Asker(port, of_admin),
        "write": Asker(port, of_writer),
        "none": Asker(serve(open_app), None),
    }
    ids = [submit(NewJob("tasks.simple_tasks.ping", owner="somebody"))["id"] for _ in range(20)]
    ping = json.dumps({"task": "tasks.simple_tasks.ping"}).encode()
    asked: dict[str, tuple[str, str, bytes | None]] = {
        "job": ("GET", f"/jobs/{ids[0]}", None),
        "list of 20": ("GET", "/jobs?limit=20", None),
        "submit": ("POST", "/jobs", ping),
    }
    results: dict[str, dict[str, list[float]]] = {
        what: {who: [] for who in askers} for what in asked
    }
    for number in range(n_rounds + 1):
        for what, request in asked.items():
            for who, asker in askers.items():
                took = servers_us(asker, closed.state.record, n_requests, *request)
                # The first round loads and connects.
                if number:
                    results[what][who].append(took)
    return results


if __name__ == "__main__":
    main()
