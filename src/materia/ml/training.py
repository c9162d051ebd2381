"""Partitions of a table trained one by one, and scored on rows that none of them has seen.

`plan_training` prepares, `train_partition` does one partition in any process, and `assemble`
makes one model of those that succeeded. Everything follows from the data and the seed; in which
process, order or number partitions are trained changes nothing.

Feature importances are by permutation: how much the score on held-out rows (at most
`MAX_IMPORTANCE_ROWS`) falls when the values of one feature are shuffled among them, as the mean of
`IMPORTANCE_REPEATS` shuffles (of one, with more than `MANY_FEATURES`) and over the partitions.
Correlated features share theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.errors import DataError, MissingExtraError
from materia.ml import estimators, exchange, forests, formats, metrics, splitting
from materia.ml.config import ModelConfig, parse_config
from materia.ml.dataset import Dataset, load_dataset
from materia.ml.ensemble import Answer, combine
from materia.ml.forests import Backend
from materia.ml.splitting import IntArray

FloatArray = NDArray[np.float64]

IMPORTANCE_REPEATS = 3
MAX_IMPORTANCE_ROWS = 1000
MANY_FEATURES = 100
IMPORTANCE_ROWS_AT_A_TIME = 65_536


@dataclass(frozen=True)
class TrainingPlan:
    """What every partition shares.

    Attributes:
        held_out: Rows that no partition learns from.
        partitions: Rows of each partition.
        backend: What grows forests, where it can; the same for all partitions.
        threads: How many may learn one partition; changes nothing in the result.
    """

    config: ModelConfig
    dataset: Dataset
    held_out: IntArray
    partitions: tuple[IntArray, ...]
    backend: Backend = "sklearn"
    threads: int = 1


@dataclass(frozen=True)
class PartitionOutcome:
    """One trained partition.

    Attributes:
        score: On the held-out rows.
        metrics: Further figures on them.
        config: Parameters of the estimator, with its seed.
        model: The fitted estimator as bytes.
        answer: Its answer for the held-out rows.
        importances: Of each feature, (d,), in units of the score.
    """

    index: int
    score: float
    metrics: dict[str, float]
    n_samples: int
    config: dict[str, Any]
    model: bytes
    answer: Answer
    importances: FloatArray


@dataclass(frozen=True)
class TrainedModel:
    """A trained ensemble.

    Attributes:
        result: What the caller is told, as plain data.
        card: What a model file says of itself, as plain data.
        members: Fitted estimators as bytes.
        onnx: The ensemble as an ONNX file, where it has been converted.
    """

    result: dict[str, Any]
    card: dict[str, Any]
    members: tuple[bytes, ...]
    onnx: bytes | None = None


def plan_training(model_config: Any, dataset_path: Path) -> TrainingPlan:
    """Return what is to be done, all of it checked.

    Raises:
        DefinitionError: The configuration is wrong.
        NotFoundError: There is no such dataset.
        DataError: The dataset cannot be learnt from.
    """
    config = parse_config(model_config)
    return plan(config, load_dataset(dataset_path, config.training))


def plan(config: ModelConfig, dataset: Dataset) -> TrainingPlan:
    """Return the plan for a dataset that is loaded already."""
    task = dataset.schema.task
    metrics.check(config.training.metric, task, "model_config.metric")
    estimators.check(config.training.estimator, task, config.params, "model_config")
    forests.check(
        config.training.backend, config.training.estimator, config.params, task, "model_config"
    )
    backend = forests.choose(config.training.backend, dataset.X)
    kept, held_out = splitting.hold_out(dataset, config.training)
    parts = splitting.partitions(dataset, config.training, kept)
    return TrainingPlan(config, dataset, held_out, tuple(parts), backend)


def items(plan: TrainingPlan) -> list[int]:
    """Return what `train_partition` is to be called with."""
    return list(range(len(plan.partitions)))


def train_partition(index: int, plan: TrainingPlan) -> PartitionOutcome:
    """Return one partition's model, scored.

    Raises:
        DataError: The estimator cannot learn from these rows.
    """
    dataset, training = plan.dataset, plan.config.training
    rows, schema = plan.partitions[index], plan.dataset.schema
    seed = splitting.item_seed(training.seed, index)
    model = estimators.fit(
        training.estimator,
        plan.config.params,
        seed,
        dataset.X[rows],
        dataset.y[rows],
        schema,
        backend=plan.backend,
        threads=plan.threads,
    )
    X, y = dataset.X[plan.held_out], dataset.y[plan.held_out]
    answer = estimators.answer(model, training.estimator, X, schema)
    if not np.isfinite(answer.values).all():
        raise DataError(f"partition {index} predicts values that are not finite")
    return PartitionOutcome(
        index,
        metrics.score(y, answer, schema.task, training.metric),
        metrics.measure(y, answer, schema.task),
        len(rows),
        _partition_config(plan, seed),
        formats.to_bytes(model),
        answer,
        _importances(model, plan, X, y),
    )


def assemble(
    plan: TrainingPlan, outcomes: Mapping[int, PartitionOutcome], failures: Mapping[int, str]
) -> TrainedModel:
    """Return the ensemble of the partitions that succeeded.

    Args:
        plan: As every partition had it.
        outcomes: Of those that succeeded, by index.
        failures: Why others did not, by index.

    Raises:
        DataError: None succeeded.
    """
    done = [outcomes[index] for index in sorted(outcomes)]
    if not done:
        reasons = list(dict.fromkeys(failures.values())) or ["nothing was trained"]
        raise DataError(f"no partition could be trained: {'; '.join(reasons[:3])}")
    schema, training = plan.dataset.schema, plan.config.training
    y = plan.dataset.y[plan.held_out]
    answer = combine([outcome.answer for outcome in done])
    importances = np.mean([outcome.importances for outcome in done], axis=0)
    order = np.argsort(-importances, kind="stable")
    common = {
        "avg_score": float(np.mean([outcome.score for outcome in done])),
        "ensemble_score": metrics.score(y, answer, schema.task, training.metric),
        "ensemble_metrics": metrics.measure(y, answer, schema.task),
        "metric": training.metric or metrics.names(schema.task)[0],
        "total_samples": len(plan.dataset.y),
        "n_held_out": len(plan.held_out),
        "num_partitions": len(plan.partitions),
        "backend": estimators.backend_of(
            training.estimator, plan.config.params, schema.task, plan.backend
        ),
        "feature_importances": {schema.names[j]: float(importances[j]) for j in order},
        "remarks": list(plan.dataset.remarks),
    }
    results = [_result(plan, i, outcomes.get(i), failures.get(i)) for i in items(plan)]
    status = "success" if len(done) == len(plan.partitions) else "partial"
    result = {"status": status, "estimator": training.estimator, "task": schema.task, **common}
    members = tuple(outcome.model for outcome in done)
    onnx, note = _onnx(plan, members)
    card = {
        "name": training.name,
        "estimator": training.estimator,
        "onnx": note,
        "backend": common["backend"],
        "config": plan.config.to_data(),
        "schema": schema.to_data(),
        "training": {**common, "results": results},
    }
    return TrainedModel({**result, "results": results}, card, members, onnx)


def _onnx(plan: TrainingPlan, members: tuple[bytes, ...]) -> tuple[bytes | None, dict[str, Any]]:
    """Return the ensemble as ONNX, and how that went for the card."""
    training, schema = plan.config.training, plan.dataset.schema
    X = plan.dataset.X[plan.held_out[: exchange.ROWS_COMPARED]]
    try:
        # Bytes of a node in a skops file; a larger forest is not built again for nothing.
        if sum(map(len, members)) > 2 * formats.BYTES_PER_NODE * exchange.MAX_NODES:
            raise exchange.Unconverted(f"it has more than {exchange.MAX_NODES} nodes")
        built = [formats.from_bytes(m, training.estimator, schema.task) for m in members]
        content = exchange.convert(built, training.estimator, schema)
        runner = exchange.Runner(content, schema, len(built))
        exchange.compare(runner, built, training.estimator, X)
    except (exchange.Unconverted, MissingExtraError) as error:
        return None, {"is_converted": False, "reason": str(error)}
    return content, {"is_converted": True, "rows_compared": len(X)}


def _result(
    plan: TrainingPlan, index: int, outcome: PartitionOutcome | None, failure: str | None
) -> dict[str, Any]:
    if outcome is not None:
        return {
            "status": "success",
            "score": outcome.score,
            "n_samples": outcome.n_samples,
            "config": outcome.config,
            "metrics": outcome.metrics,
        }
    seed = splitting.item_seed(plan.config.training.seed, index)
    return {
        "status": "failed",
        "score": None,
        "n_samples": len(plan.partitions[index]),
        "config": _partition_config(plan, seed),
        "error": failure or "not trained",
    }


def _partition_config(plan: TrainingPlan, seed: int) -> dict[str, Any]:
    return {"estimator": plan.config.training.estimator, **plan.config.params, "seed": seed}


def _importances(model: Any, plan: TrainingPlan, X: FloatArray, y: FloatArray) -> FloatArray:
    schema, training = plan.dataset.schema, plan.config.training
    rng = np.random.default_rng(training.seed)
    rows = np.sort(rng.permutation(len(y))[:MAX_IMPORTANCE_ROWS])
    X, y = X[rows], y[rows]
    n_repeats = IMPORTANCE_REPEATS if X.shape[1] <= MANY_FEATURES else 1
    shuffles = [rng.permutation(len(y)) for _ in range(n_repeats)]

    def scores(tables: list[FloatArray]) -> list[float]:
        answer = estimators.answer(model, training.estimator, np.concatenate(tables), schema)
        return [
            metrics.score(y, part, schema.task, training.metric)
            for part in answer.parts(len(tables))
        ]

    [whole] = scores([X])
    found = np.zeros(X.shape[1])
    # Several features at a time: a walk of many rows down a forest is quicker than many walks.
    step = max(1, IMPORTANCE_ROWS_AT_A_TIME // (n_repeats * len(y)))
    for first in range(0, X.shape[1], step):
        features = range(first, min(first + step, X.shape[1]))
        tables = [_shuffled(X, j, order) for j in features for order in shuffles]
        losses = whole - np.array(scores(tables))
        found[list(features)] = losses.reshape(len(features), n_repeats).mean(axis=1)
    return found


def _shuffled(X: FloatArray, column: int, order: IntArray) -> FloatArray:
    table = X.copy()
    table[:, column] = X[order, column]
    return table
