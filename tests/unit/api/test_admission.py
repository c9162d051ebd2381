"""Key, origin and size are checked before any route runs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import httpx
import pytest
from starlette.types import Message

from fixtures import KEY
from materia.api import admission
from materia.api.admission import MAX_BODY
from materia.api.app import PUBLIC, create_app
from serving import BASE, DEFAULTS, in_process, operations


@pytest.fixture(scope="module")
def locked() -> Iterator[httpx.Client]:
    """Return a client without a key, of a server with one."""
    with in_process(create_app(DEFAULTS), key=None) as client:
        yield client


def filled(path: str) -> str:
    return re.sub(r"{\w+}", "some-id", path)


def test_the_openapi_file_has_every_noun() -> None:
    nouns = {path.removeprefix(f"{BASE}/").split("/")[0] for _, path in operations()}
    learning = {"models", "datasets", "retrainings"}
    choices = {"templates", "evaluators"}
    work = {"campaigns", "jobs", "schedules", "workers", "queues", "cluster"}
    assert nouns == {"health", "metrics", "api-keys", *work, *learning, *choices}


@pytest.mark.parametrize(("method", "path"), [o for o in operations() if o[1] not in PUBLIC])
@pytest.mark.parametrize("given", [None, f"Bearer {KEY}x", "Bearer", f"Basic {KEY}", "Bearer é"])
def test_every_operation_refuses_a_request_without_the_key(
    locked: httpx.Client, method: str, path: str, given: str | None
) -> None:
    headers = {} if given is None else {b"Authorization": given.encode()}
    answer = locked.request(method, filled(path), headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["code"] == "unauthorized"
    assert KEY not in answer.text


def test_a_path_that_does_not_exist_is_hidden_without_the_key(locked: httpx.Client) -> None:
    assert locked.get(f"{BASE}/nothing").status_code == 401
    assert locked.get("/nothing").status_code == 401


@pytest.mark.parametrize("path", sorted(PUBLIC))
def test_what_is_public_needs_no_key(locked: httpx.Client, path: str) -> None:
    assert locked.get(path).status_code in (200, 307)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_key_opens(locked: httpx.Client, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {KEY}"}
    assert locked.get(f"{BASE}/nothing", headers=headers).status_code == 404


def test_a_server_that_serves_too_many_says_when_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "MAX_SERVED", 0)
    with in_process(create_app(DEFAULTS)) as client:
        answer = client.get(f"{BASE}/templates")
        assert client.get(f"{BASE}/health/live").status_code == 200
    assert (answer.status_code, answer.json()["code"]) == (503, "transient")
    assert int(answer.headers["retry-after"]) >= 1


def test_a_foreign_page_may_not_write() -> None:
    with in_process(create_app(DEFAULTS)) as client:
        foreign = client.post(f"{BASE}/jobs", headers={"Origin": "https://evil.example"})
        own = client.post(f"{BASE}/jobs", headers={"Origin": "http://test"})
    assert (foreign.status_code, foreign.json()["code"]) == (403, "access_denied")
    assert own.status_code == 415


@pytest.mark.parametrize("expect", [b"", b"100-continue"])
def test_a_body_that_is_announced_as_too_large_is_refused_before_it_is_read(expect: bytes) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        assert expect == b"", "a client that waits to be asked was asked"
        assert sent[1]["body"], "the body was read before it was refused"
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": f"{BASE}/campaigns/run",
        "headers": [
            (b"authorization", f"Bearer {KEY}".encode()),
            (b"content-length", str(MAX_BODY + 1).encode()),
            (b"expect", expect),
        ],
    }
    asyncio.run(create_app(DEFAULTS)(scope, receive, send))
    assert sent[0]["status"] == 413
    assert not sent[-1].get("more_body")


@pytest.mark.parametrize("path", ["/campaigns/run", "/campaigns/validate", "/jobs"])
def test_a_body_without_a_length_is_read_only_up_to_the_limit(path: str) -> None:
    headers = {"Content-Type": "application/json"}
    with in_process(create_app(DEFAULTS)) as client:
        answer = client.post(f"{BASE}{path}", content=b"[" * (MAX_BODY + 1), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
