"""Bodies on a real connection, which a refusal must not break before it is read."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import orjson
import pytest

from materia.api.admission import MAX_BODY
from serving import BASE, BEARER, ThreadServer

# More than the buffers of both ends of a connection hold.
N_PARTS, PART = 64, b"[" * (MAX_BODY // 2)


@pytest.fixture
def served(backends: dict[str, str]) -> Iterator[ThreadServer]:
    """Return a server on a socket."""
    with ThreadServer() as server:
        yield server


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
@pytest.mark.parametrize("is_chunked", [True, False], ids=["chunked", "announced"])
def test_a_client_that_sends_too_much_reads_why(
    served: ThreadServer, connection: str, is_chunked: bool
) -> None:
    client = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    headers = {"Content-Type": "application/json", "Connection": connection, **BEARER}
    if not is_chunked:
        headers["Content-Length"] = str(N_PARTS * len(PART))
    parts = (PART for _ in range(N_PARTS))
    client.request("POST", f"{BASE}/jobs", parts, headers, encode_chunked=is_chunked)
    answer = client.getresponse()
    problem = orjson.loads(answer.read())
    assert (answer.status, problem["code"]) == (413, "too_large")
    assert answer.headers["content-type"] == "application/problem+json"
    if connection == "keep-alive":
        client.request("GET", f"{BASE}/health/live")
        assert client.getresponse().status == 200
    client.close()


def test_a_refused_type_is_read_though_the_body_never_was(served: ThreadServer) -> None:
    client = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    headers = {"Content-Type": "text/csv", "Connection": "close", **BEARER}
    client.request("POST", f"{BASE}/campaigns/run", b"x" * MAX_BODY, headers)
    answer = client.getresponse()
    assert (answer.status, orjson.loads(answer.read())["code"]) == (415, "unsupported_media_type")
    client.close()
