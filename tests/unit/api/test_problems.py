"""Every refusal is a problem with a stable code, and tells nothing of the inside."""

from __future__ import annotations

import math
from collections.abc import Iterator

import httpx
import pytest

from materia import errors
from materia.api.answers import answer, written_time
from materia.api.app import create_app
from materia.api.problems import STATUS, written
from serving import BASE, DEFAULTS, in_process, openapi, operations

EXPECTED = {
    errors.DefinitionError: 422,
    errors.InfeasibleError: 422,
    errors.DataError: 422,
    errors.EvaluationError: 422,
    errors.StateError: 409,
    errors.ConflictError: 409,
    errors.SurrogateError: 409,
    errors.DeviceError: 409,
    errors.NotFoundError: 404,
    errors.AccessError: 403,
    errors.TransientError: 503,
    errors.MissingExtraError: 501,
}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """Return a client of an application that needs neither database nor broker for what it asks."""
    with in_process(create_app(DEFAULTS)) as opened:
        yield opened


def tree(kind: type[errors.MateriaError]) -> set[type[errors.MateriaError]]:
    """Return every error below `kind` that `materia.errors` draws."""
    below = {k for k in kind.__subclasses__() if k.__module__ == errors.__name__}
    return below.union(*map(tree, below)) if below else below


def test_every_error_of_the_tree_has_a_status() -> None:
    assert tree(errors.MateriaError) == set(EXPECTED)


@pytest.mark.parametrize(("kind", "status"), EXPECTED.items())
def test_an_error_becomes_a_problem_with_its_code_and_hint(
    kind: type[errors.MateriaError], status: int
) -> None:
    app = create_app(DEFAULTS)

    def fail() -> None:
        raise kind("what went wrong", "what to do")

    app.add_api_route("/fail", fail)
    with in_process(app) as other:
        response = other.get("/fail")
    problem = response.json()
    assert response.status_code == problem["status"] == status
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["code"] == kind.code
    assert "what" in problem["detail"]
    assert problem["hint"]
    assert ("retry-after" in response.headers) == (status == 503)


def test_a_definition_error_carries_path_line_and_findings() -> None:
    app = create_app(DEFAULTS)
    finding = {"level": "error", "path": "a[0].b", "line": 3, "message": "wrong", "fix": None}

    def fail() -> None:
        raise errors.DefinitionError("wrong", path="a[0].b", line=3, findings=[finding])

    app.add_api_route("/fail", fail)
    with in_process(app) as other:
        problem = other.get("/fail").json()
    assert (problem["path"], problem["line"]) == ("a[0].b", 3)
    assert problem["findings"] == [finding]


