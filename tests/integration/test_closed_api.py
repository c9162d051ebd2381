"""Nobody comes in without a key, or further than a key goes (S1); both found by walking the API."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from fixtures import only_sqlite
from materia import settings
from materia.api import live
from materia.api.app import PUBLIC, create_app
from materia.api.routes.dashboard import assets
from materia.api.scopes import OWNED, Needs, needed
from materia.errors import NotFoundError
from materia.services import campaigns, jobs, keys, quotas, running, schedules
from materia.services.audit import Record
from materia.services.keys import NewKey
from materia.services.running import RunningJob
from materia.services.schedules import NewSchedule
from materia.services.submission import NewJob, submit
from materia.store import audit as audit_rows
from materia.store import owners
from materia.store.database import database
from serving import BASE, DEFAULTS, ThreadServer, in_process, openapi

# One for all applications of this file, so that a test can have it written.
RECORD = Record()
PING = "tasks.simple_tasks.ping"
DEFINITION: dict[str, Any] = {
    "name": "sphere",
    "parameters": [{"name": "x", "type": "continuous", "bounds": [0, 1]}],
    "objectives": [{"name": "y"}],
    "evaluator": {"type": "expression", "options": {"y": "x * x"}},
}
ORDER = list(keys.SCOPES)
PARAMETERS = {"slice": {"parameter": "x"}, "contour": {"first": "x", "second": "x"}}


def routes() -> list[tuple[str, str, str]]:
    """Return method, path and needed scope of every route behind a key, WebSockets included."""
    found = []
    for route in iter_route_contexts(create_app(DEFAULTS).routes):
        path = str(route.path)
        for method in route.methods or {"WEBSOCKET"}:
            if path not in PUBLIC and path not in assets() and method != "HEAD":
                found.append((method, path, needed(route, method)))
    return sorted(found)


def made(name: str, *scopes: str, owner: str | None = None, **values: Any) -> str:
    """Make a key and return its secret."""
    return str(keys.create(NewKey(name, scopes, owner, **values))[1])


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def filled(path: str, **ids: str) -> str:
    return re.sub(r"{(\w+)(:path)?}", lambda m: ids.get(m[1], "some-id"), path)


@pytest.fixture(autouse=True)
def _one_record(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record()
    monkeypatch.setattr(f"{__name__}.RECORD", record)
    monkeypatch.setattr("materia.api.app.Record", lambda: record)


@pytest.fixture
def client(backends: dict[str, str]) -> Iterator[httpx.Client]:
    """Return a client without a key."""
    with in_process(key=None) as opened:
        yield opened


@pytest.fixture
def ids(backends: dict[str, str]) -> dict[str, str]:
    """Return one campaign, job and schedule of anna's."""
    campaign = campaigns.run(DEFINITION, requested_by="anna", owner="anna")["campaign_id"]
    schedules.create(NewSchedule("annas", PING, interval_s=3600, owner="anna"))
    job = submit(NewJob(PING, owner="anna"))["id"]
    return {"campaign_id": campaign, "job_id": job, "schedule_id": "annas"}


def audit() -> list[dict[str, Any]]:
    """Return the entries of the audit, the oldest first."""
    RECORD.flush()
    with database().read() as connection:
        return audit_rows.page(connection, 1000, None, None)[0][::-1]


def test_every_route_declares_its_scope() -> None:
    undeclared = [
        route.path
        for route in iter_route_contexts(create_app(DEFAULTS).routes)
        if route.path not in PUBLIC | assets().keys()
        and not any(isinstance(one.dependency, Needs) for one in route.dependencies)
    ]
    assert undeclared == []


def test_a_route_that_declares_no_scope_is_an_admins(client: httpx.Client) -> None:
    app = create_app()
    app.add_api_route("/api/v1/forgotten", lambda: {"secret": 1})
    with in_process(app, key=made("w", "write")) as some:
        assert some.get("/api/v1/forgotten").status_code == 403
    with in_process(app, key=made("a", "admin")) as some:
        assert some.get("/api/v1/forgotten").status_code == 200


