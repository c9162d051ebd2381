"""Schedules as rows: they fire once a due time, keep their clock, and follow their policy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
from celery.schedules import crontab

from materia.broker.app import app
from materia.errors import ConflictError, DefinitionError, NotFoundError, StateError
from materia.services import jobs, schedules
from materia.services.schedules import NewSchedule
from materia.store import schedules as schedule_rows
from materia.store.database import database

PING = "tasks.simple_tasks.ping"
pytestmark = pytest.mark.usefixtures("backends", "redis_server")


def made(**values: Any) -> NewSchedule:
    return NewSchedule(**{"id": "s", "task": PING, "interval_s": 3600.0, **values})


def set_next(schedule_id: str, moment: float) -> None:
    with database().write() as connection:
        schedule_rows.change(connection, schedule_id, {"next_at": moment})


def fired(schedule_id: str = "s") -> list[float]:
    return [run["due_at"] for run in schedules.history(schedule_id, None, 1000)[0]]


def test_a_due_schedule_submits_its_job_once() -> None:
    schedules.create(made(kwargs={}, queue="low_priority", priority=2))
    assert schedules.fire_due() == 0
    due = time.time() - 5
    set_next("s", due)
    assert schedules.fire_due() == 1
    assert schedules.fire_due() == 0
    (run,), total = schedules.history("s", None, 10)
    assert (run["due_at"], total) == (due, 1)
    job = jobs.get(run["job_id"])
    assert (job["task"], job["queue"], job["priority"]) == (PING, "low_priority", 2)
    assert job["requested_by"] == "schedule:s"


def test_many_schedulers_at_once_fire_each_due_time_once() -> None:
    schedules.create(made(interval_s=10.0, missed="all"))
    set_next("s", schedules.get("s")["starts_at"] - 400.0)
    with database().write() as connection:
        start = schedules.get("s")["next_at"]
        schedule_rows.change(connection, "s", {"starts_at": start})
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda _: schedules.fire_due(), range(16)))
    due = fired()
    assert sum(counts) == len(due) == len(set(due)) >= 39
    assert len(jobs.page(200)[0]) == len(due)
    gaps = {round(a - b, 3) for a, b in pairwise(due)}
    assert gaps == {10.0}


def test_a_restart_does_not_reset_the_clock() -> None:
    schedules.create(made(interval_s=3600.0))
    before = schedules.get("s")["next_at"]
    schedules.ensure_configured()
    schedules.change("s", {"kwargs": {}, "missed": "all"})
    assert schedules.get("s")["next_at"] == before
    assert schedules.change("s", {"interval_s": 60.0})["next_at"] < before


def test_a_paused_schedule_lets_its_times_pass() -> None:
    schedules.create(made(missed="all"))
    schedules.pause("s")
    set_next("s", time.time() - 100)
    assert schedules.fire_due() == 0
    resumed = schedules.resume("s")
    assert resumed["next_at"] > time.time()
    assert schedules.fire_due() == 0
    assert schedules.resume("s")["next_at"] == resumed["next_at"]


def test_run_now_fires_besides_the_due_times() -> None:
    before = schedules.create(made())["next_at"]
    job = schedules.run_now("s")
    assert jobs.get(job["id"])["task"] == PING
    assert schedules.get("s")["next_at"] == before
    assert len(fired()) == 1


def test_an_expired_schedule_ends() -> None:
    now = time.time()
    schedules.create(made(starts_at=now - 100, interval_s=50.0, expires_at=now + 10, missed="all"))
    set_next("s", now - 100)
    assert schedules.fire_due() >= 2
    assert schedules.get("s")["next_at"] is None
    assert max(fired()) <= now + 10


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"task": "tasks.simple_tasks.pong"}, "task"),
        ({"kwargs": {"x": 1}}, "kwargs.x"),
        ({"queue": "defualt"}, "queue"),
        ({"crontab": "0 2 * * *"}, "crontab"),
        ({"interval_s": None}, "crontab"),
        ({"interval_s": None, "crontab": "0 25 * * *"}, "crontab"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"missed": "sometimes"}, "missed"),
        ({"expires_at": 1e9}, "expires_at"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_made(
    values: dict[str, Any], path: str
) -> None:
    with pytest.raises(DefinitionError) as refused:
        schedules.create(made(**values))
    assert refused.value.path == path
    assert schedules.every() == []


def test_a_change_that_does_not_fit_changes_nothing() -> None:
    before = schedules.create(made())
    for values in ({"interval_s": 0.1}, {"task": PING}, {"next_at": 1.0}, {"missed": "never"}):
        with pytest.raises(DefinitionError):
            schedules.change("s", values)
    assert schedules.get("s") == before


def test_a_pause_at_the_moment_of_a_change_is_kept() -> None:
    for number in range(10):
        schedules.create(made(id=f"s{number}"))
    with ThreadPoolExecutor(2) as pool:
        for number in range(10):
            changes = pool.submit(schedules.change, f"s{number}", {"interval_s": 60.0})
            pool.submit(schedules.pause, f"s{number}").result()
            changes.result()
    assert {(row["is_paused"], row["interval_s"]) for row in schedules.every()} == {(True, 60.0)}


def test_ids_are_unique_and_unknown_ones_are_said_to_be() -> None:
    schedules.create(made())
    with pytest.raises(ConflictError):
        schedules.create(made())
    for verb in (schedules.get, schedules.pause, schedules.resume, schedules.delete):
        with pytest.raises(NotFoundError):
            verb("other")
    schedules.delete("s")
    assert schedules.every() == []


@pytest.fixture
def configured() -> Iterator[dict[str, Any]]:
    before = app.conf.beat_schedule
    entries = {
        "nightly": {"task": PING, "schedule": crontab(hour=2, minute=0)},
        "often": {"task": PING, "schedule": 300.0, "options": {"queue": "low_priority"}},
    }
    app.conf.beat_schedule = entries
    yield entries
    app.conf.beat_schedule = before


def test_schedules_of_the_configuration_become_rows(configured: dict[str, Any]) -> None:
    assert schedules.ensure_configured() == 2
    assert schedules.ensure_configured() == 0
    nightly, often = schedules.every()
    assert (nightly["crontab"], nightly["timezone"], nightly["missed"]) == (
        "0 2 * * *",
        "UTC",
        "one",
    )
    assert (often["interval_s"], often["queue"]) == (300.0, "low_priority")


def test_an_entry_that_will_not_do_does_not_stop_the_others(configured: dict[str, Any]) -> None:
    configured["unknown"] = {"task": "tasks.ml_tasks.fly", "schedule": 300.0}
    configured["no-task"] = {"schedule": 300.0}
    configured["too-often"] = {"task": PING, "schedule": 0.5}
    configured["wrong"] = {"task": PING, "schedule": "often"}
    configured["last"] = {"task": PING, "schedule": 300.0}
    assert schedules.ensure_configured() == 3
    assert [row["id"] for row in schedules.every()] == ["last", "nightly", "often"]


def test_what_users_changed_stays_until_the_configuration_changes(
    configured: dict[str, Any],
) -> None:
    schedules.ensure_configured()
    schedules.change("often", {"interval_s": 60.0})
    schedules.pause("nightly")
    schedules.ensure_configured()
    assert schedules.get("often")["interval_s"] == 60.0
    configured["often"]["schedule"] = 120.0
    assert schedules.ensure_configured() == 1
    assert schedules.get("often")["interval_s"] == 120.0
    assert schedules.get("nightly")["is_paused"]


def test_a_schedule_of_the_configuration_cannot_be_deleted(configured: dict[str, Any]) -> None:
    schedules.ensure_configured()
    with pytest.raises(StateError, match="pause"):
        schedules.delete("often")
    del configured["often"]
    schedules.delete("often")
    assert [row["id"] for row in schedules.every()] == ["nightly"]
