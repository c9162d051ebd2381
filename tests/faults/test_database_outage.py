"""The database goes away under load and comes back: nothing acknowledged is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fixtures import point_services_at
from materia.errors import TransientError
from materia.services.submission import NewJob, submit
from materia.services.work import add_claimed, finish
from materia.store import migrate
from materia.store.database import database
from servers import PostgresServer, RedisServer
from workers import Cluster


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server of this test's own, for it is killed."""
    server = PostgresServer()
    server.start()
    yield server
    server.remove()


def test_a_killed_postgresql_loses_nothing_that_was_accepted(
    own_postgres: PostgresServer,
    start_redis: Callable[[], RedisServer],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    url = own_postgres.create_database()
    migrate.upgrade(url)
    redis = start_redis()
    environment = point_services_at(monkeypatch, tmp_path, url, redis)
    cluster = Cluster(tmp_path, redis, environment)
    try:
        cluster.worker(concurrency=2)
        cluster.scheduler()
        path = tmp_path / "runs"
        accepted = []
        for number in range(30):
            kwargs = {"path": str(path), "value": f"j{number}", "sleep_s": 0.1}
            accepted.append(submit(NewJob("tasks.test.note", kwargs=kwargs))["id"])
        client = cluster.client()
        plain = [client.send_task("tasks.test.echo", args=[n]) for n in range(10)]
        time.sleep(0.5)
        own_postgres.kill()
        time.sleep(2.0)
        own_postgres.start()
        for job_id in accepted:
            assert cluster.wait(job_id, 90)["state"] == "SUCCEEDED"
        assert [answer.get(timeout=120) for answer in plain] == list(range(10))
        assert {*path.read_text().split()} == {f"j{n}" for n in range(30)}
    finally:
        cluster.close()


def test_what_the_driver_says_of_a_server_that_is_away_is_an_error_that_heals(
    own_postgres: PostgresServer,
    start_redis: Callable[[], RedisServer],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    url = own_postgres.create_database()
    migrate.upgrade(url)
    point_services_at(monkeypatch, tmp_path, url, start_redis())
    claim = {"claimed_by": "boot", "worker": "w", "pid": 1, "attempt": 1, "token": 1}
    row = {**NewJob("tasks.test.echo").row(), **claim, "state": "RUNNING"}
    assert add_claimed(row, 30.0)
    own_postgres.kill()
    # The first time the connection breaks, the second time there is none.
    for _ in range(2):
        with pytest.raises(TransientError):
            finish(row, {"state": "SUCCEEDED", "result": 1})
        with pytest.raises(TransientError):
            submit(NewJob("tasks.test.echo"))
    own_postgres.start()
    assert finish(row, {"state": "SUCCEEDED", "result": 1})
    database().close()
