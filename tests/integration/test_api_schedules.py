"""Schedules over HTTP and by the SDK, on both databases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from materia import errors
from materia.api import schemas
from materia.api.app import create_app
from materia.broker.app import app as celery
from materia.client import AsyncClient, Client
from materia.services import jobs, schedules
from materia.store import schedules as schedule_rows
from materia.store.database import database
from serving import BASE, InProcess, in_process

PING = "tasks.simple_tasks.ping"
PATH = f"{BASE}/schedules"
STEP = "tasks.campaign_tasks.compute_pareto_front"
TWO_HOURS_AHEAD = timezone(timedelta(hours=2))


@pytest.fixture
def client(backends: dict[str, str]) -> Iterator[httpx.Client]:
    """Return a client of the application in this process."""
    with in_process() as opened:
        yield opened


@pytest.fixture
def sdk(backends: dict[str, str]) -> Iterator[Client]:
    """Return the SDK's client of the application in this process."""
    with Client("http://test", transport=InProcess(create_app(), raises=True)) as opened:
        yield opened


def post(client: httpx.Client, **body: object) -> httpx.Response:
    return client.post(PATH, json={"id": "s", "task": PING, "interval_s": 3600, **body})


def made(client: httpx.Client, **body: object) -> schemas.Schedule:
    answer = post(client, **body)
    assert answer.status_code == 201, answer.text
    return schemas.Schedule.model_validate(answer.json())


def patch(client: httpx.Client, **values: object) -> httpx.Response:
    return client.patch(f"{PATH}/s", json=values)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_schedule_is_made_and_found_where_its_answer_says(client: httpx.Client) -> None:
    answer = post(
        client, interval_s=None, crontab="0 2 * * *", timezone="Europe/Berlin", priority=2
    )
    assert answer.status_code == 201
    schedule = schemas.Schedule.model_validate(answer.json())
    assert answer.headers["location"] == f"{PATH}/s"
    assert client.get(answer.headers["location"]).content == answer.content
    assert (schedule.crontab, schedule.priority, schedule.missed) == ("0 2 * * *", 2, "one")
    assert (schedule.is_paused, schedule.is_configured) == (False, False)
    assert (schedule.starts_at, schedule.requested_by) == (None, "api")
    assert schedule.next_at is not None
    assert schedule.next_at.utcoffset() == timedelta(0)
    assert schedule.next_at - datetime.now(UTC) < timedelta(hours=25)
    TypeAdapter(schemas.Page[schemas.Schedule]).validate_json(client.get(PATH).content)


def test_times_are_taken_in_any_zone_and_told_in_utc(client: httpx.Client) -> None:
    schedule = made(
        client, starts_at="2998-01-01T00:30:00+02:00", expires_at="2998-12-31T23:00:00Z"
    )
    assert schedule.starts_at == schedule.next_at == at("2997-12-31T22:30:00+00:00")
    assert schedule.expires_at == at("2998-12-31T23:00:00+00:00")
    assert client.get(f"{PATH}/s").json()["starts_at"] == "2997-12-31T22:30:00+00:00"


def test_an_interval_begins_one_interval_from_now(client: httpx.Client) -> None:
    schedule = made(client)
    assert schedule.next_at == schedule.starts_at == schedule.created_at + timedelta(hours=1)


