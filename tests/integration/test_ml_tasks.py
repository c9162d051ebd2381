"""Learning from tables by a plain Celery client, on real workers."""

from __future__ import annotations

import csv
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_diabetes

from fixtures import only_postgresql, only_sqlite
from materia import settings
from materia.services import jobs
from materia.store import models as model_rows
from materia.store.database import database
from servers import wait_until
from workers import Cluster

FOREST = {"n_estimators": 20, "max_depth": 4, "target": "target", "num_partitions": 3}


@pytest.fixture
def root(cluster: Cluster) -> Path:
    """The data root, with a real data set of 442 rows in it."""
    found = load_diabetes()
    root = settings.current().data_root
    with (root / "diabetes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*found.feature_names, "target"])
        writer.writerows([*row, y] for row, y in zip(found.data, found.target, strict=True))
    return root


def ask(cluster: Cluster, task: str, **kwargs: Any) -> Any:
    return cluster.client().send_task(f"tasks.ml_tasks.{task}", kwargs=kwargs, queue="ml")


@only_postgresql
def test_a_model_is_trained_stored_and_predicts(cluster: Cluster, root: Path) -> None:
    cluster.worker()
    answer = ask(
        cluster, "distributed_training", model_config=FOREST, dataset_path="diabetes.csv"
    ).get(timeout=120)
    assert answer["status"] == "success"
    assert (answer["total_samples"], answer["num_partitions"]) == (442, 3)
    assert 0.2 < answer["ensemble_score"] < 0.7
    assert len(answer["results"]) == 3
    assert {"score", "n_samples", "config"} <= set(answer["results"][0])
    with database().read() as connection:
        row = model_rows.get(connection, answer["model_id"])
    assert row is not None
    assert (root / row["path"]).is_file()

    for named in ({"model_path": answer["model_path"]}, {"model_id": answer["model_id"]}):
        predicted = ask(
            cluster, "batch_predictions", data_batches=["diabetes.csv", "diabetes.csv"], **named
        ).get(timeout=120)
        assert (predicted["status"], predicted["total_predictions"]) == ("success", 884)
        assert len(predicted["predictions"]) == 100
        lines = [(root / name).read_text().splitlines() for name in predicted["output_files"]]
        assert [len(file) for file in lines] == [443, 443]
        assert lines[0] == lines[1]
        assert lines[0][0] == "row_id,prediction,std"


@only_sqlite
def test_a_grid_of_three_by_three_by_three_is_27_trials(cluster: Cluster, root: Path) -> None:
    cluster.worker()
    grid = {
        "n_estimators": [5, 10, 15],
        "max_depth": [2, 3, 4],
        "min_samples_leaf": [1, 5, 10],
    }
    answer = ask(
        cluster,
        "hyperparameter_search",
        param_grid=grid,
        dataset_path="diabetes.csv",
        model_config={"target": "target"},
        cv=2,
    ).get(timeout=120)
    assert len(answer["all_results"]) == 27
    first, last = answer["all_results"][0]["params"], answer["all_results"][-1]["params"]
    assert first == {"n_estimators": 5, "max_depth": 2, "min_samples_leaf": 1}
    assert last == {"n_estimators": 15, "max_depth": 4, "min_samples_leaf": 10}
    assert answer["best_score"] == max(trial["score"] for trial in answer["all_results"])


@only_sqlite
def test_what_does_not_fit_fails_at_once_with_its_reason(cluster: Cluster, root: Path) -> None:
    cluster.worker()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"model_config": {"n_estimator": 5}, "dataset_path": "diabetes.csv"}, "definition"),
        ({"model_config": {}, "dataset_path": "../../../etc/passwd"}, "access"),
        ({"model_config": {"target": "y"}, "dataset_path": "diabetes.csv"}, "data"),
    ]
    for kwargs, code in cases:
        asked = ask(cluster, "distributed_training", **kwargs)
        with pytest.raises(Exception):  # noqa: B017 - Celery makes the class anew
            asked.get(timeout=120)
        row = jobs.get(asked.id)
        assert (row["state"], row["attempt"]) == ("FAILED", 1)
        assert code in row["error"]["code"]
        assert row["error"]["hint"]


@only_sqlite
def test_what_was_finished_is_not_computed_again_after_a_crash(
    cluster: Cluster, root: Path
) -> None:
    cluster.scheduler()
    worker = cluster.worker(concurrency=1)
    # Trials that take long enough to be interrupted.
    grid = [{"n_estimators": 150, "min_samples_leaf": leaf} for leaf in range(1, 7)]
    asked = ask(
        cluster,
        "hyperparameter_search",
        param_grid=grid,
        dataset_path="diabetes.csv",
        model_config={"target": "target"},
        cv=2,
    )
    kept = settings.current().artifact_dir / "jobs"
    wait_until(lambda: len(list(kept.glob("*/*.npz"))) >= 4, "some folds are scored")
    os.kill(worker.children()[0], signal.SIGKILL)
    n_finished = len(list(kept.glob("*/*.npz")))
    answer = asked.get(timeout=180)
    assert len(answer["all_results"]) == 6
    row = jobs.get(asked.id)
    assert (row["state"], row["attempt"], row["crashes"]) == ("SUCCEEDED", 2, 1)
    assert n_finished <= answer["items_resumed"] <= 12
    assert not list(kept.iterdir())
