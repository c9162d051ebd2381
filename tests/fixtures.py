"""Fixtures shared by integration and fault tests."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from materia import settings
from materia.broker.app import app
from materia.compute.cluster import link
from materia.services import audit
from materia.store.database import database
from ray_heads import RayHead
from servers import RedisServer
from workers import QUICK, TESTS, Cluster

# For tests that ask of a database what other tests of the same path ask of the other one.
only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

# Of the API, in the settings of every test that has servers: the admin's.
KEY = "a-key-of-thirty-two-characters-0"


def point_services_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str, server: RedisServer
) -> dict[str, str]:
    """Point this process's services, and what it starts, at a database and a Redis."""
    chosen = {
        **QUICK,
        "MATERIA_DATA_DIR": str(tmp_path / "data"),
        "MATERIA_DATABASE_URL": database_url,
        "MATERIA_BROKER_URL": server.url(0),
        "MATERIA_RESULT_BACKEND": server.url(1),
        "MATERIA_API_KEY": KEY,
    }
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(audit, "WRITE_EVERY_S", 0.02)
    settings.current.cache_clear()
    settings.current().data_root.mkdir(parents=True)
    # The app of this process may have met the servers of another test.
    app.conf.update(broker_url=server.url(0), result_backend=server.url(1))
    app._after_fork()  # forgets its connection pools
    app._backend_cache = None
    app._local.__dict__.pop("backend", None)
    # Schedules of the configuration would put jobs among those that a test counts.
    own = {"MATERIA_CELERY_BEAT_SCHEDULE": "{}", "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    # Each is an interpreter that loads the libraries of learning.
    own["MATERIA_PROCESSES_PER_JOB"] = "1"
    return {**os.environ, **chosen, **own}


@pytest.fixture
def backends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str, redis_server: RedisServer
) -> Iterator[dict[str, str]]:
    """Services of this process on either database and the session's Redis; yields the variables."""
    yield point_services_at(monkeypatch, tmp_path, database_url, redis_server)
    leave_database()


@pytest.fixture
def redis_backed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database_url: str
) -> Iterator[Callable[[RedisServer], dict[str, str]]]:
    """Like `backends`, on a Redis server of the test's own."""
    yield lambda server: point_services_at(monkeypatch, tmp_path, database_url, server)
    leave_database()


def leave_database() -> None:
    """Wait for what is still being written to it, which the next test would find, and let it go."""
    while late := [one for one in threading.enumerate() if one.name == audit.THREAD]:
        late[0].join()
    database().close()


@pytest.fixture(scope="session")
def ray_head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayHead]:
    """Return the Ray head of the session, with two CPUs; tests that end it start their own."""
    head = RayHead(tmp_path_factory.mktemp("ray"))
    try:
        head.start()
        yield head
    finally:
        link.leave()
        head.kill()


@pytest.fixture
def cluster(
    backends: dict[str, str], redis_server: RedisServer, tmp_path: Path
) -> Iterator[Cluster]:
    """Start workers and schedulers on either database; all end with the test."""
    running = Cluster(tmp_path, redis_server, backends)
    yield running
    running.close()