@pytest.mark.parametrize(
    ("body", "path", "said"),
    [
        ({"task": "tasks.simple_tasks.pink"}, "task", PING),
        ({"kwargs": {"x": 1}}, "kwargs.x", "takes no arguments"),
        ({"task": STEP, "kwargs": {"campaign_id": "c"}}, "kwargs", "iteration"),
        ({"queue": "defualt"}, "queue", "default"),
        ({"priority": 10}, "priority", "9"),
        ({"priority": True}, "priority", ""),
        ({"crontab": "0 2 * * *"}, "crontab", "either"),
        ({"interval_s": None}, "crontab", "either"),
        ({"interval_s": 1}, "interval_s", "between 5"),
        ({"interval_s": "3600"}, "interval_s", ""),
        ({"interval_s": None, "crontab": "0 25 * * *"}, "crontab", "hour"),
        ({"interval_s": None, "crontab": "0 2 * *"}, "crontab", "five fields"),
        ({"timezone": "Europe/Berln"}, "timezone", "Europe/Berlin"),
        ({"missed": "sometimes"}, "missed", "skip"),
        ({"expires_at": "2998-01-01T00:00:00"}, "expires_at", "zone"),
        ({"expires_at": "tomorrow"}, "expires_at", "ISO 8601"),
        ({"expires_at": 1.9e9}, "expires_at", "ISO 8601"),
        ({"expires_at": "1969-12-31T23:00:00Z"}, "expires_at", "1971"),
        ({"expires_at": "9999-12-31T23:59:59.999999Z"}, "expires_at", "9998"),
        ({"expires_at": "9999-12-31T23:59:59-12:00"}, "expires_at", "ISO 8601"),
        (
            {"interval_s": None, "crontab": "0 2 * * *", "starts_at": "2998-01-01T00:00:00Z"},
            "starts_at",
            "interval_s",
        ),
        ({"next_at": "2998-01-01T00:00:00Z"}, "next_at", "no such field"),
        ({"id": ""}, "id", "pattern"),
        ({"id": "a b"}, "id", "pattern"),
        ({"id": "a/b"}, "id", "pattern"),
        ({"id": "ä"}, "id", "pattern"),
        ({"id": "a\n"}, "id", "pattern"),
        ({"id": "a" * 129}, "id", "pattern"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place_and_nothing_is_made(
    client: httpx.Client, body: dict[str, object], path: str, said: str
) -> None:
    answer = post(client, **body)
    problem = schemas.Problem.model_validate(answer.json())
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem.path) == (422, path), answer.text
    assert said in f"{problem.detail} {problem.hint}"
    assert client.get(PATH).json()["total"] == 0


def test_ids_of_every_length_and_letter_are_taken(client: httpx.Client) -> None:
    for schedule_id in ("a", "0", "-", "Daily_Model-9", "a" * 128):
        made(client, id=schedule_id)
        assert client.get(f"{PATH}/{schedule_id}").json()["id"] == schedule_id


def test_an_id_is_taken_once(client: httpx.Client) -> None:
    made(client)
    answer = post(client)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert answer.json()["hint"]


@pytest.mark.parametrize("limit", [1, 4, 200])
def test_pages_hold_each_schedule_once_while_others_come_and_go(
    client: httpx.Client, limit: int
) -> None:
    # Databases sort these in different orders.
    names = ["B", "a", "-z", "_c", "a-b", "aB", "ab", "Z9"]
    for name in [*names, "zzz"]:
        made(client, id=name)
    found: list[str] = []
    cursor = None
    while True:
        params = {"limit": limit, **({"cursor": cursor} if cursor else {})}
        answer = client.get(PATH, params=params).json()
        found += [schedule["id"] for schedule in answer["items"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
        # The last one that was shown goes: the cursor must lead on all the same.
        assert client.delete(f"{PATH}/{found[-1]}").status_code == 200
    assert found == sorted([*names, "zzz"])


def test_a_cursor_of_another_list_is_refused(client: httpx.Client) -> None:
    made(client, id="a")
    made(client, id="b")
    cursor = client.get(PATH, params={"limit": 1}).json()["next_cursor"]
    for path in (f"{PATH}/a/runs", f"{BASE}/jobs"):
        answer = client.get(path, params={"cursor": cursor})
        assert (answer.status_code, answer.json()["path"]) == (422, "cursor")


def test_a_change_touches_what_it_names_and_nothing_else(client: httpx.Client) -> None:
    before = made(client, queue="ml", priority=3, expires_at="2998-01-01T00:00:00Z")
    answer = patch(client, missed="all", priority=None)
    after = schemas.Schedule.model_validate(answer.json())
    assert after == before.model_copy(update={"missed": "all", "priority": None})
    assert patch(client).json() == answer.json()
    forever = schemas.Schedule.model_validate(patch(client, expires_at=None).json())
    assert (forever.expires_at, forever.queue) == (None, "ml")
    nightly = patch(client, crontab="0 2 * * *").json()
    assert (nightly["interval_s"], nightly["starts_at"]) == (None, None)
    assert patch(client, interval_s=60).json()["crontab"] is None


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"task": PING}, "task"),
        ({"id": "other"}, "id"),
        ({"is_paused": True}, "is_paused"),
        ({"crontabs": "0 2 * * *"}, "crontabs"),
        ({"interval_s": None}, "crontab"),
        ({"missed": None}, "missed"),
        ({"kwargs": None}, "kwargs"),
        ({"kwargs": {"x": 1}}, "kwargs.x"),
        ({"expires_at": "soon"}, "expires_at"),
        ({"priority": 3, "queue": "nowhere"}, "queue"),
    ],
)
def test_a_change_that_does_not_fit_changes_nothing(
    client: httpx.Client, values: dict[str, object], path: str
) -> None:
    before = made(client)
    answer = patch(client, **values)
    assert (answer.status_code, answer.json()["path"]) == (422, path), answer.text
    assert answer.json()["hint"]
    assert schemas.Schedule.model_validate(client.get(f"{PATH}/s").json()) == before