@pytest.mark.parametrize("kind", [ZeroDivisionError, errors.MateriaError])
def test_an_unexpected_error_tells_nothing_of_the_inside(kind: type[Exception]) -> None:
    app = create_app(DEFAULTS)

    def fail() -> None:
        raise kind("secret of the inside")

    app.add_api_route("/fail", fail)
    with in_process(app, raises=False) as other:
        response = other.get("/fail")
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert response.headers["content-type"] == "application/problem+json"
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/campaigns/", 404, "not_found"),
        ("DELETE", "/campaigns", 405, "method_not_allowed"),
        ("GET", "/campaigns?limit=0", 422, "request_invalid"),
        ("GET", "/campaigns?limit=201", 422, "request_invalid"),
        ("GET", f"/jobs?limit={10**30}", 422, "request_invalid"),
        ("GET", "/jobs?limit=x", 422, "request_invalid"),
        ("GET", "/jobs?cursor=x", 422, "request_invalid"),
        ("GET", "/jobs?state=running", 422, "request_invalid"),
        ("GET", "/jobs?task=%00", 422, "request_invalid"),
        ("GET", "/jobs/%00", 422, "request_invalid"),
        ("GET", f"/jobs/{'x' * 300}", 422, "request_invalid"),
        ("POST", "/jobs", 415, "unsupported_media_type"),
        ("POST", "/campaigns/run", 415, "unsupported_media_type"),
    ],
)
def test_what_the_framework_refuses_is_a_problem_too(
    client: httpx.Client, method: str, path: str, status: int, code: str
) -> None:
    response = client.request(method, f"{BASE}{path}")
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert ("allow" in response.headers) == (status == 405)
    if status == 422:
        assert response.json()["path"] in {"limit", "cursor", "state", "task", "job_id"}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"task": NaN}', "body"),
        (b'{"task": "x", "kwargs": {"a": Infinity}}', "body"),
        (b'{"task": "x", "kwargs": {"a": 1e400}}', "body"),
        (b"[" * 100_000, "body"),
        (b'{"task": "x", "kwargs": {"a": ' + b"[" * 40 + b"]" * 40 + b"}}", "body"),
        (b"\xff", "body"),
        (b"[]", "body"),
        (b"{}", "task"),
        (b'{"task": 1}', "task"),
        (b'{"task": "x", "state": "SUCCEEDED"}', "state"),
        (b'{"task": "x", "id": "mine"}', "id"),
        (b'{"task": "x", "priority": 10}', "priority"),
        (b'{"task": "x", "priority": true}', "priority"),
        (b'{"task": "x", "kwargs": [1]}', "kwargs"),
    ],
)
def test_a_wrong_body_is_refused_with_the_field(
    client: httpx.Client, body: bytes, path: str
) -> None:
    headers = {"Content-Type": "application/json"}
    response = client.post(f"{BASE}/jobs", content=body, headers=headers)
    assert response.status_code == 422
    assert response.json()["path"] == path


@pytest.mark.parametrize(
    ("body", "message", "hint"),
    [
        (b'{"task": "x", "kwargs": {"a": NaN}}', "NaN is no number", "or null for none"),
        (b'{"task": "x", "kwargs": {"a": -Infinity}}', "-Infinity is no number", "finite"),
        (b'{"task": "x", "kwargs": {"a": 1}', "it ends before it is closed", "add } at the end"),
        (b'{"task": "x" "args": []}', "line 1, column 14: expecting ',' delimiter", "check"),
    ],
)
def test_a_body_that_is_no_json_is_told_where_and_how_to_mend_it(
    client: httpx.Client, body: bytes, message: str, hint: str
) -> None:
    headers = {"Content-Type": "application/json"}
    problem = client.post(f"{BASE}/jobs", content=body, headers=headers).json()
    assert message in problem["detail"]
    assert hint in problem["hint"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[]", "body: a JSON object is expected, not a JSON array"),
        (b"null", "body: a JSON object is expected, not null"),
        (b'"x"', "body: a JSON object is expected, not a string"),
        (b'{"task": 1}', "task: a string is expected, not a number"),
        (b'{"task": "x", "args": {}}', "args: a JSON array is expected, not a JSON object"),
        (b'{"task": "x", "kwargs": [1]}', "kwargs: a JSON object is expected, not a JSON array"),
        (b'{"task": "x", "priority": true}', "priority: a whole number is expected, not true"),
        (b'{"task": "x", "priority": 2.5}', "priority: a whole number is expected, not a number"),
    ],
)
def test_a_value_of_a_wrong_type_is_told_in_words_of_json(
    client: httpx.Client, body: bytes, message: str
) -> None:
    headers = {"Content-Type": "application/json"}
    detail = client.post(f"{BASE}/jobs", content=body, headers=headers).json()["detail"]
    assert detail.startswith(message)


def test_broken_json_is_a_finding_that_speaks_of_json(client: httpx.Client) -> None:
    headers = {"Content-Type": "application/json"}
    body = b'{"name": "x", "objectives": [}'
    answer = client.post(f"{BASE}/campaigns/validate", content=body, headers=headers).json()
    (finding,) = answer["findings"]
    assert finding["message"] == "this is not valid JSON: line 1, column 30: expecting value"
    assert not answer["valid"]


