"""Models trained again on real workers: compared fairly, promoted once, and told of."""

from __future__ import annotations

import csv
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from sklearn.datasets import load_diabetes

from fixtures import only_postgresql, only_sqlite
from materia import settings
from materia.api.app import create_app
from materia.client import Client
from materia.errors import DefinitionError, NotFoundError, StateError
from materia.services import jobs, models, retrainings
from materia.services.retrainings import NewRetraining
from materia.store.database import database
from materia.store.tables import jobs as job_table
from servers import wait_until
from serving import InProcess
from workers import Cluster

DIABETES = load_diabetes()
CONFIG = {"n_estimators": 3, "max_depth": 1, "target": "target", "num_partitions": 1}


def write(name: str, n_rows: int = 442) -> None:
    """Write rows of the real table of diabetes below the data root."""
    path = settings.current().data_root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*DIABETES.feature_names, "target"])
        rows = zip(DIABETES.data, DIABETES.target, strict=True)
        writer.writerows([[*row, y] for row, y in rows][:n_rows])


@pytest.fixture
def sdk(backends: dict[str, str]) -> Iterator[Client]:
    """Return the SDK's client of the application in this process."""
    with Client("http://test", transport=InProcess(create_app(), raises=True)) as opened:
        yield opened


def notifications() -> list[str]:
    with database().read() as connection:
        query = job_table.select().where(job_table.c.task == retrainings.NOTIFY)
        rows = connection.execute(query.order_by(job_table.c.queued_at)).mappings().all()
    return [row["kwargs"]["message"] for row in rows]


@only_postgresql
def test_a_model_is_replaced_by_a_better_one_and_kept_before_a_worse_one(
    cluster: Cluster, sdk: Client
) -> None:
    cluster.worker()
    write("few.csv", 150)
    sdk.retrainings.create("glucose", "few.csv", CONFIG)

    def run() -> Any:
        submitted = sdk.retrainings.run("glucose")
        return sdk.jobs.result(submitted["task_id"], timeout_s=240)

    first = run()
    assert (first["status"], first["outcome"], first["former_score"]) == (
        "success",
        "promoted",
        None,
    )
    assert sdk.retrainings.get("glucose")["champion_id"] == first["model_id"]
    assert sdk.models.get("glucose")["id"] == first["model_id"]

    assert run()["outcome"] == "unchanged"

    sdk.retrainings.change("glucose", model_config={**CONFIG, "n_estimators": 1})
    worse = run()
    assert (worse["outcome"], worse["model_id"]) == ("kept", first["model_id"])
    assert worse["score"] < worse["former_score"] == pytest.approx(first["score"])

    write("few.csv")
    sdk.retrainings.change("glucose", model_config={**CONFIG, "max_depth": 4, "n_estimators": 30})
    better = run()
    assert (better["outcome"], better["former_model_id"]) == ("promoted", first["model_id"])
    assert better["score"] > better["former_score"]
    assert better["n_held_out"] > first["n_held_out"]

    runs = sdk.retrainings.runs("glucose", limit=3)
    assert [entry["outcome"] for entry in runs["items"]] == ["promoted", "kept", "unchanged"]
    assert runs["total"] == 4
    assert runs["items"][0]["challenger_id"] == better["model_id"]
    older = sdk.retrainings.runs("glucose", cursor=runs["next_cursor"])
    assert [entry["outcome"] for entry in older["items"]] == ["promoted"]
    assert len(notifications()) == 2
    assert "model 'glucose' is replaced" in notifications()[1]

    with pytest.raises(StateError, match="in use"):
        sdk.models.delete(better["model_id"])
    file = settings.current().data_root / first["model_path"]
    assert file.is_file()
    sdk.models.delete(first["model_id"])
    assert not file.exists()
    sdk.retrainings.delete("glucose")
    sdk.models.delete(better["model_id"])
    assert sdk.models.list()["total"] == 0


