"""The servers that the other tests rely on are real, ours, and survive being killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
from sqlalchemy import create_engine, inspect

from materia.stack import redis as embedded
from materia.store import migrate
from servers import PostgresServer, RedisServer, is_alive, wait_until


def test_the_redis_behind_the_port_is_the_process_that_was_started(
    redis_server: RedisServer,
) -> None:
    assert embedded.process_id(redis_server.url()) == redis_server.pid


def test_a_killed_redis_comes_back_with_its_data(start_redis: Callable[[], RedisServer]) -> None:
    server = start_redis()
    with server.client() as client:
        client.set("kept", "yes")
        before = server.pid
        server.restart()
        assert client.get("kept") == b"yes"
    assert server.pid != before


def test_the_redis_of_a_test_is_empty(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_a_killed_postgres_comes_back_with_what_was_committed(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.create_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (n int)")
    postgres_server.kill()
    postgres_server.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    postgres_server.drop_database(url)


def test_a_fresh_database_has_the_newest_schema(database_url: str) -> None:
    present, newest = migrate.versions(database_url)
    assert present == newest


def test_an_empty_database_has_no_tables(empty_database_url: str) -> None:
    engine = create_engine(empty_database_url.replace("postgresql://", "postgresql+psycopg://"))
    assert inspect(engine).get_table_names() == []
    engine.dispose()


STARTS_SERVERS = """
import sys
from pathlib import Path
from servers import PostgresServer, RedisServer, is_alive, wait_until

redis, postgres = RedisServer(Path(sys.argv[1])), PostgresServer()
redis.start()
postgres.start()
print(redis.pid, postgres.pid, flush=True)
sys.stdin.read()
"""


def test_servers_end_with_killed_tests(tmp_path: Path) -> None:
    tests = subprocess.Popen(
        [sys.executable, "-c", STARTS_SERVERS, tmp_path],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with tests:
        assert tests.stdout is not None
        pids = [int(pid) for pid in tests.stdout.readline().split()]
        assert len(pids) == 2
        tests.kill()
    wait_until(lambda: not any(map(is_alive, pids)), "the servers are gone")
