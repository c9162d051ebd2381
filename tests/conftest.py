"""Fixtures of every test: real servers, both databases, and no sockets in unit tests.

A server that cannot be started fails the tests that ask for it; nothing is skipped.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import structlog

from databases import Databases
from materia import settings
from materia.store import migrate
from servers import PostgresServer, RedisServer

# Test modules are imported after this and load the numerical libraries.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

UNIT = Path(__file__).parent / "unit"

# How long an example takes says nothing on a busy machine.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let faults be tried more often than in the ordinary suite."""
    parser.addoption("--trials", type=int, default=3, help="how often a random fault is tried")


@pytest.fixture
def trials(request: pytest.FixtureRequest) -> int:
    """Return how often a test tries a fault at a random point."""
    return int(request.config.getoption("--trials"))


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Keep the developer's own settings away, and the working folder clean of data."""
    for name in [n for n in os.environ if n.startswith(("MATERIA_", "RAY_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setitem(settings.Settings.model_config, "env_file", None)
    settings.current.cache_clear()
    yield
    settings.current.cache_clear()


@pytest.fixture(autouse=True)
def _log_to_stderr() -> Iterator[None]:
    """Keep what a server in this process logs out of what a command prints."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _no_sockets_in_unit_tests(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if UNIT not in request.path.parents:
        return

    def refuse(self: socket.socket, address: Any, *_: Any) -> None:
        raise AssertionError(f"a unit test opened a socket to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "bind", refuse)


@pytest.fixture
def start_redis(tmp_path: Path) -> Iterator[Callable[[], RedisServer]]:
    """Start another Redis server of this test's own, for tests that break it."""
    started: list[RedisServer] = []

    def start() -> RedisServer:
        server = RedisServer(tmp_path / f"redis-{len(started)}")
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.kill()


@pytest.fixture(scope="session")
def _shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def redis_server(_shared_redis: RedisServer) -> RedisServer:
    """Return the Redis server of the session, empty."""
    with _shared_redis.client() as client:
        client.flushall()
    return _shared_redis


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Return the PostgreSQL server of the session."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def _migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def _migrated_postgres(postgres_server: PostgresServer) -> Databases:
    url = postgres_server.create_database()
    migrate.upgrade(url)
    return Databases(postgres_server, url.rsplit("/", 1)[1])


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of a database without tables, once for each kind of database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of a fresh database with the newest schema, once for each kind."""
    if request.param == "sqlite":
        path = tmp_path / "materia.db"
        shutil.copyfile(request.getfixturevalue("_migrated_sqlite"), path)
        yield f"sqlite:///{path}"
        return
    databases: Databases = request.getfixturevalue("_migrated_postgres")
    url = databases.take()
    yield url
    databases.give_back(url)
