"""`docs/keys.md` says what holds: its commands run, against a server and on its database."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fixtures import only_sqlite
from materia import cli, settings
from materia.api import pace
from materia.client import Client
from materia.errors import AccessError, NotFoundError
from materia.services import audit, due_times, keys, quotas, schedules
from materia.settings import Settings
from servers import wait_until
from serving import Server, ThreadServer, serving_commands

PAGE = (Path(__file__).parents[2] / "docs" / "keys.md").read_text()


@pytest.fixture
def server(backends: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadServer]:
    """Return a running API that commands find by the environment."""
    with serving_commands(monkeypatch) as started:
        yield started


def printed(*arguments: str) -> str:
    result = CliRunner().invoke(cli.app, list(arguments))
    if result.exception is not None and result.exit_code != 0:
        raise AssertionError(result.output) from result.exception
    return str(result.stdout)


def commands() -> list[list[str]]:
    """Return every command of the page, without `materia`."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("materia")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


@only_sqlite
def test_every_command_of_the_page_runs(server: ThreadServer) -> None:
    told = {}
    for command in commands():
        if command[1] == "revoke":
            wall = next(row for row in keys.every() if row["name"] == "wall")
            command = [*command[:2], wall["id"][:8]]
        told[" ".join(command[1:3])] = printed(*command)
    rows = {row["name"]: row for row in keys.every()}
    assert set(rows) == {"anna", "wall", "anna-laptop", "bert-laptop", "me"}
    assert keys.state_of(rows["wall"]) == "revoked"
    assert rows["wall"]["expires_at"] is not None
    assert {rows[f"{name}-laptop"]["owner"] for name in ("anna", "bert")} == {"lab"}
    assert rows["me"]["scopes"] == ["admin"]
    assert "anna" in told["list"]
    secret = told["create anna"].split()[-1]
    with Client(server.url, secret) as client:
        assert client.keys.current() == {
            "id": rows["anna"]["id"],
            "name": "anna",
            "owner": "anna",
            "scopes": ["read", "write"],
        }
        with pytest.raises(AccessError, match="no scope 'admin'"):
            client.keys.list()


@only_sqlite
def test_the_database_answers_like_the_server(server: ThreadServer) -> None:
    made = json.loads(printed("keys", "create", "anna", "--json"))
    direct = json.loads(printed("keys", "create", "bert", "--json", "--database"))
    assert made.keys() == direct.keys()
    both = [json.loads(printed("keys", "list", "--json", *more)) for more in ([], ["--database"])]
    assert both[0] == both[1]
    assert "1 older ones; --limit shows more" in printed("keys", "list", "--limit", "1")
    revoked = json.loads(printed("keys", "revoke", direct["id"][:8], "--json", "--database"))
    assert revoked["state"] == "revoked"
    assert "nothing was changed or refused" in printed("keys", "audit", "--refused", "--database")


@only_sqlite
def test_a_database_that_is_not_there_is_not_made(
    backends: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MATERIA_DATABASE_URL")
    monkeypatch.setenv("MATERIA_DATA_DIR", str(tmp_path / "none"))
    settings.current.cache_clear()
    result = CliRunner().invoke(cli.app, ["keys", "list", "--database"])
    assert isinstance(result.exception, NotFoundError)
    assert not (tmp_path / "none").exists()


@only_sqlite
def test_a_server_without_a_key_prints_its_first_one_once(
    backends: dict[str, str], tmp_path: Path
) -> None:
    without = {name: value for name, value in backends.items() if name != "MATERIA_API_KEY"}
    for n_printed in (1, 0):
        with Server(tmp_path, without) as server:
            if n_printed:
                wait_until(lambda: keys.PREFIX in server.log(), "the first key is printed")
                (secret,) = set(re.findall(rf"{keys.PREFIX}\S+", server.log()))
            with Client(server.url, secret) as client:
                assert client.keys.current()["scopes"] == list(keys.SCOPES)
                assert [row["id"] for row in client.keys.list()["items"]] == [keys.FIRST]
            server.stop()
            assert server.log().count("first admin key of this server") == n_printed


def test_numbers_and_names_of_the_page_are_those_of_the_code() -> None:
    defaults = Settings.model_construct()
    for number in (
        f"{defaults.changes_per_s:g} requests a second that change",
        f"{defaults.requests_per_s:g} in all",
        f"{defaults.max_waiting_jobs} jobs may wait",
        f"{defaults.max_waiting_jobs_in_all} in all",
        f"`MATERIA_KEEP_AUDIT_DAYS` ({defaults.keep_audit_days:g})",
        f"at most {audit.MAX_ROWS}",
        f"beyond {audit.REFUSALS_AT_ONCE:g} refusals at once",
        f"{audit.REFUSALS_PER_S:g} a second",
        f"at least {due_times.MIN_INTERVAL_S:g} seconds",
        f"{schedules.MAX_SCHEDULES} schedules",
        f"every {pace.EXCHANGE_EVERY_S:g} s",
        f"for {quotas.TRUSTED_S:g} seconds at most",
    ):
        assert number in " ".join(PAGE.split()), number
    assert (pace.BURST_S, quotas.PART) == (10, 8)
    assert all(f"| `{scope}` |" in PAGE for scope in keys.SCOPES)