@only_sqlite
def test_the_daily_job_takes_what_has_data_and_says_what_waits(
    cluster: Cluster, sdk: Client
) -> None:
    cluster.worker()
    names = [entry["name"] for entry in sdk.retrainings.list()["items"]]
    assert names == ["sentiment_analyzer", "stock_predictor"]
    task = "tasks.ml_tasks.retrain_models"
    found = cluster.client().send_task(task, queue="ml").get(timeout=120)
    assert (found["status"], found["models"]) == ("scheduled", [])
    assert [entry["model"] for entry in found["skipped"]] == names
    assert "datasets/stock_predictor.csv" in found["skipped"][1]["reason"]

    write("datasets/stock_predictor.csv", 120)
    sdk.retrainings.change("stock_predictor", model_config=CONFIG)
    sdk.retrainings.create("by_hand", "few.csv", CONFIG, is_daily=False)
    sdk.retrainings.create("at_rest", "few.csv", CONFIG, is_enabled=False)
    write("broken.csv", 3)
    sdk.retrainings.create("broken", "broken.csv", CONFIG)
    asked = cluster.client().send_task(task, queue="ml")
    found = asked.get(timeout=120)
    assert [entry["model"] for entry in found["models"]] == ["broken", "stock_predictor"]
    trained = {entry["model"]: entry["task_id"] for entry in found["models"]}
    done = sdk.jobs.wait(trained["stock_predictor"], timeout_s=240)
    assert done["result"]["outcome"] == "promoted"
    failed = sdk.jobs.wait(trained["broken"], timeout_s=240)
    assert failed["state"] == "FAILED"
    run = sdk.retrainings.runs("broken")["items"][0]
    assert (run["outcome"], run["reason"]) == ("failed", failed["error"]["message"])
    told = " ".join(notifications())
    assert "retraining 'broken' has failed" in told
    assert "model 'stock_predictor' is replaced" in told


@only_sqlite
def test_a_training_whose_process_dies_promotes_once(cluster: Cluster, sdk: Client) -> None:
    cluster.scheduler()
    worker = cluster.worker(concurrency=1)
    write("all.csv")
    slow = {**CONFIG, "n_estimators": 80, "max_depth": 12, "num_partitions": 6}
    sdk.retrainings.create("glucose", "all.csv", slow)
    task_id = sdk.retrainings.run("glucose")["task_id"]
    kept = settings.current().artifact_dir / "jobs"
    wait_until(lambda: len(list(kept.glob("*/*.npz"))) >= 2, "some partitions are trained")
    os.kill(worker.children()[0], signal.SIGKILL)
    result = sdk.jobs.result(task_id, timeout_s=240)
    assert result["outcome"] == "promoted"
    assert result["items_resumed"] >= 2
    assert jobs.get(task_id)["crashes"] == 1
    assert sdk.models.list()["total"] == 1
    assert sdk.retrainings.runs("glucose")["total"] == 1
    assert len(notifications()) == 1
    assert any("partitions trained" in line["text"] for line in sdk.jobs.log(task_id))


@only_sqlite
def test_what_was_promoted_meanwhile_is_not_overwritten(cluster: Cluster) -> None:
    row = retrainings.create(NewRetraining("glucose", "all.csv", CONFIG))
    from materia.store import retrainings as rows

    with database().write() as connection:
        assert rows.finish(connection, row, {"champion_id": "first"})
        assert not rows.finish(connection, row, {"champion_id": "second"})
    assert retrainings.get("glucose")["champion_id"] == "first"


@only_sqlite
def test_entries_that_could_not_be_trained_are_refused(sdk: Client, cluster: Cluster) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"name": "a b", "dataset_path": "x.csv"}, "name"),
        ({"name": "a", "dataset_path": "../x.csv"}, "dataset_path"),
        ({"name": "a", "dataset_path": "x.csv", "metric": "r3"}, "model_config.metric"),
        (
            {"name": "a", "dataset_path": "x.csv", "model_config": {"n_estimator": 1}},
            "model_config.n_estimator",
        ),
        (
            {"name": "a", "dataset_path": "x.csv", "model_config": {"name": "b"}},
            "model_config.name",
        ),
        (
            {
                "name": "a",
                "dataset_path": "x.csv",
                "metric": "r2",
                "model_config": {"metric": "neg_mae"},
            },
            "metric",
        ),
    ]
    for body, path in cases:
        with pytest.raises(DefinitionError) as refused:
            sdk.retrainings.create(**body)
        assert refused.value.path == path
    with pytest.raises(DefinitionError, match="colour"):
        sdk.retrainings.create("a", "x.csv", colour="red")
    with pytest.raises(NotFoundError):
        sdk.retrainings.run("nobody")
    with pytest.raises(NotFoundError):
        models.get("nobody")
    with pytest.raises(DefinitionError):
        sdk.retrainings.change("stock_predictor", champion_id="x")
