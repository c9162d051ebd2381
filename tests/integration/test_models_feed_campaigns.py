"""From a campaign to a model and back to a campaign, on real workers."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from campaigns_under_test import finished, params_of
from fixtures import only_sqlite
from materia import Campaign, cli, evaluators, settings
from materia.client import Client
from materia.mdl import load
from materia.services import campaign_models, campaigns, jobs
from serving import ThreadServer
from workers import Cluster

PAGE = (Path(__file__).parents[2] / "docs" / "tables-and-learning.md").read_text()
ONE_CALL = PAGE.split("## From a campaign to a model, and back")[1]


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", ONE_CALL, re.M | re.S)
    return str(found)


def coating(name: str, evaluator: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "parameters": [
            {"name": "gas", "type": "categorical", "choices": ["Ar", "N2"]},
            {"name": "power", "type": "continuous", "bounds": [50, 200]},
        ],
        "objectives": [{"name": "capacity", "direction": "maximize"}],
        "evaluator": evaluator,
        "optimizer": {"budget": 24, "batch_size": 6, "seed": 2, **changes.pop("optimizer", {})},
        **changes,
    }


FORMULA = {
    "type": "expression",
    "options": {
        "capacity": "20 - ((power - 120) / 40) ** 2 + a",
        "a": {"gas": {"Ar": 0, "N2": 3}},
    },
}


@only_sqlite
def test_a_campaign_trains_a_model_that_evaluates_the_next_campaign(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.worker()
    cluster.scheduler()
    first = campaigns.run(coating("li-ion-cathode", FORMULA))["campaign_id"]
    assert finished(cluster, first)["evaluations_completed"] == 24

    # As the page says, in Python and in a terminal.
    with ThreadServer() as server:
        monkeypatch.setenv("MATERIA_SERVER", server.url)
        monkeypatch.setattr(Client, "local", lambda: Client(server.url))
        found: dict[str, Any] = {}
        exec(block("python"), found)  # noqa: S102 - the page is ours
        short, whole = block("sh").splitlines()
        assert whole.startswith(short)
        printed = CliRunner().invoke(cli.app, shlex.split(whole)[1:])
    assert json.loads(printed.stdout)["estimator"] == "extra_trees"
    started, model_id = found["started"], found["model_id"]
    assert (started["n_rows"], started["n_failed"]) == (24, 0)
    trained = jobs.get(started["task_id"])
    assert (trained["result"]["estimator"], trained["result"]["total_samples"]) == ("gp", 24)

    # The same table is where the second campaign begins.
    options = {"model_id": model_id, "standard_error": True}
    warm = {"warm_start": {"dataset": started["dataset_path"]}}
    few = {"optimizer": {"budget": 12}}
    source = coating("predicted", {"type": "model", "options": options}, **warm, **few)
    second = campaigns.run(source)["campaign_id"]
    # What was read at the start counts; the file may change meanwhile.
    dataset = settings.current().data_root / started["dataset_path"]
    text = dataset.read_text()
    dataset.write_text("gas,power,hardness\nAr,50,1\n")
    row = finished(cluster, second)
    assert (row["state"], row["evaluations_failed"]) == ("completed", 0), row["error"]
    dataset.write_text(text)

    # Bit for bit what the library does with the same definition.
    monkeypatch.chdir(settings.current().data_root)
    definition = load(source)
    campaign = Campaign.from_dict(source)
    roots = {"data_roots": settings.current().allowed_roots}
    evaluator = evaluators.build(definition, **roots)
    while n := campaign.next_batch_size():
        for candidate in campaign.ask(n):
            campaign.tell({candidate.id: evaluator.evaluate(candidate.params, seed=0).told})
    assert params_of(second) == [candidate["params"] for candidate in campaign.candidates]
    assert row["best"] == campaign.best()
    assert row["best"]["params"]["gas"] == "N2"
    assert row["best"]["outcomes"]["capacity"] == pytest.approx(23, abs=0.5)

    # The definition that was kept names both files by content.
    kept = row["definition"]
    assert set(kept["evaluator"]["options"]["sha256"]) == {"capacity"}
    assert len(kept["warm_start"]["sha256"]) == 64

    # A replaced model file ends the next campaign of that definition before it begins.
    model = settings.current().data_root / trained["result"]["model_path"]
    model.write_bytes(model.read_bytes() + b" ")
    with pytest.raises(Exception, match="is not the one that was registered"):
        campaigns.run(kept)


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    assert f"At least {campaign_models.MIN_ROWS} measurements" in ONE_CALL
    assert f"up to {campaign_models.FEW_ROWS}, one Gaussian process" in ONE_CALL