@pytest.mark.parametrize("body", [b"", b"[]", b"nothing", b'"s"', b'{"priority": NaN}'])
def test_a_body_that_is_no_object_is_refused(client: httpx.Client, body: bytes) -> None:
    made(client)
    headers = {"Content-Type": "application/json"}
    for answer in (
        client.post(PATH, content=body, headers=headers),
        client.patch(f"{PATH}/s", content=body, headers=headers),
    ):
        assert (answer.status_code, answer.json()["path"]) == (422, "body")
    assert client.post(PATH, content=b"id: s").status_code == 415


def test_a_paused_schedule_has_no_next_time_until_it_is_resumed(client: httpx.Client) -> None:
    made(client)
    for _ in range(2):
        paused = schemas.Schedule.model_validate(client.post(f"{PATH}/s/pause").json())
        assert (paused.is_paused, paused.next_at) == (True, None)
    for _ in range(2):
        resumed = schemas.Schedule.model_validate(client.post(f"{PATH}/s/resume").json())
        assert not resumed.is_paused
        assert resumed.next_at is not None
        assert resumed.next_at > datetime.now(UTC)


def test_running_now_submits_the_job_and_leaves_the_clock(client: httpx.Client) -> None:
    kwargs = {"campaign_id": "c", "iteration": 1}
    before = made(client, task=STEP, kwargs=kwargs, queue="low_priority", priority=7)
    answer = client.post(f"{PATH}/s/run")
    assert answer.status_code == 202
    submitted = schemas.Submitted.model_validate(answer.json())
    assert answer.headers["location"] == submitted.links["self"]
    job = schemas.Job.model_validate(client.get(submitted.links["self"]).json())
    assert (job.id, job.task, job.kwargs) == (submitted.task_id, STEP, kwargs)
    assert (job.queue, job.priority, job.requested_by) == ("low_priority", 7, "schedule:s")
    assert schemas.Schedule.model_validate(client.get(f"{PATH}/s").json()) == before
    (run,) = client.get(f"{PATH}/s/runs").json()["items"]
    assert schemas.ScheduleRun.model_validate(run).job_id == job.id


def test_the_history_is_read_in_pages_newest_first(client: httpx.Client) -> None:
    made(client, interval_s=50, missed="all")
    start = time.time() - 1000
    with database().write() as connection:
        schedule_rows.change(connection, "s", {"starts_at": start, "next_at": start})
    n_fired = schedules.fire_due()
    assert n_fired >= 20
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        params = {"limit": 7, **({"cursor": cursor} if cursor else {})}
        answer = client.get(f"{PATH}/s/runs", params=params)
        page = TypeAdapter(schemas.Page[schemas.ScheduleRun]).validate_json(answer.content)
        assert page.total >= n_fired
        found += answer.json()["items"]
        cursor = page.next_cursor
        if cursor is None:
            break
        # One that fires meanwhile is newer than the page, and moves nothing.
        client.post(f"{PATH}/s/run")
    times = [at(run["due_at"]) for run in found]
    assert times == sorted(times, reverse=True)
    assert len({run["job_id"] for run in found}) == len(found) == n_fired
    assert {jobs.get(run["job_id"])["task"] for run in found} == {PING}


def test_a_deleted_schedule_is_gone_and_its_jobs_stay(client: httpx.Client) -> None:
    made(client)
    task_id = client.post(f"{PATH}/s/run").json()["task_id"]
    assert schemas.Schedule.model_validate(client.delete(f"{PATH}/s").json()).id == "s"
    assert client.delete(f"{PATH}/s").status_code == 404
    assert client.get(f"{BASE}/jobs/{task_id}").status_code == 200
    made(client)
    assert client.get(f"{PATH}/s/runs").json()["total"] == 0


