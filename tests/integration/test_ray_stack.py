"""`materia up --ray`: a head that is supervised like everything else."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from celery import Celery

from servers import is_alive, wait_until
from stacks import Stack, materia

TRAINING = {
    "model_config": {"estimator": "linear", "target": "y", "num_partitions": 2},
    "dataset_path": "line.csv",
}


def train(stack: Stack) -> str:
    found = stack.state()
    with Celery(
        broker=found["broker_url"], backend=found["result_backend"], set_as_current=False
    ) as app:
        task = "tasks.ml_tasks.distributed_training"
        return str(app.send_task(task, kwargs=TRAINING, queue="ml").get(timeout=240)["status"])


@pytest.mark.alone
def test_a_stack_with_ray_computes_there_survives_its_head_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    stack = Stack(tmp_path / "data", n_workers=1, options=("--ray",))
    stack.start()
    try:
        lines = ["x,y", *(f"{i},{2 * i + i % 3}" for i in range(60))]
        Path(stack.state()["data_root"], "line.csv").write_text("\n".join(lines))
        address = stack.state()["ray_address"]
        assert address.startswith("127.0.0.1:")
        assert train(stack) == "success"
        assert {"secrets", "run"} <= {path.name for path in stack.data_dir.iterdir()}
        assert (stack.data_dir / "secrets" / "ray_token").stat().st_mode & 0o077 == 0

        before = stack.pids()["ray"]
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: stack.pids()["ray"] not in (before, None), "the head is started again")
        wait_until(stack.is_ready, "the stack is ready again", 240)
        assert stack.state()["ray_address"] not in (address, None)
        assert train(stack) == "success"
        everybody = stack.left()
    finally:
        stack.stop()
    assert stack.left() == []
    assert not any(map(is_alive, everybody))
    assert not (stack.data_dir / "run" / "ray.json").exists()


def test_two_clusters_at_a_time_are_refused(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "data", options=("--ray",), env={"RAY_ADDRESS": "10.0.0.5:6379"})
    stack.port = 1
    stack._start_once()
    wait_until(stack._has_ended, "it has ended")
    assert "10.0.0.5:6379 is configured already" in " ".join(stack.output().split())


def test_a_cluster_open_to_anybody_is_refused_in_production(tmp_path: Path) -> None:
    env = {"MATERIA_ENVIRONMENT": "production", "MATERIA_RAY_ADDRESS": "10.0.0.5:6379"}
    stack = Stack(tmp_path / "data", env=env)
    stack._start_once()
    wait_until(stack._has_ended, "it has ended")
    assert "RAY_AUTH_MODE=token" in " ".join(stack.output().split())
    assert materia("status", "--data-dir", tmp_path / "data").returncode == 1
