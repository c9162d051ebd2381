"""Redis is killed or stands still while jobs are submitted: nobody waits for it for long."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from materia.broker import messages
from materia.services import dispatch, jobs
from materia.services.submission import NewJob, submit
from servers import RedisServer, wait_until

PING = "tasks.simple_tasks.ping"


@pytest.fixture
def own_redis(
    start_redis: Callable[[], RedisServer],
    redis_backed: Callable[[RedisServer], dict[str, str]],
) -> Iterator[RedisServer]:
    """A server of this test's own, which knows this process already."""
    server = start_redis()
    redis_backed(server)
    submit(NewJob(PING))
    yield server
    server.start() if server._process is None else os.kill(server.pid, signal.SIGCONT)


def take_away(server: RedisServer, how: str) -> None:
    if how == "killed":
        server.kill()
    else:
        os.kill(server.pid, signal.SIGSTOP)


@pytest.mark.parametrize(
    ("how", "database_url"),
    [("killed", "sqlite"), ("stopped", "postgresql")],
    indirect=["database_url"],
)
def test_the_broker_is_tried_once_and_then_left_alone_for_a_while(
    own_redis: RedisServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []
    send_task = messages.app.send_task
    monkeypatch.setattr(
        messages.app, "send_task", lambda *a, **k: (tries.append(a), send_task(*a, **k))
    )
    # Far longer than the test takes, so that it does not depend on the machine.
    monkeypatch.setattr(messages, "PAUSE_S", 600.0)
    take_away(own_redis, how)
    rows = [submit(NewJob(PING)) for _ in range(20)]
    assert len(tries) == 1
    assert {jobs.get(row["id"])["sent_at"] for row in rows} == {None}


@pytest.mark.parametrize(
    ("how", "database_url"),
    [("killed", "sqlite"), ("stopped", "postgresql")],
    indirect=["database_url"],
)
def test_what_was_submitted_without_redis_is_sent_when_it_is_back(
    own_redis: RedisServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "PAUSE_S", 0.1)
    take_away(own_redis, how)
    row = submit(NewJob(PING))
    # The scheduler is not held up for ever either.
    dispatch.Dispatcher("scheduler").tick()
    assert jobs.get(row["id"])["sent_at"] is None
    if how == "killed":
        own_redis.start()
    else:
        os.kill(own_redis.pid, signal.SIGCONT)

    def is_sent() -> bool:
        dispatch.Dispatcher("scheduler").tick()
        return jobs.get(row["id"])["sent_at"] is not None

    wait_until(is_sent, "the scheduler has sent it")


def test_one_refused_message_does_not_keep_the_others_back(own_redis: RedisServer) -> None:
    with own_redis.client() as redis:
        redis.set("ml", "no list")
        refused = submit(NewJob(PING, queue="ml", priority=0))
        sent = submit(NewJob(PING, queue="data", priority=0))
        assert jobs.get(refused["id"])["sent_at"] is None
        assert jobs.get(sent["id"])["sent_at"] is not None
        assert redis.llen("data") == 1
