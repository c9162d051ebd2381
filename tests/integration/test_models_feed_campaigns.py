"""From a campaign to a model and back to a campaign, on real workers."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns_under_test import finished, params_of
from materia import Campaign, evaluators, settings
from materia.mdl import load
from materia.services import campaign_models, campaigns
from workers import Cluster

only_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def coating(name: str, evaluator: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "parameters": [
            {"name": "gas", "type": "categorical", "choices": ["Ar", "N2"]},
            {"name": "power", "type": "continuous", "bounds": [50, 200]},
        ],
        "objectives": [{"name": "hardness", "direction": "maximize"}],
        "evaluator": evaluator,
        "optimizer": {"budget": 24, "batch_size": 6, "seed": 2, **changes.pop("optimizer", {})},
        **changes,
    }


FORMULA = {
    "type": "expression",
    "options": {
        "hardness": "20 - ((power - 120) / 40) ** 2 + a",
        "a": {"gas": {"Ar": 0, "N2": 3}},
    },
}


@only_sqlite
def test_a_campaign_trains_a_model_that_evaluates_the_next_campaign(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.worker()
    cluster.scheduler()
    first = campaigns.run(coating("measured", FORMULA))["campaign_id"]
    assert finished(cluster, first)["evaluations_completed"] == 24

    started = campaign_models.train(first, "hardness")
    assert (started["n_rows"], started["n_failed"]) == (24, 0)
    trained = cluster.wait(started["task_id"], timeout_s=120)
    assert trained["state"] == "SUCCEEDED", trained["error"]
    model_id = trained["result"]["model_id"]

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
    assert row["best"]["outcomes"]["hardness"] == pytest.approx(23, abs=0.5)

    # The definition that was kept names both files by content.
    kept = row["definition"]
    assert set(kept["evaluator"]["options"]["sha256"]) == {"hardness"}
    assert len(kept["warm_start"]["sha256"]) == 64

    # A replaced model file ends the next campaign of that definition before it begins.
    model = settings.current().data_root / trained["result"]["model_path"]
    model.write_bytes(model.read_bytes() + b" ")
    with pytest.raises(Exception, match="is not the one that was registered"):
        campaigns.run(kept)
