"""Learning from tables."""

from __future__ import annotations

from typing import Any

from materia.services import learning, retraining
from materia.services.running import Outcome
from materia.tasks.base import durable_task


@durable_task("tasks.ml_tasks.distributed_training")
def distributed_training(model_config: dict[str, Any], dataset_path: str) -> Outcome:
    """Train a model on partitions of a dataset."""
    return learning.distributed_training(model_config, dataset_path)


@durable_task("tasks.ml_tasks.hyperparameter_search")
def hyperparameter_search(
    param_grid: list[dict[str, Any]] | dict[str, list[Any]],
    dataset_path: str,
    model_config: dict[str, Any] | None = None,
    cv: int = 3,
    strategy: str = "grid",
    n_iter: int = 20,
) -> Outcome:
    """Compare hyper-parameters by cross-validation."""
    return learning.hyperparameter_search(
        param_grid, dataset_path, model_config, cv=cv, strategy=strategy, n_iter=n_iter
    )


@durable_task("tasks.ml_tasks.batch_predictions")
def batch_predictions(
    model_path: str | None = None,
    data_batches: list[str] | None = None,
    model_id: str | None = None,
    output_dir: str = "predictions",
    output_format: str = "csv",
    id_column: str | None = None,
) -> Outcome:
    """Predict every row of some files."""
    return learning.batch_predictions(
        data_batches or [], model_path, model_id, output_dir, output_format, id_column
    )


@durable_task("tasks.ml_tasks.retrain_models")
def retrain_models() -> Outcome:
    """Submit a job for each model that is retrained daily."""
    return retraining.retrain_models()


@durable_task("tasks.ml_tasks.retrain_model")
def retrain_model(name: str) -> Outcome:
    """Train one model again and put it to use if it is better."""
    return retraining.retrain_model(name)