@only_sqlite
def test_every_route_refuses_a_key_without_its_scope(client: httpx.Client) -> None:
    secrets = {scope: made(scope, scope) for scope in ORDER}
    for method, path, scope in routes():
        if method == "WEBSOCKET":
            continue
        for held in ORDER[: ORDER.index(scope)]:
            answer = client.request(method, filled(path), headers=bearer(secrets[held]))
            assert answer.status_code == 403, (method, path, held)
            assert answer.json()["code"] == "access_denied"
            assert f"'{scope}'" in answer.json()["detail"]
    document = openapi()
    for method, path, scope in routes():
        if method != "WEBSOCKET":
            operation = document["paths"][path.replace(":path", "")][method.lower()]
            assert operation["security"] == [{"key": [scope]}]
            assert {"401", "403", "429"} <= operation["responses"].keys()


def test_what_is_another_owners_does_not_exist(client: httpx.Client, ids: dict[str, str]) -> None:
    anna = bearer(made("anna", "write"))
    bert = bearer(made("bert", "write"))
    admin = bearer(made("root", "admin"))
    for method, path, scope in routes():
        named = {name: value for name, value in ids.items() if f"{{{name}}}" in path}
        if not named or method == "WEBSOCKET" or scope == "admin":
            continue
        nothing = client.request(method, filled(path), headers=bert)
        foreign = client.request(method, filled(path, **named), headers=bert)
        # Both are refused before the body is looked at, or both after.
        assert foreign.status_code == 404, (method, path, foreign.text)
        unknown = {**foreign.json(), "detail": ""} | {"hint": foreign.json()["hint"]}
        if nothing.status_code == 404:
            assert unknown == {**nothing.json(), "detail": ""}
            (value,) = named.values()
            assert foreign.json()["detail"].replace(value, "some-id") == nothing.json()["detail"]
        if method == "GET":
            wanted = PARAMETERS.get(path.rsplit("/", 1)[1], {})
            for other in (anna, admin):
                url = filled(path, **named)
                own = client.request(method, url, headers=other, params=wanted)
                assert own.status_code in (200, 409) or path.endswith("/file"), own.text
    for noun in ("campaigns", "jobs", "schedules"):
        totals = [
            client.get(f"{BASE}/{noun}", headers=who).json()["total"] for who in (bert, anna, admin)
        ]
        assert totals[0] == 0 < totals[1] <= totals[2]
    refused = [row for row in audit() if row["refused"] == "another_owner"]
    assert {row["name"] for row in refused} == {"bert"}


def test_a_body_cannot_name_what_is_another_owners(
    client: httpx.Client, ids: dict[str, str]
) -> None:
    bert = bearer(made("bert", "write"))
    export = "tasks.campaign_tasks.export_results"
    given = {"campaign_id": ids["campaign_id"], "format": "csv"}
    for body in (
        {"task": export, "kwargs": given},
        {"task": export, "args": list(given.values())},
    ):
        assert client.post(f"{BASE}/jobs", json=body, headers=bert).status_code == 404
    schedule = {"id": "mine", "task": export, "kwargs": given, "interval_s": 60}
    assert client.post(f"{BASE}/schedules", json=schedule, headers=bert).status_code == 404
    cleanup = {"task": "tasks.simple_tasks.cleanup_old_results"}
    assert client.post(f"{BASE}/jobs", json=cleanup, headers=bert).status_code == 403


