"""Jobs on a Ray cluster, through real workers: the same results, cancelled and killed alike."""

from __future__ import annotations

import csv
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from sklearn.datasets import load_diabetes

from fixtures import only_sqlite
from materia import settings
from materia.services import jobs
from ray_heads import RayHead
from servers import is_alive, wait_until
from workers import Cluster

pytestmark = [
    pytest.mark.alone,
    only_sqlite,
]

FOREST = {"n_estimators": 10, "max_depth": 4, "target": "target", "num_partitions": 3}
GRID = {"max_depth": [2, 3], "min_samples_leaf": [1, 5]}


def ask(cluster: Cluster, task: str, **kwargs: Any) -> Any:
    name = f"tasks.ml_tasks.{task}"
    return cluster.client().send_task(name, kwargs=kwargs, queue="ml").get(timeout=180)


def learn(cluster: Cluster, root: Path) -> list[Any]:
    """Return what training, search and prediction answer, without names and times."""
    data = "diabetes.csv"
    trained = ask(cluster, "distributed_training", model_config=FOREST, dataset_path=data)
    searched = ask(
        cluster,
        "hyperparameter_search",
        param_grid=GRID,
        dataset_path=data,
        model_config={"target": "target", "n_estimators": 10},
        cv=2,
    )
    predicted = ask(
        cluster, "batch_predictions", model_id=trained["model_id"], data_batches=[data, data]
    )
    files = [(root / name).read_text() for name in predicted["output_files"]]
    scores = [trained[name] for name in ("avg_score", "ensemble_score", "results")]
    chosen = [searched[name] for name in ("best_params", "best_score", "all_results")]
    return [scores, chosen, predicted["predictions"], files]


def test_ray_and_local_processes_give_identical_results(
    cluster: Cluster, ray_head: RayHead
) -> None:
    found = load_diabetes()
    root = settings.current().data_root
    with (root / "diabetes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*found.feature_names, "target"])
        writer.writerows([*row, y] for row, y in zip(found.data, found.target, strict=True))
    local = cluster.worker(concurrency=1)
    expected = learn(cluster, root)
    local.kill()
    cluster.environment.update(ray_head.variables())
    cluster.worker(concurrency=1)
    assert learn(cluster, root) == expected


@pytest.mark.parametrize("how", ["cancel", "soft limit", "kill"])
def test_what_a_job_has_on_ray_ends_with_it(
    how: str, cluster: Cluster, ray_head: RayHead, tmp_path: Path
) -> None:
    cluster.environment.update(ray_head.variables())
    worker = cluster.worker(concurrency=1)
    options: dict[str, Any] = {"soft_time_limit": 15} if how == "soft limit" else {}
    asked = cluster.client().send_task("tasks.test.map_and_hang", args=[str(tmp_path)], **options)
    paths = [tmp_path / "0.pid", tmp_path / "1.pid"]
    wait_until(lambda: all(p.is_file() and p.read_text() for p in paths), "both run", 120)
    pids = [int(path.read_text()) for path in paths]
    assert set(pids) <= set(ray_head.processes())
    if how == "cancel":
        jobs.cancel(asked.id)
        assert cluster.wait(asked.id)["state"] == "CANCELLED"
    elif how == "kill":
        for child in worker.children():
            os.kill(child, signal.SIGKILL)
    else:
        assert cluster.wait(asked.id)["state"] == "FAILED"
    wait_until(lambda: not any(map(is_alive, pids)), "nothing of it runs", 60)
