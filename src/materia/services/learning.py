"""Jobs that learn from tables: training, search of hyper-parameters, predictions.

Items of a job (partitions, folds of trials, batches) run in processes of their own; each is kept as
it ends, so that an attempt after a crash computes only what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from materia import settings
from materia.compute import Done, Failed, backend
from materia.errors import DefinitionError
from materia.services import files, models, running
from materia.services.partial import Partial
from materia.services.running import Outcome
from materia.services.work import Work
from materia.store import models as model_rows

ATTEMPTS = 2
SUFFIX = ".model"

Kept = tuple[Any, dict[str, Any]]


def _map(
    function: Callable[..., Any],
    items: Sequence[Any],
    shared: Any,
    partial: Partial,
    *,
    pack: Callable[[Any], Kept],
    unpack: Callable[[Kept], Any],
    message: str,
) -> tuple[dict[int, Any], dict[int, str], int]:
    """Compute all items but those that an earlier attempt finished.

    Returns:
        Outcomes of those that succeeded and reasons of those that failed, by index, and how many
        were finished before.
    """
    outcomes = {
        index: unpack(kept) for index, kept in partial.finished().items() if index < len(items)
    }
    missing = [index for index in range(len(items)) if index not in outcomes]
    failures: dict[int, str] = {}

    def progress(done: float, total: float | None, _: str) -> None:
        running.progress(len(items) - len(missing) + done, len(items), message)

    def took(place: int, outcome: Done[Any] | Failed) -> None:
        index = missing[place]
        if isinstance(outcome, Done):
            outcomes[index] = outcome.value
            partial.keep(index, *pack(outcome.value))
        else:
            failures[index] = f"{outcome.error_type}: {outcome.message}"

    if missing:
        backend()(
            function,
            [items[index] for index in missing],
            shared=shared,
            n_processes=min(len(missing), settings.current().processes_per_job),
            attempts=ATTEMPTS,
            progress=progress,
            on_result=took,
        )
    return outcomes, failures, len(items) - len(missing)


def _job_id() -> str:
    job = running.current()
    return job.id if job is not None else "none"


def dataset(name: str) -> Path:
    """Return the path of a dataset: a file, a folder of parts, or what its parts begin with."""
    from materia.ml.reading import dataset_files

    path = files.resolve(name)
    for part in dataset_files(path):
        files.resolve(str(part))
    return path


def distributed_training(model_config: Any, dataset_path: str) -> Outcome:
    """Train a model on partitions of a dataset, score it on held-out rows, and store it.

    Raises:
        DefinitionError: The configuration is wrong.
        AccessError, NotFoundError, DataError: The dataset cannot be used.
    """
    from materia.ml import reading, training

    path = dataset(dataset_path)
    plan = training.plan_training(model_config, path)
    job_id = _job_id()
    partial = Partial.of(job_id, model_config, *reading.dataset_files(path))
    outcomes, failures, n_resumed = _map(
        training.train_partition,
        training.items(plan),
        plan,
        partial,
        pack=_pack_partition,
        unpack=_unpack_partition,
        message="partitions trained",
    )
    trained = training.assemble(plan, outcomes, failures)
    name = plan.config.training.name or "model"
    row = store_model(trained, name, path, job_id)

    def register(work: Work) -> None:
        model_rows.add(work.database, work.connection, row)

    partial.forget()
    result = {**trained.result, "model_id": row["id"], "model_path": row["path"]}
    return Outcome({**result, "items_resumed": n_resumed}, register)


def store_model(trained: Any, name: str, dataset_path: Path, job_id: str) -> dict[str, Any]:
    """Write the file of a trained model, and return the row that makes it known."""
    from materia.ml import model_file

    model_id = f"{name[:90]}-{job_id[:36]}"
    target = files.writable(f"models/{model_id}{SUFFIX}")
    metadata = {"dataset": files.shown(dataset_path), "job_id": job_id}
    stored = model_file.write_model(target, trained, metadata)
    return {
        "id": model_id,
        "name": name,
        "path": files.shown(target),
        "sha256": stored.sha256,
        "size_bytes": stored.size_bytes,
        "card": trained.card,
        "job_id": job_id,
        "created_at": time.time(),
    }


def _pack_partition(outcome: Any) -> Kept:
    answer = outcome.answer
    arrays = {
        "model": np.frombuffer(outcome.model, dtype=np.uint8),
        "values": answer.values,
        "importances": outcome.importances,
    }
    for name in ("std", "probabilities"):
        if getattr(answer, name) is not None:
            arrays[name] = getattr(answer, name)
    fields = ("index", "score", "metrics", "n_samples", "config")
    return {name: getattr(outcome, name) for name in fields}, arrays


def _unpack_partition(kept: Kept) -> Any:
    from materia.ml.ensemble import Answer
    from materia.ml.training import PartitionOutcome

    meta, arrays = kept
    return PartitionOutcome(
        **meta,
        model=arrays["model"].tobytes(),
        answer=Answer(arrays["values"], arrays.get("std"), arrays.get("probabilities")),
        importances=arrays["importances"],
    )


def hyperparameter_search(
    param_grid: Any, dataset_path: str, model_config: Any = None, **options: Any
) -> Outcome:
    """Compare hyper-parameters by cross-validation on shared folds.

    Args:
        options: cv, strategy, n_iter; see `materia.ml.search.plan_search`.
    """
    from materia.ml import reading, search

    path = dataset(dataset_path)
    plan = search.plan_search(param_grid, path, model_config=model_config, **options)
    inputs = [param_grid, model_config, options, *reading.dataset_files(path)]
    partial = Partial.of(_job_id(), *inputs)
    items = search.items(plan)
    outcomes, failures, n_resumed = _map(
        search.score_item,
        items,
        plan,
        partial,
        pack=lambda scores: ([[s.trial, s.fold, s.score] for s in scores], {}),
        unpack=lambda kept: [search.FoldScore(*score) for score in kept[0]],
        message="folds scored",
    )
    scores = [score for found in outcomes.values() for score in found]
    result = search.rank(plan, scores, {items[i]: reason for i, reason in failures.items()})
    partial.forget()
    return Outcome({**result, "items_resumed": n_resumed})


def batch_predictions(
    data_batches: Sequence[str],
    model_path: str | None = None,
    model_id: str | None = None,
    output_dir: str = "predictions",
    output_format: str = "csv",
    id_column: str | None = None,
) -> Outcome:
    """Predict every row of some files, and write all predictions."""
    from materia.ml import model_file, prediction

    if not isinstance(data_batches, Sequence) or isinstance(data_batches, str):
        raise DefinitionError("data_batches: must be a list of paths", path="data_batches")
    path, row = models.find(model_path, model_id)
    sources = [files.readable(name) for name in data_batches]
    job_id = _job_id()
    folder = files.writable(f"{output_dir}/{job_id[:36]}/x").parent
    items = prediction.batch_items(sources, folder, output_format)  # type: ignore[arg-type]
    model = model_file.read_model(path, row["sha256"] if row else None)
    plan = prediction.PredictionPlan(model, id_column)
    partial = Partial.of(job_id, [output_format, id_column], path, *sources)
    outcomes, failures, n_resumed = _map(
        prediction.predict_batch,
        items,
        plan,
        partial,
        pack=_pack_batch,
        unpack=_unpack_batch,
        message="batches predicted",
    )
    result = prediction.summarise(items, outcomes, failures)
    result["output_files"] = [files.shown(Path(name)) for name in result["output_files"]]
    partial.forget()
    return Outcome({**result, "items_resumed": n_resumed})


def _pack_batch(outcome: Any) -> Kept:
    fields = ("n_rows", "first", "ignored_columns", "unknown_categories")
    meta = {name: getattr(outcome, name) for name in fields}
    return {**meta, "source": str(outcome.source), "output": str(outcome.output)}, {}


def _unpack_batch(kept: Kept) -> Any:
    from materia.ml.prediction import BatchOutcome

    meta = kept[0]
    return BatchOutcome(**{**meta, "source": Path(meta["source"]), "output": Path(meta["output"])})
