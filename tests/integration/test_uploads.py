"""Datasets that are sent over HTTP, by the SDK and from the terminal."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from fixtures import KEY, only_sqlite
from materia import cli, settings
from materia.client import AsyncClient, Client
from materia.errors import AccessError, ConflictError, DataError, NotFoundError, StateError
from materia.services import uploads
from servers import wait_until
from serving import BASE, BEARER, ThreadServer

pytestmark = only_sqlite
DOCS = Path(__file__).parents[2] / "docs"
LIMIT = 1_000_000
TABLE = b"city,amount\n" + b"".join(b"Ulm,%d\n" % n for n in range(1000)) + b"short\n"


@pytest.fixture
def server(backends: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadServer]:
    """Return a running API that takes files of a million bytes."""
    monkeypatch.setenv("MATERIA_MAX_UPLOAD_BYTES", str(LIMIT))
    settings.current.cache_clear()
    with ThreadServer() as started:
        monkeypatch.setenv("MATERIA_SERVER", started.url)
        yield started


def stored() -> set[str]:
    """Return every file below the data root, those on their way included."""
    root = settings.current().data_root
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def send(server: ThreadServer, content: Any, **params: Any) -> httpx.Response:
    headers = {**BEARER, **params.pop("headers", {})}
    url = f"{server.url}{BASE}/datasets"
    return httpx.post(url, params={"path": "a.csv", **params}, content=content, headers=headers)


def test_a_table_is_sent_described_and_listed(server: ThreadServer, tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_bytes(TABLE)
    with Client(server.url) as client:
        found = client.datasets.upload(tmp_path / "orders.csv", "2026/orders.csv")
        assert (found["path"], found["rows"], found["rows_rejected"]) == (
            "2026/orders.csv",
            1000,
            1,
        )
        assert found["sha256"] == hashlib.sha256(TABLE).hexdigest()
        types = {column["name"]: column["type"] for column in found["columns"]}
        assert types == {"city": "text", "amount": "integer"}
        assert client.datasets.get("2026/orders.csv") == found
        assert [one["path"] for one in client.datasets.list()["items"]] == ["2026/orders.csv"]
        # The same content is no conflict, another one is, until it is said to replace the first.
        same = client.datasets.upload(tmp_path / "orders.csv", "2026/orders.csv")
        assert same["sha256"] == found["sha256"]
        for other in (TABLE + b"Bonn,1\n", TABLE.replace(b"Ulm", b"Ulf")):
            (tmp_path / "other.csv").write_bytes(other)
            with pytest.raises(ConflictError, match="another dataset"):
                client.datasets.upload(tmp_path / "other.csv", "2026/orders.csv")
        again = client.datasets.upload(tmp_path / "other.csv", "2026/orders.csv", replace=True)
        assert again["sha256"] != found["sha256"]
        with pytest.raises(NotFoundError, match="no file"):
            client.datasets.upload(tmp_path / "nothing.csv")
    assert stored() == {"2026/orders.csv"}


def test_the_asynchronous_client_sends_compressed_tables(
    server: ThreadServer, tmp_path: Path
) -> None:
    (tmp_path / "orders.csv.gz").write_bytes(gzip.compress(TABLE))

    async def upload() -> Any:
        async with AsyncClient(server.url) as client:
            return await client.datasets.upload(str(tmp_path / "orders.csv.gz"))

    assert asyncio.run(upload())["rows"] == 1000


@pytest.mark.parametrize("is_announced", [True, False], ids=["announced", "chunked"])
def test_what_is_too_large_is_refused_and_not_stored(
    server: ThreadServer, is_announced: bool
) -> None:
    content = b"a,b\n" + b"1,2\n" * LIMIT
    pieces = (
        content if is_announced else (content[i : i + 2**16] for i in range(0, LIMIT * 2, 2**16))
    )
    refused = send(server, pieces)
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
    assert f"larger than {LIMIT} bytes" in refused.json()["detail"]
    assert "MATERIA_MAX_UPLOAD_BYTES" in refused.json()["hint"]
    assert stored() == set()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"1,2\n3,4\n", "no header"),
        (b"PK\x03\x04rest", "zip"),
        (b"a;b\n1;2\n", "separated"),
        (b"a,a\n1,2\n", "more than one column"),
        (b"\xff\x00\n1\n", "UTF-8"),
    ],
)
def test_what_is_no_table_is_refused_with_the_reason_and_not_stored(
    server: ThreadServer, content: bytes, message: str
) -> None:
    refused = send(server, content)
    assert (refused.status_code, refused.json()["code"]) == (422, "data_invalid")
    assert message in refused.json()["detail"]
    assert ".uploads" not in refused.text
    assert stored() == set()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("../a.csv", 403),
        ("/etc/a.csv", 403),
        ("a/../../b.csv", 403),
        ("link/a.csv", 403),
        ("a.xlsx", 422),
        ("a.pkl", 422),
        ("models/a.csv", 422),
        (".hidden/a.csv", 422),
        (".csv", 422),
        ("folder.csv", 422),
        ("file/a.csv", 422),
        ("n" * 300 + ".csv", 422),
        ("a\n.csv", 422),
        ("", 422),
    ],
)
def test_a_place_that_will_not_do_is_refused(
    server: ThreadServer, tmp_path: Path, path: str, status: int
) -> None:
    root = settings.current().data_root
    (root / "link").symlink_to(tmp_path)
    (root / "folder.csv").mkdir()
    (root / "file").write_text("x")
    assert send(server, TABLE, path=path).status_code == status
    assert stored() == {"file"}


def test_a_form_and_a_compressed_body_are_refused(server: ThreadServer) -> None:
    url = f"{server.url}{BASE}/datasets?path=a.csv"
    form = httpx.post(url, files={"file": TABLE}, headers=BEARER)
    assert form.status_code == 415
    assert "-T" in form.json()["hint"]
    packed = send(server, gzip.compress(TABLE), headers={"Content-Encoding": "gzip"})
    assert packed.status_code == 415
    assert stored() == set()


def test_the_same_key_takes_effect_once(server: ThreadServer) -> None:
    headers = {"Idempotency-Key": "one"}
    first = send(server, TABLE, headers=headers)
    assert first.status_code == 201
    assert first.headers["location"] == f"{BASE}/datasets/a.csv"
    assert send(server, TABLE, headers=headers).json()["sha256"] == first.json()["sha256"]
    for other in ({"path": "b.csv"}, {"replace": "true"}):
        refused = send(server, TABLE, headers=headers, **other)
        assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert stored() == {"a.csv"}


def test_a_file_that_ends_early_leaves_nothing(server: ThreadServer) -> None:
    waiting = settings.current().data_root / uploads.FOLDER
    with socket.create_connection(("127.0.0.1", server.port)) as line:
        head = (
            f"POST {BASE}/datasets?path=a.csv HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n"
            f"Authorization: Bearer {KEY}\r\n\r\n"
        )
        line.sendall(head.encode() + TABLE)
        wait_until(lambda: waiting.is_dir() and list(waiting.iterdir()), "it is being received")
        with Client(server.url) as client:
            assert client.datasets.list()["items"] == []
    wait_until(lambda: not list(waiting.iterdir()), "nothing is left of it")
    assert stored() == set()


def test_what_a_killed_server_left_is_cleared_away_later(server: ThreadServer) -> None:
    waiting = settings.current().data_root / uploads.FOLDER
    for name, age_s in (("old", uploads.ABANDONED_S + 60), ("new", 60)):
        (waiting / name).mkdir(parents=True)
        (waiting / name / "a.csv").write_text("half")
        changed = (waiting / name).stat().st_mtime - age_s
        os.utime(waiting / name, (changed, changed))
    assert send(server, TABLE).status_code == 201
    # The server tidies up when it has answered.
    wait_until(lambda: {path.name for path in waiting.iterdir()} == {"new"}, "nothing else waits")


def test_a_full_disk_is_explained(server: ThreadServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("materia.services.uploads.os.fsync", full)
    refused = send(server, TABLE)
    assert (refused.status_code, refused.json()["code"]) == (409, "state")
    assert "No space left" in refused.json()["detail"]
    assert stored() == set()


def test_the_commands_send_tables_too(
    server: ThreadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "alloys.csv").write_bytes(TABLE)
    for line in (
        "materia dataset add alloys.csv",
        "materia dataset add alloys.csv --as 2026/alloys.csv --replace",
    ):
        result = CliRunner().invoke(cli.app, shlex.split(line)[1:])
        assert result.exit_code == cli.OK, result.output
        assert "1000" in result.stdout
        assert "integer" in result.stdout
    (tmp_path / "empty.csv").write_text("")
    listed = CliRunner().invoke(cli.app, ["dataset", "list", "--json"])
    assert [one["rows"] for one in json.loads(listed.stdout)["items"]] == [1000, 1000]
    gone = CliRunner().invoke(cli.app, ["dataset", "delete", "2026/alloys.csv"])
    assert "2026/alloys.csv is deleted" in gone.stdout
    for name, said in (("empty.csv", "'empty.csv' is empty"), (".", "is not an ordinary file")):
        refused = CliRunner().invoke(cli.app, ["dataset", "add", name])
        assert isinstance(refused.exception, DataError)
        assert said in refused.exception.message
    assert stored() == {"alloys.csv"}


def test_a_list_has_what_the_last_look_counted(server: ThreadServer) -> None:
    root = settings.current().data_root
    assert send(server, TABLE).status_code == 201
    (root / "copied.csv").write_bytes(TABLE)
    keys = ("path", "rows", "n_columns", "types", "is_upload")
    with Client(server.url) as client:

        def listed() -> list[tuple[Any, ...]]:
            return [tuple(d[key] for key in keys) for d in client.datasets.list()["items"]]

        sent = ("a.csv", 1000, 2, {"text": 1, "integer": 1}, True)
        assert listed() == [sent, ("copied.csv", None, None, None, False)]
        assert client.datasets.get("copied.csv")["n_columns"] == 2
        assert listed()[1] == ("copied.csv", *sent[1:4], False)
        # What others have changed is not what was counted.
        (root / "a.csv").write_bytes(TABLE + b"Bonn,1\n")
        assert listed()[0] == ("a.csv", None, None, None, False)


def test_only_what_was_sent_and_nothing_needs_is_deleted(server: ThreadServer) -> None:
    root = settings.current().data_root
    for name in ("a.csv", "changed.csv", "2026/free.csv"):
        assert send(server, TABLE, path=name).status_code == 201
    (root / "copied.csv").write_bytes(TABLE)
    (root / "changed.csv").write_bytes(TABLE + b"Bonn,1\n")
    # Sending what its owner copied there before does not make it ours.
    assert send(server, TABLE, path="copied.csv").status_code == 201
    with Client(server.url) as client:
        for name, reason in (
            ("copied.csv", "was not sent to this server"),
            ("changed.csv", "was changed by others"),
        ):
            with pytest.raises(StateError, match=reason):
                client.datasets.delete(name)
        with pytest.raises(NotFoundError):
            client.datasets.delete("nothing.csv")
        with pytest.raises(AccessError):
            client.datasets.delete("/etc/passwd")
        client.retrainings.create("cities", "a.csv", {"target": "amount"})
        with pytest.raises(StateError, match="the retraining 'cities' needs"):
            client.datasets.delete("a.csv")
        client.retrainings.delete("cities")
        job = client.models.train(str(root / "a.csv"), {"target": "amount"})["task_id"]
        with pytest.raises(StateError, match=job):
            client.datasets.delete("a.csv")
        client.jobs.cancel(job)
        assert client.datasets.delete("a.csv")["rows"] == 1000
        client.datasets.delete("2026/free.csv")
        with pytest.raises(NotFoundError):
            client.datasets.delete("a.csv")
    assert stored() == {"copied.csv", "changed.csv"}


def test_the_request_of_the_guide_is_taken(server: ThreadServer) -> None:
    (line,) = (line for line in (DOCS / "api.md").read_text().splitlines() if "-T examples" in line)
    words = shlex.split(line)
    file, url = words[words.index("-T") + 1], words[-1].replace("$URL", server.url)
    answer = httpx.post(url, content=(DOCS.parent / file).read_bytes(), headers=BEARER)
    assert answer.status_code == 201, answer.text
