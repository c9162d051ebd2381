"""What a surrogate has learnt, by HTTP, SDK and terminal; results are told as workers tell them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from fixtures import only_sqlite
from materia import cli
from materia.client import Client
from materia.engine.campaign import Campaign
from materia.errors import DataError, NotFoundError, StateError
from materia.services import explanation
from materia.store import campaigns as campaign_rows
from materia.store.database import database
from serving import ThreadServer

pytestmark = only_sqlite

MIXED: dict[str, Any] = {
    "name": "mixed",
    "parameters": [
        {"name": "x", "type": "continuous", "bounds": [0, 1]},
        {"name": "rate", "type": "continuous", "bounds": [0.01, 100], "log_scale": True},
        {"name": "gas", "type": "categorical", "choices": ["argon", "helium"]},
        {
            "name": "alloy",
            "type": "composition",
            "total": 100,
            "parts": [{"name": "Ni"}, {"name": "Cu"}, {"name": "Pt"}],
        },
    ],
    "objectives": [{"name": "a"}, {"name": "b", "direction": "maximize"}],
    "evaluator": {
        "type": "expression",
        "options": {"a": "(x - 0.3) ** 2 + Ni / 100", "b": "log(rate) + x"},
    },
    "optimizer": {"budget": 30, "batch_size": 10, "seed": 1},
}


@pytest.fixture
def server(backends: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadServer]:
    with ThreadServer() as started:
        monkeypatch.setenv("MATERIA_SERVER", started.url)
        yield started
    explanation._kept.clear()


def start(client: Client, n_told: int, **changed: Any) -> str:
    """Start a campaign with results of its initial design, two of them failures."""
    definition = {**MIXED, **changed}
    campaign_id = str(client.campaigns.run(definition)["campaign_id"])
    batch = Campaign.from_dict(definition).ask(n_told + 2)
    rows = [
        {
            "campaign_id": campaign_id,
            "number": i,
            "id": candidate.id,
            "iteration": 0,
            "state": "told" if i < n_told else "failed",
            "params": candidate.params,
            "predicted": None,
            "why": {"source": "initial design"},
            "outcomes": outcomes(candidate.params) if i < n_told else None,
        }
        for i, candidate in enumerate(batch)
    ]
    with database().write() as connection:
        campaign_rows.add_candidates(connection, rows)
        values = {"evaluations_completed": n_told, "evaluations_failed": 2}
        campaign_rows.change(connection, campaign_id, values)
    return campaign_id


def outcomes(params: dict[str, Any]) -> dict[str, float]:
    a = (params["x"] - 0.3) ** 2 + params["Ni"] / 100
    return {"a": a, "b": math.log(params["rate"]) + params["x"]}


def test_what_was_learnt_is_told_along_and_over_parameters(server: ThreadServer) -> None:
    with Client(server.url) as client:
        here = start(client, 16)
        found = client.campaigns.explanation(here)
        assert (found["n_results"], found["needed"], found["reason"]) == (16, 0, None)
        importance = found["importance"]["b"]
        assert set(importance) == {"x", "rate", "gas", "alloy"}
        assert max(importance, key=lambda name: importance[name]) == "rate"
        assert found["quality"]["b"]["n"] == len(found["parity"]["b"]["measured"]) == 16
        line = client.campaigns.slice(here, "rate", points=9)
        assert len(line["values"]) == len(line["predicted"]["a"]["std"]) == 9
        assert line["values"][4] == pytest.approx(1.0)  # the middle of a logarithmic scale
        assert len(line["measured"]) == 16
        assert client.campaigns.slice(here, "gas")["values"] == ["argon", "helium"]
        through = client.campaigns.slice(here, "Ni", at="c0003", points=5)
        assert through["at"]["x"] == client.campaigns.candidates(here)[2]["params"]["x"]
        plane = client.campaigns.contour(here, "x", "gas", points=4)
        assert [len(values) for values in plane["values"]] == [4, 2]
        assert len(plane["predicted"]["a"]["mean"]) == 2
        with pytest.raises(DataError, match="no parameter 'y'"):
            client.campaigns.slice(here, "y")
        with pytest.raises(DataError, match="independently"):
            client.campaigns.contour(here, "Ni", "Cu")
        with pytest.raises(NotFoundError, match="no candidate 'c0018'"):
            client.campaigns.slice(here, "x", at="c0018")  # it has failed
    for line, expected in (
        ("explain mixed", "what matters"),
        ("explain mixed", "inside 95 % intervals"),
        ("explain mixed --along rate", "±"),
        ("explain mixed --over x rate", '"is_allowed"'),
    ):
        shown = CliRunner().invoke(cli.app, ["campaign", *line.split()])
        assert expected in shown.stdout, shown.output


def test_what_cannot_be_explained_says_why(server: ThreadServer) -> None:
    with Client(server.url) as client:
        few = start(client, 1)
        found = client.campaigns.explanation(few)
        assert (found["needed"], found["reason"]) == (2, "it needs 2 more results")
        with pytest.raises(StateError, match="needs 2 more results"):
            client.campaigns.slice(few, "x")
        direct = start(client, 5, optimizer={**MIXED["optimizer"], "surrogate": "none"})
        found = client.campaigns.explanation(direct)
        assert (found["needed"], found["importance"]) == (0, {})
        assert found["reason"] == "this campaign searches without a surrogate"
        with pytest.raises(NotFoundError):
            client.campaigns.explanation("nothing")
    shown = CliRunner().invoke(cli.app, ["campaign", "explain", few])
    assert "it needs 2 more results" in shown.stdout