def test_a_schedule_of_the_configuration_is_paused_and_not_deleted(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = {"often, by config": {"task": PING, "schedule": 300.0}}
    monkeypatch.setitem(celery.conf, "beat_schedule", entry)
    schedules.ensure_configured()
    path = f"{PATH}/often%2C%20by%20config"
    assert schemas.Schedule.model_validate(client.get(path).json()).is_configured
    answer = client.delete(path)
    assert (answer.status_code, answer.json()["code"]) == (409, "state")
    assert "pause" in answer.json()["hint"]
    assert client.post(f"{path}/pause").json()["is_paused"]


@pytest.mark.parametrize(
    ("method", "part"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/run"),
        ("GET", "/runs"),
    ],
)
def test_what_does_not_exist_is_not_found(client: httpx.Client, method: str, part: str) -> None:
    body = {"missed": "all"} if method == "PATCH" else None
    answer = client.request(method, f"{PATH}/nothing{part}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.json()["hint"]


def test_twins_at_the_same_moment_make_one_schedule_and_one_job(client: httpx.Client) -> None:
    app = create_app()
    body = {"id": "s", "task": PING, "interval_s": 3600}

    def twin(number: int) -> tuple[bytes, bytes]:
        with in_process(app) as own:
            first = own.post(PATH, json=body, headers={"Idempotency-Key": "make"})
            assert first.status_code == 201, first.text
            run = own.post(f"{PATH}/s/run", headers={"Idempotency-Key": "run"})
            assert run.status_code == 202, run.text
        return first.content, run.content

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(twin, range(24)))) == 1
    assert client.get(PATH).json()["total"] == 1
    assert client.get(f"{BASE}/jobs").json()["total"] == 1
    assert client.get(f"{PATH}/s/runs").json()["total"] == 1


def test_the_same_key_for_another_schedule_is_a_conflict(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "one"}
    body = {"id": "s", "task": PING, "interval_s": 3600}
    refused = client.post(PATH, json={**body, "queue": "nowhere"}, headers=key)
    assert refused.status_code == 422
    assert client.post(PATH, json=body, headers=key).status_code == 201
    other = client.post(PATH, json={**body, "id": "t"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert client.get(PATH).json()["total"] == 1


def test_the_sdk_does_what_the_api_can(sdk: Client) -> None:
    ends = datetime(2998, 1, 1, tzinfo=TWO_HOURS_AHEAD)
    schedule = sdk.schedules.create("s", PING, interval_s=60, missed="skip", expires_at=ends)
    assert at(schedule["expires_at"]) == ends
    assert sdk.schedules.get("s") == schedule
    changed = sdk.schedules.change("s", priority=9, expires_at=None)
    assert changed == {**schedule, "priority": 9, "expires_at": None}
    assert sdk.schedules.pause("s")["is_paused"]
    assert not sdk.schedules.resume("s")["is_paused"]
    sdk.schedules.create("t", STEP, {"campaign_id": "c", "iteration": 1}, crontab="0 2 * * *")
    page = sdk.schedules.list(limit=1)
    rest = sdk.schedules.list(cursor=page["next_cursor"])
    assert [item["id"] for item in page["items"] + rest["items"]] == ["s", "t"]
    task_ids = [sdk.schedules.run("s", idempotency_key=key)["task_id"] for key in "aab"]
    assert task_ids[0] == task_ids[1] != task_ids[2]
    runs = sdk.schedules.runs("s", limit=1)
    assert [run["job_id"] for run in runs["items"]] == task_ids[2:]
    assert sdk.schedules.delete("s")["id"] == "s"
    with pytest.raises(errors.NotFoundError, match="there is no schedule 's'"):
        sdk.schedules.get("s")


def test_refusals_reach_users_of_the_sdk_as_errors(sdk: Client) -> None:
    with pytest.raises(errors.DefinitionError) as wrong:
        sdk.schedules.create("s", PING, crontab="0 2 * * *", timezone="Europe/Berln")
    assert wrong.value.path == "timezone"
    with pytest.raises(errors.DefinitionError, match="zone"):
        sdk.schedules.create("s", PING, interval_s=60, expires_at=datetime(2998, 1, 1))
    sdk.schedules.create("s", PING, interval_s=60)
    with pytest.raises(errors.ConflictError):
        sdk.schedules.create("s", PING, interval_s=60)
    with pytest.raises(errors.DefinitionError) as unknown:
        sdk.schedules.change("s", intervals=3)
    assert unknown.value.path == "intervals"


def test_the_asynchronous_client_has_the_same(backends: dict[str, str]) -> None:
    async def use() -> list[str]:
        transport = httpx.ASGITransport(create_app())
        async with AsyncClient("http://test", transport=transport) as client:
            await client.schedules.create("s", PING, interval_s=60)
            await client.schedules.change("s", missed="all")
            started = await client.schedules.run("s")
            runs = await client.schedules.runs("s")
            assert [run["job_id"] for run in runs["items"]] == [started["task_id"]]
            return [(await client.schedules.delete("s"))["missed"]]

    assert asyncio.run(use()) == ["all"]