def test_tables_of_another_owners_campaign_do_not_exist(
    client: httpx.Client, ids: dict[str, str]
) -> None:
    root = settings.current().data_root
    names = [f"{folder}/{ids['campaign_id']}/t.csv" for folder in ("campaigns", "exports")]
    for name in (*names, "shared.csv"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x,y\n" + "".join(f"0.{i},{i}\n" for i in range(1, 10)))
    (root / "link.csv").symlink_to(root / names[1])
    anna, bert = bearer(made("anna", "write")), bearer(made("bert", "write"))
    listed = client.get(f"{BASE}/datasets", headers=bert).json()["items"]
    assert [one["path"] for one in listed] == ["shared.csv"]
    assert client.get(f"{BASE}/datasets", headers=anna).json()["total"] == 2

    def asked(name: str, who: dict[str, str]) -> list[httpx.Response]:
        task, given = "tasks.data_tasks.aggregate_data", {"data_sources": ["shared.csv", name]}
        of_table = {**DEFINITION, "evaluator": {"type": "table", "options": {"file": name}}}
        return [
            client.get(f"{BASE}/datasets/{name}", headers=who),
            client.post(f"{BASE}/jobs", json={"task": task, "kwargs": given}, headers=who),
            client.post(f"{BASE}/campaigns/run", json=of_table, headers=who),
        ]

    folder = f"exports/{ids['campaign_id']}"
    for name in (*names, "link.csv", f"./shared.csv/../{names[0]}"):
        refused = asked(name, bert)
        assert all(one.is_client_error for one in refused), [one.text for one in refused]
        assert not any("line" in one.text and "0.1" in one.text for one in refused)
    assert client.get(f"{BASE}/datasets/{folder}", headers=bert).status_code == 404
    assert client.get(f"{BASE}/datasets/{folder}", headers=anna).is_success
    assert all(one.is_success for one in asked(names[0], anna))
    mine = {"name": "mine", "dataset_path": folder}
    assert client.post(f"{BASE}/retrainings", json=mine, headers=bert).is_client_error
    sent = {"path": f"{folder}/u.csv"}
    there = client.post(f"{BASE}/datasets", params=sent, content=b"a,b\n1,2\n", headers=bert)
    assert there.status_code == 404


def test_what_a_key_makes_is_its_owners(client: httpx.Client) -> None:
    secret = bearer(made("anna-laptop", "write", owner="anna"))
    started = client.post(f"{BASE}/campaigns/run", json=DEFINITION, headers=secret).json()
    campaign = campaigns.get(started["campaign_id"])
    assert (campaign["owner"], campaign["requested_by"]) == ("anna", "anna-laptop")
    listed = client.get(f"{BASE}/jobs", headers=bearer(made("wall", "read", owner="anna")))
    assert listed.json()["total"] == 2
    assert {job["owner"] for job in listed.json()["items"]} == {"anna"}


@only_sqlite
def test_what_a_job_submits_belongs_to_the_owner_of_that_job(backends: dict[str, str]) -> None:
    parent = submit(NewJob(PING, owner="anna"))
    running.enter(RunningJob(parent))
    try:
        assert submit(NewJob(PING))["id"] in owned_by("anna")
    finally:
        running.enter(None)
    assert submit(NewJob(PING))["id"] not in owned_by("anna")


def owned_by(owner: str) -> set[str]:
    return {job["id"] for job in jobs.page(100, owner=owner)[0]}


def test_expired_and_revoked_keys_are_refused_and_noted(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, secret = keys.create(NewKey("gone", ("admin",)))
    brief = made("brief", "read", expires_at=time.time() + 3600)
    path = f"{BASE}/api-keys/current"
    assert client.get(path, headers=bearer(str(secret))).json()["scopes"] == ORDER
    assert client.get(path, headers=bearer(brief)).status_code == 200
    keys.revoke(row["id"])
    assert keys.revoke(row["id"])["revoked_at"] is not None
    clock = time.time
    monkeypatch.setattr(keys.time, "time", lambda: clock() + 3601)
    said = {}
    for name, headers in {
        "revoked": bearer(str(secret)),
        "expired": bearer(brief),
        "unknown": bearer(f"{brief}x"),
        "no_key": {},
    }.items():
        answer = client.get(path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        said[name] = answer.json()["detail"]
    assert said["revoked"] == "the key 'gone' was revoked"
    assert said["expired"] == "the key 'brief' has expired"
    entries = [row for row in audit() if row["refused"]]
    assert [row["refused"] for row in entries] == list(said)
    assert [row["name"] for row in entries] == ["gone", "brief", None, None]
    assert str(secret) not in json.dumps(entries)


def test_refusals_beyond_a_burst_are_counted(client: httpx.Client) -> None:
    with in_process(key=None) as stranger:
        for _ in range(260):
            assert stranger.get(f"{BASE}/jobs").status_code == 401
    written = len([row for row in audit() if row["refused"]])
    assert 200 <= written < 260


@only_sqlite
def test_what_is_done_is_noted_with_the_key_and_what_it_made(client: httpx.Client) -> None:
    secret = bearer(made("anna", "write"))
    started = client.post(f"{BASE}/campaigns/run", json=DEFINITION, headers=secret).json()
    client.post(f"{BASE}/campaigns/validate", json=DEFINITION, headers=secret)
    client.get(f"{BASE}/campaigns", headers=secret)
    here = f"{BASE}/campaigns/{started['campaign_id']}"
    client.post(f"{here}/stop", headers=secret)
    RECORD.flush()
    with in_process(key=made("root", "admin")) as admin:
        entries = admin.get(f"{BASE}/api-keys/audit", params={"refused": False}).json()["items"]
        first = admin.get(f"{BASE}/api-keys/audit", params={"limit": 1}).json()
        following = {"limit": 1, "cursor": first["next_cursor"]}
        second = admin.get(f"{BASE}/api-keys/audit", params=following).json()
    assert [(row["name"], row["method"], row["path"]) for row in entries] == [
        ("anna", "POST", f"{here}/stop"),
        ("anna", "POST", here),
    ]
    assert [page["items"][0]["number"] for page in (first, second)] == [
        row["number"] for row in entries
    ]


def test_keys_are_made_listed_and_revoked_and_their_secret_is_told_once(
    client: httpx.Client,
) -> None:
    with in_process(key=made("root", "admin")) as admin:
        body = {"name": "anna", "scopes": ["read", "write"], "owner": "lab"}
        once = {"Idempotency-Key": "make-anna"}
        first = admin.post(f"{BASE}/api-keys", json=body, headers=once)
        again = admin.post(f"{BASE}/api-keys", json=body, headers=once)
        assert (first.status_code, again.status_code) == (201, 201)
        secret = first.json()["key"]
        assert len(secret) >= 43
        assert again.json() == {**first.json(), "key": None}
        shown = admin.get(first.headers["location"]).json()
        listed = admin.get(f"{BASE}/api-keys").json()
        assert shown in listed["items"]
        assert secret not in json.dumps([shown, listed])
        assert client.get(f"{BASE}/jobs", headers=bearer(secret)).status_code == 200
        used = admin.get(first.headers["location"]).json()["last_used_at"]
        assert used is not None
        revoked = admin.post(f"{first.headers['location']}/revoke").json()
        assert revoked["state"] == "revoked"
        assert client.get(f"{BASE}/jobs", headers=bearer(secret)).status_code == 401
        for wrong in (
            {"name": ""},
            {"name": "a", "scopes": []},
            {"name": "a", "scopes": ["root"]},
            {"name": "a", "expires_at": "2020-01-01T00:00:00Z"},
            {"name": "a", "sha256": "0"},
        ):
            assert admin.post(f"{BASE}/api-keys", json=wrong).status_code == 422, wrong
        assert admin.get(f"{BASE}/api-keys/nothing").status_code == 404
    with database().read() as connection:
        held = str(connection.exec_driver_sql("SELECT * FROM api_keys").fetchall())
        kept = str(connection.exec_driver_sql("SELECT * FROM idempotency").fetchall())
    assert secret not in held + kept


def test_the_first_admin_key_is_made_once(backends: dict[str, str]) -> None:
    secret = keys.create_first()
    assert secret is not None
    assert keys.check(secret).is_admin
    assert keys.create_first() is None
    keys.revoke(keys.FIRST)
    assert keys.create_first() is None


@only_sqlite
def test_one_key_that_asks_for_too_much_is_slowed_down_and_no_other(
    backends: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MATERIA_CHANGES_PER_S", "1")
    settings.current.cache_clear()
    app = create_app()
    first, second = made("first", "write"), made("second", "write")
    job = submit(NewJob(PING, owner="first"))["id"]
    with in_process(app, key=first) as client:
        answers = [client.post(f"{BASE}/jobs/{job}/cancel") for _ in range(12)]
        assert [answer.status_code for answer in answers[:10]] == [202] * 10
        refused = answers[-1]
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert int(refused.headers["retry-after"]) >= 1
        assert client.get(f"{BASE}/jobs/{job}").status_code == 200
    with in_process(app, key=second) as client:
        assert client.post(f"{BASE}/jobs", json={"task": PING}).status_code == 202


@only_sqlite
def test_what_its_owner_has_just_seen_is_hidden_from_others_all_the_same(
    backends: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app()
    first, second = made("first", "write"), made("second", "write")
    job = submit(NewJob(PING, owner="first"))["id"]
    for _ in range(2):
        with in_process(app, key=first) as client:
            assert client.get(f"{BASE}/jobs/{job}").status_code == 200
        with in_process(app, key=second) as client:
            assert client.get(f"{BASE}/jobs/{job}").status_code == 404
    # It is not looked up for each request.
    monkeypatch.delattr(owners, "owner")
    with in_process(app, key=first) as client:
        assert client.get(f"{BASE}/jobs/{job}").status_code == 200


@only_sqlite
def test_jobs_beyond_those_that_may_wait_are_refused_until_there_is_room(
    backends: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MATERIA_MAX_WAITING_JOBS", "3")
    settings.current.cache_clear()
    monkeypatch.setattr(quotas, "_rooms", {})
    monkeypatch.setattr(quotas, "FULL_FOR_S", 0.0)
    app = create_app()
    with in_process(app, key=made("anna", "write")) as client:
        answers = [client.post(f"{BASE}/jobs", json={"task": PING}) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
        assert int(answers[3].headers["retry-after"]) >= 1
        assert "3 jobs of 'anna' wait already" in answers[3].json()["detail"]
        # Each of the routes that start something says so too.
        assert client.post(f"{BASE}/campaigns/run", json=DEFINITION).status_code == 429
        first = answers[0].json()["task_id"]
        assert client.post(f"{BASE}/jobs/{first}/cancel").status_code == 202
        assert client.post(f"{BASE}/jobs", json={"task": PING}).status_code == 202
    with in_process(app, key=made("bert", "write")) as client:
        assert client.post(f"{BASE}/jobs", json={"task": PING}).status_code == 202
        monkeypatch.setenv("MATERIA_MAX_WAITING_JOBS_IN_ALL", "4")
        settings.current.cache_clear()
        quotas._rooms.clear()
        refused = client.post(f"{BASE}/jobs", json={"task": PING})
        assert (refused.status_code, refused.json()["code"]) == (503, "transient")
        assert int(refused.headers["retry-after"]) >= 1


# Bodies of the POST routes that take one; ids of a campaign that has a result to tell are made.
BODIES: dict[str, Any] = {
    "/campaigns": DEFINITION,
    "/campaigns/{campaign_id}/earlier": {
        "rows": [{"params": {"x": 0.5}, "outcomes": {"y": 0.25}}],
    },
    "/campaigns/run": DEFINITION,
    "/campaigns/validate": DEFINITION,
    "/campaigns/{campaign_id}/extend": {"budget": 300},
    "/campaigns/{campaign_id}/clone": {"name": "again"},
    "/campaigns/{campaign_id}/export": {"format": "csv"},
    "/jobs": {"task": PING},
    "/schedules": {"id": "s2", "task": PING, "interval_s": 60},
    "/retrainings": {"name": "r2", "dataset_path": "a.csv"},
    "/api-keys": {"name": "k2"},
}
# These need more than a body: tests of their own send a key twice.
ELSEWHERE = {
    "/campaigns/{campaign_id}/models": "test_models_feed_campaigns.py",
    "/campaigns/{campaign_id}/results": "test_manual_results.py",
    "/datasets": "test_uploads.py",
}


@only_sqlite
def test_every_post_honours_an_idempotency_key(client: httpx.Client, ids: dict[str, str]) -> None:
    key_id = keys.create(NewKey("k1"))[0]["id"]
    failed = jobs.cancel(submit(NewJob(PING))["id"])["id"]
    posts = [path.removeprefix(BASE) for method, path, _ in routes() if method == "POST"]
    with in_process() as admin:
        admin.post(f"{BASE}/retrainings", json={"name": "r1", "dataset_path": "a.csv"})
        for path in posts:
            if path in ELSEWHERE:
                continue
            named = {**ids, "key_id": key_id, "retraining_id": "r1"}
            if path == "/jobs/{job_id}/retry":
                named["job_id"] = failed
            if path == "/campaigns/{campaign_id}/earlier":
                named["campaign_id"] = campaigns.run(DEFINITION, starts=False)["campaign_id"]
            url = f"{BASE}{filled(path, **named)}"
            body = BODIES.get(path)
            once = {"Idempotency-Key": f"key of {path}"}
            first = admin.post(url, json=body, headers=once)
            again = admin.post(url, json=body, headers=once)
            assert first.is_success, (path, first.text)
            assert again.status_code == first.status_code, path
            if path != "/api-keys":
                assert again.json() == first.json(), path
            other = admin.post(f"{BASE}/jobs", json={"task": PING, "priority": 1}, headers=once)
            assert other.status_code == 409, path
            if path == "/campaigns/{campaign_id}/earlier":
                asked = {"replace": "true"}
                assert admin.post(url, json=body, params=asked, headers=once).status_code == 409
    assert set(BODIES) | set(ELSEWHERE) <= set(posts)


@only_sqlite
def test_a_live_view_is_as_closed_as_the_rest(
    client: httpx.Client, ids: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LOOK_AGAIN_S", 0.05)
    row, anna = keys.create(NewKey("anna", ("read",)))
    bert = made("bert", "admin", owner="bert")
    keys.revoke(keys.every()[0]["id"])
    carl = made("carl", "read")
    sockets = [path for method, path, _ in routes() if method == "WEBSOCKET"]
    with ThreadServer() as server:
        address = server.url.replace("http", "ws")
        for path in sockets:
            for secret in (None, "wrong", bert):
                headers = bearer(secret) if secret else {}
                with pytest.raises(InvalidStatus) as refused:
                    connect(address + filled(path, **ids), additional_headers=headers)
                assert refused.value.response.status_code == 401, path
            if not any(f"{{{name}}}" in path for name in OWNED):
                continue
            ends = []
            for url in (filled(path), filled(path, **ids)):
                with connect(address + url, additional_headers=bearer(carl)) as view:
                    with pytest.raises(ConnectionClosed) as closed:
                        view.recv(timeout=10)
                    assert closed.value.rcvd is not None
                    ends.append(closed.value.rcvd.code)
            assert ends == [live.UNKNOWN, live.UNKNOWN]
        with connect(
            address + filled(f"{BASE}/ws/campaigns/{{campaign_id}}", **ids),
            additional_headers=bearer(str(anna)),
        ) as view:
            assert json.loads(view.recv(timeout=10))["id"] == 1
            keys.revoke(row["id"])
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    view.recv(timeout=10)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == live.NOT_ALLOWED


def test_unknown_keys_are_not_found(backends: dict[str, str]) -> None:
    with pytest.raises(NotFoundError):
        keys.revoke("nothing")
