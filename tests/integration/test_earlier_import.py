"""Earlier measurements given to a campaign that has not started: all of them, or nothing."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from campaigns_under_test import branin_currin, finished, golden, params_of
from fixtures import only_sqlite
from materia import cli, settings
from materia.client import Client
from materia.errors import ConflictError, DataError, DefinitionError, NotFoundError, StateError
from materia.services import campaigns, jobs
from materia.services.campaign_steps import load_engine
from serving import serving_commands
from workers import Cluster

pytestmark = only_sqlite
ROOT = Path(__file__).parents[2]
ROWS = [
    {"params": {"x1": 0.25, "x2": 0.5}, "outcomes": {"branin": 20.5, "currin": [8.0, 0.5]}},
    {"params": {"x1": 0.75, "x2": 0.1}, "outcomes": {"branin": 31.0, "currin": 5.25}},
    {"params": {"x1": 0.1, "x2": 1 / 3}, "outcomes": {"branin": 90.0, "currin": 7.0}},
]
CSV = "x1,x2,branin,currin\n0.25,0.5,20.5,8.0\n0.75,0.1,31.0,5.25\n"


@pytest.fixture
def client(backends: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """Return a client of a running API, which commands find too."""
    with serving_commands(monkeypatch) as server, Client(server.url) as opened:
        yield opened


def test_a_campaign_with_imported_rows_equals_one_that_had_them_from_the_start(
    client: Client, cluster: Cluster
) -> None:
    source = branin_currin(optimizer={"budget": 10})
    made = client.campaigns.create(source)
    assert (made["state"], made["started_at"]) == ("created", None)
    assert jobs.page(10)[1] == 0
    taken = client.campaigns.import_earlier(made["id"], ROWS)
    assert (taken["n_rows"], taken["skipped"]) == (3, [])
    assert n_earlier(made["id"]) == 3
    # The same again changes nothing; others need a word.
    assert client.campaigns.import_earlier(made["id"], ROWS) == taken
    with pytest.raises(ConflictError, match=rf"begins with 'campaigns/{made['id']}/earlier-"):
        client.campaigns.import_earlier(made["id"], ROWS[:1])

    cluster.worker()
    cluster.scheduler()
    started = client.campaigns.start(made["id"])
    assert started["state"] == "running"
    assert client.campaigns.start(made["id"])["id"] == made["id"]
    finished(cluster, made["id"])
    assert params_of(made["id"]) == params_of_library(source)
    with pytest.raises(StateError, match="given before it starts"):
        client.campaigns.import_earlier(made["id"], ROWS, replace=True)
    # A clone begins with the same rows.
    clone = client.campaigns.clone(made["id"], "second")
    assert clone["warm_start"]["sha256"] == taken["sha256"]
    assert n_earlier(client.campaigns.create(clone)["id"]) == 3


def n_earlier(campaign_id: str) -> int:
    return len(load_engine(campaign_id)[1].dump()["added"])


def params_of_library(source: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the library asks that was given the same rows."""
    from materia import Campaign

    begun = Campaign.from_dict(copy.deepcopy(source))
    for row in ROWS:
        told = {k: tuple(v) if isinstance(v, list) else v for k, v in row["outcomes"].items()}
        begun.add(row["params"], told)
    ended = golden(source, begun)
    return [candidate["params"] for candidate in ended.dump()["candidates"]]


def test_every_bad_row_is_named_and_nothing_is_taken_in(client: Client, tmp_path: Path) -> None:
    made = client.campaigns.create(branin_currin())
    before = client.campaigns.get(made["id"])["definition"]
    file = tmp_path / "measured.csv"
    file.write_text(f"{CSV}2.0,0.5,1,1\n0.5,0.5,,1\n0.5,many,1,1\n")
    with pytest.raises(DefinitionError) as refused:
        client.campaigns.import_earlier(made["id"], file)
    assert [finding["line"] for finding in refused.value.findings] == [4, 5, 6]
    bad = [*ROWS, {"params": {"x1": 7, "x2": 0.5}, "outcomes": {"branin": 1, "currin": 1}}]
    with pytest.raises(DefinitionError) as refused:
        client.campaigns.import_earlier(made["id"], bad)
    (finding,) = refused.value.findings
    assert finding["path"] == "rows[3]"
    assert "x1" in finding["message"]
    misnamed = [{"params": {"x1": 0, "x3": 0.5}, "outcomes": {"brannin": 1, "currin": 1}}]
    with pytest.raises(DefinitionError, match=r"rows\[0\]: nothing is named 'x3'"):
        client.campaigns.import_earlier(made["id"], misnamed)
    file.write_text("x1,x2,branin\n0,0,1\n")
    with pytest.raises(DataError, match="no column 'currin'"):
        client.campaigns.import_earlier(made["id"], file)
    with pytest.raises(DataError, match="cannot be read"):
        client.campaigns.import_earlier(made["id"], tmp_path / "nothing.csv")
    with pytest.raises(NotFoundError):
        client.campaigns.import_earlier("nothing", ROWS)
    assert client.campaigns.get(made["id"])["definition"] == before
    assert not list(settings.current().data_root.glob("campaigns/*/*"))


def test_commands_create_import_and_start(client: Client, tmp_path: Path) -> None:
    def printed(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(cli.app, list(arguments))
        assert result.exit_code == code, result.output
        return str(result.output)

    definition, file = tmp_path / "branin.json", tmp_path / "measured.csv"
    definition.write_text(json.dumps(branin_currin()))
    file.write_text(f"{CSV}9,9,9,9\n")
    assert "is created" in printed("campaign", "create", str(definition))
    shown = printed("campaign", "import", "branin-currin", str(file), "--skip-bad-rows")
    assert "left out: line 4" in shown
    assert "2 earlier measurements taken in" in shown
    assert "is running" in printed("campaign", "start", "branin-currin")
    (campaign,), _ = campaigns.page(1)
    assert campaign["state"] == "running"
    steps = {row["step"] for row in jobs.page(10, campaign_id=campaign["id"])[0]}
    assert steps == {"campaign", "train_surrogate"}


def test_the_example_of_the_guide_runs(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (ROOT / "docs" / "api.md").read_text()
    (example,) = (block for block in guide.split("```") if "import_earlier" in block)
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(Client, "local", lambda: Client(client.url))
    exec(example.removeprefix("python\n"), {})  # noqa: S102 - the page is ours
    (campaign,), _ = campaigns.page(1)
    assert (campaign["state"], n_earlier(campaign["id"])) == ("running", 1)


def test_a_campaign_that_was_only_created_can_be_stopped_and_deleted(client: Client) -> None:
    made = client.campaigns.create(branin_currin(), idempotency_key="once")
    assert client.campaigns.create(branin_currin(), idempotency_key="once")["id"] == made["id"]
    with pytest.raises(StateError, match="is created and cannot be paused"):
        client.campaigns.pause(made["id"])
    assert client.campaigns.stop(made["id"])["state"] == "stopped"
    with pytest.raises(StateError, match="is stopped and cannot be started"):
        client.campaigns.start(made["id"])
    client.campaigns.delete(made["id"])
