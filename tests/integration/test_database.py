"""Reads and writes at the same time, on both databases."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import psycopg
import pytest
from sqlalchemy.pool import PoolProxiedConnection

from materia import settings
from materia.services.submission import NewJob
from materia.store import events as event_rows
from materia.store import jobs as job_rows
from materia.store import leases, migrate
from materia.store.database import Database
from servers import wait_until


def test_a_read_does_not_wait_for_a_writer_and_sees_only_what_is_committed(
    database_url: str,
) -> None:
    database = Database(database_url)
    with database.write() as writer:
        leases.acquire(database, writer, "lead", "somebody", 60)
        with database.read() as reader:
            assert not leases.is_held(database, reader, "lead")
    with database.read() as reader:
        assert leases.is_held(database, reader, "lead")
    database.close()


def test_an_open_read_sees_what_is_committed_meanwhile(database_url: str) -> None:
    database = Database(database_url)
    with database.read() as reader:
        assert not leases.is_held(database, reader, "lead")
        with database.write() as writer:
            leases.acquire(database, writer, "lead", "somebody", 60)
        assert leases.is_held(database, reader, "lead")
    database.close()


def claimed(job_id: str) -> dict[str, Any]:
    new = NewJob("tasks.simple_tasks.ping", id=job_id)
    claim = {"claimed_by": "boot", "worker": "w", "pid": 1, "attempt": 1, "token": 1}
    return {**new.row(), **claim, "state": "RUNNING"}


def event(job_id: str) -> dict[str, Any]:
    named = {"topic": f"job:{job_id}", "type": "job_state_changed", "job_id": job_id}
    return {**named, "time": 1e9, "campaign_id": None, "data": {"é": [1, None]}}


def add(database: Database, job_id: str) -> int | None:
    with database.alone() as driver:
        return job_rows.add_claimed(database, driver, claimed(job_id), 30.0, event(job_id))


def finish(database: Database, job_id: str, token: int = 1) -> int | None:
    values = {"state": "SUCCEEDED", "result": {"x": 1.5}}
    with database.alone() as driver:
        return job_rows.finish(database, driver, job_id, token, values, event(job_id))


def test_a_change_and_its_event_are_one(database_url: str) -> None:
    database = Database(database_url)
    assert add(database, "a") == 1
    assert add(database, "a") is None
    assert finish(database, "a", token=2) is None
    assert finish(database, "a") == 2
    assert finish(database, "a") is None
    with database.read() as connection:
        found = event_rows.after(connection, "job:a", 0, 10)
        row = job_rows.get(connection, "a")
    assert [(one["number"], one["data"]) for one in found] == [
        (number, {"é": [1, None]}) for number in (1, 2)
    ]
    assert row is not None
    assert (row["state"], row["result"], row["reply"]) == ("SUCCEEDED", {"x": 1.5}, False)
    assert row["finished_at"] >= row["claimed_at"] > 0
    database.close()


def test_many_threads_change_jobs_at_the_same_time(database_url: str) -> None:
    database = Database(database_url)

    def work(worker: int) -> list[int | None]:
        names = [f"{worker}-{number}" for number in range(50)]
        return [
            number for name in names for number in (add(database, name), finish(database, name))
        ]

    with ThreadPoolExecutor(8) as pool:
        assert [set(numbers) for numbers in pool.map(work, range(8))] == [{1, 2}] * 8
    with database.read() as connection:
        assert event_rows.last_numbers(connection, ["job:7-49"]) == {"job:7-49": 2}
        assert job_rows.counts(connection) == []
    database.close()


def test_an_error_amid_a_change_leaves_nothing_and_the_next_one_works(database_url: str) -> None:
    database = Database(database_url)
    add(database, "a")
    with pytest.raises(ZeroDivisionError), database.alone():
        raise ZeroDivisionError
    with pytest.raises(TypeError), database.alone() as driver:
        broken = {**event("b"), "data": {1j}}
        job_rows.add_claimed(database, driver, claimed("b"), 30.0, broken)
    with database.read() as connection:
        assert job_rows.get(connection, "b") is None
    assert finish(database, "a") == 2
    database.close()


def test_a_text_that_no_database_takes_does_not_keep_the_lock(database_url: str) -> None:
    database, other = Database(database_url), Database(database_url)
    with pytest.raises(UnicodeEncodeError) as kept:
        add(database, "\ud800")
    # The traceback still holds the cursor that was in use.
    assert kept.tb is not None
    assert add(other, "a") == 1
    assert add(database, "b") == 1
    database.close()
    other.close()


class Interrupted(Exception):
    """Raised by a signal, as a soft limit is."""


def test_a_connection_that_was_interrupted_while_it_was_made_is_not_kept(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(database_url)

    def detach(_: PoolProxiedConnection) -> None:
        raise Interrupted

    with monkeypatch.context() as patched:
        patched.setattr("sqlalchemy.pool.base._ConnectionFairy.detach", detach)
        with pytest.raises(Interrupted):
            add(database, "a")
    assert add(database, "b") == 1
    with database.read() as connection:
        assert job_rows.get(connection, "a") is None
        assert job_rows.get(connection, "b") is not None
    database.close()


@pytest.fixture
def interrupt_after() -> Iterator[Callable[[float, Callable[[], object]], None]]:
    """Run something that a signal interrupts so many seconds later, unless it ends before."""
    is_armed: list[bool] = []

    def interrupt(_: int, __: FrameType | None) -> None:
        if is_armed:
            raise Interrupted

    def run(seconds: float, action: Callable[[], object]) -> None:
        try:
            is_armed.append(True)
            signal.setitimer(signal.ITIMER_REAL, seconds)
            action()
            is_armed.clear()
        except (Interrupted, psycopg.ProgrammingError):
            # While psycopg reads its settings it takes any exception for a fault of theirs.
            is_armed.clear()
        signal.setitimer(signal.ITIMER_REAL, 0.0)

    before = signal.signal(signal.SIGALRM, interrupt)
    yield run
    signal.signal(signal.SIGALRM, before)


# An interrupt may strike in a finaliser, where Python reports and drops it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_at_any_moment_leaves_a_change_with_its_event_or_neither(
    database_url: str, interrupt_after: Callable[[float, Callable[[], object]], None]
) -> None:
    database = Database(database_url)
    chance = random.Random(7)
    names = [str(number) for number in range(150)]
    for name in names:
        interrupt_after(
            chance.uniform(1e-5, 3e-3),
            lambda name=name: (add(database, name), finish(database, name)),
        )

    def are_whole() -> bool:
        # PostgreSQL may commit a moment after its client has gone.
        events = {None: [], "RUNNING": [1], "SUCCEEDED": [1, 2]}
        with database.read() as connection:
            for name in names:
                row = job_rows.get(connection, name)
                found = [e["number"] for e in event_rows.after(connection, f"job:{name}", 0, 9)]
                if found != events[row["state"] if row else None]:
                    return False
        return True

    wait_until(are_whole, "every change has its event")
    assert add(database, "after") == 1
    assert finish(database, "after") == 2
    database.close()


@pytest.mark.parametrize("name", ["plain", "a b", "p%20c", "q?x", "é#"])
def test_the_database_lies_in_the_data_folder_whatever_its_name(tmp_path: Path, name: str) -> None:
    chosen = settings.Settings(data_dir=tmp_path / name)
    migrate.upgrade(chosen.database)
    assert (tmp_path / name / "materia.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]