@pytest.mark.parametrize("body", [b"{name: x}", b"name: x"])
def test_a_definition_that_is_sent_as_json_and_is_none_is_told_so(
    client: httpx.Client, body: bytes
) -> None:
    headers = {"Content-Type": "application/json"}
    response = client.post(f"{BASE}/campaigns/validate", content=body, headers=headers)
    assert response.status_code == 422
    assert "this is not valid JSON: line 1, column " in response.json()["detail"]
    assert "application/yaml" in response.json()["hint"]


@pytest.mark.parametrize("path", ["/jobs", "/campaigns/run", "/campaigns/validate"])
@pytest.mark.parametrize(
    ("headers", "blamed", "named"),
    [
        ({"Content-Encoding": "gzip"}, "Content-Encoding", "gzip"),
        ({"Content-Encoding": "identity, br"}, "Content-Encoding", "br"),
        ({"Content-Type": "application/json; charset=latin-1"}, "Content-Type", "latin-1"),
        ({"Content-Type": 'application/json; charset="UTF-16"'}, "Content-Type", "UTF-16"),
        ({"Content-Type": "application/json; charset=nonsense"}, "Content-Type", "nonsense"),
    ],
)
def test_a_body_that_is_compressed_or_not_utf8_is_refused_instead_of_misread(
    client: httpx.Client, path: str, headers: dict[str, str], blamed: str, named: str
) -> None:
    headers = {"Content-Type": "application/json", **headers}
    response = client.post(f"{BASE}{path}", content=b"{}", headers=headers)
    problem = response.json()
    assert (response.status_code, problem["code"]) == (415, "unsupported_media_type")
    assert problem["path"] == blamed
    assert named in problem["detail"]
    assert problem["hint"]


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", '; charset="UTF8"', "; charset=ASCII"])
def test_a_body_in_utf8_is_read_however_it_is_called(client: httpx.Client, charset: str) -> None:
    headers = {"Content-Type": f"application/json{charset}", "Content-Encoding": "identity"}
    response = client.post(f"{BASE}/jobs", content=b"{}", headers=headers)
    assert (response.status_code, response.json()["path"]) == (422, "task")


@pytest.mark.parametrize(("method", "path"), operations())
def test_every_operation_refuses_a_query_parameter_that_it_does_not_have(
    client: httpx.Client, method: str, path: str
) -> None:
    response = client.request(method, path, params={"no_such": "1"})
    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, "request_invalid")
    assert (problem["path"], problem["detail"][:7]) == ("no_such", "no_such")
    declared = openapi()["paths"][path][method].get("parameters", [])
    names = [parameter["name"] for parameter in declared if parameter["in"] == "query"]
    expected = f"allowed: {', '.join(names)}" if names else "this path takes none"
    assert problem["hint"] == expected


def test_a_misspelt_query_parameter_is_told_which_one_was_meant(client: httpx.Client) -> None:
    problem = client.get(f"{BASE}/jobs", params={"sate": "FAILED", "x": 1, "limit": 0}).json()
    assert problem["detail"] == "sate: there is no such query parameter (and 1 more)"
    allowed = "limit, cursor, state, task, campaign_id, queue"
    assert problem["hint"] == f"did you mean 'state'? allowed: {allowed}"


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
def test_an_idempotency_key_that_is_none_is_refused(client: httpx.Client, key: str) -> None:
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    response = client.post(f"{BASE}/jobs", content=b"{}", headers=headers)
    assert response.status_code == 422
    assert response.json()["path"] == "Idempotency-Key"


def test_json_never_holds_what_is_no_number() -> None:
    assert answer({"a": math.nan, "b": [math.inf, -math.inf]}).body == b'{"a":null,"b":[null,null]}'


def test_times_are_written_in_utc() -> None:
    assert written_time(0.5) == "1970-01-01T00:00:00.500000+00:00"
    assert written_time(None) is None


def test_places_are_written_as_in_a_definition() -> None:
    assert written(("body", "kwargs", "grid", 2, "x")) == "kwargs.grid[2].x"
    assert written(("body",)) == "body"


def test_the_table_of_statuses_has_no_error_that_nobody_drew() -> None:
    assert set(STATUS) <= set(EXPECTED)
