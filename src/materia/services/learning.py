"""Jobs that learn from tables: training, search of hyper-parameters, predictions.

Items of a job (partitions, folds of trials, batches) run in processes of their own; each is kept as
it ends, so that an attempt after a crash computes only what is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
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
from materia.version import __version__

ATTEMPTS = 2
SUFFIX = ".model"
FAILED = "failed"

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
    first: int = 0,
    total: int = 0,
    keeps_failures: bool = False,
) -> tuple[dict[int, Any], dict[int, str], int]:
    """Compute all items but those that an earlier attempt finished.

    Args:
        first: Items of earlier calls of the same job, whose places come before these.
        total: How many there will be at most, where later calls follow.
        keeps_failures: Whether an item that failed counts as finished.

    Returns:
        Outcomes of those that succeeded and reasons of those that failed, by index, and how many
        were finished before.
    """
    found = {place - first: kept for place, kept in partial.finished(first).items()}
    found = {index: kept for index, kept in found.items() if index < len(items)}
    failures = {index: kept[0][FAILED] for index, kept in found.items() if FAILED in kept[0]}
    outcomes = {index: unpack(kept) for index, kept in found.items() if index not in failures}
    missing = [index for index in range(len(items)) if index not in outcomes | failures]
    n_known = max(total, first + len(items))

    def progress(done: float, total: float | None, _: str) -> None:
        running.progress(first + len(items) - len(missing) + done, n_known, message)

    def took(place: int, outcome: Done[Any] | Failed) -> None:
        index = missing[place]
        if isinstance(outcome, Done):
            outcomes[index] = outcome.value
            if n_known > 1:  # a single one may be large, and nothing follows it
                partial.keep(first + index, *pack(outcome.value))
        else:
            failures[index] = f"{outcome.error_type}: {outcome.message}"
            if keeps_failures:
                partial.keep(first + index, {FAILED: failures[index]})

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
    partial = Partial.of(job_id, model_config, plan.backend, *reading.dataset_files(path))
    items = training.items(plan)
    outcomes, failures, n_resumed = _map(
        training.train_partition,
        items,
        replace(plan, threads=_threads(items)),
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
    param_grid: Any,
    dataset_path: str,
    model_config: Any = None,
    cv: int = 3,
    strategy: str = "grid",
    n_iter: int = 20,
) -> Outcome:
    """Compare hyper-parameters by cross-validation on shared folds.

    Args:
        cv, strategy, n_iter: See `materia.ml.search.plan_search`.
    """
    from materia.ml import reading, search

    path = dataset(dataset_path)
    plan = search.plan_search(
        param_grid,
        path,
        model_config=model_config,
        cv=cv,
        strategy=strategy,  # type: ignore[arg-type]
        n_iter=n_iter,
    )
    # The release counts, because trials of `materia` are proposed anew by the next attempt.
    inputs = [param_grid, model_config, cv, strategy, n_iter, plan.backend, __version__]
    partial = Partial.of(_job_id(), *inputs, *reading.dataset_files(path))
    if strategy == "materia":
        proposals = search.propose(param_grid, plan, n_iter)
        plan, scores, failures, n_resumed = _score_proposals(plan, proposals, partial, n_iter)
    else:
        scores, failures, n_resumed, _ = _score(plan, search.items(plan), partial)
    result = search.rank(plan, scores, failures)
    partial.forget()
    return Outcome({**result, "strategy": strategy, "items_resumed": n_resumed})


def _score_proposals(
    plan: Any, proposals: Any, partial: Partial, n_iter: int
) -> tuple[Any, list[Any], dict[Any, str], int]:
    """Score trials as they are proposed: each batch follows from the scores of those before.

    An attempt after a crash proposes the same trials again and finds those scored before. A
    failure stays one, else a lucky second try would change what is proposed next.
    """
    from materia.ml import search

    scores: list[Any] = []
    failures: dict[Any, str] = {}
    n_resumed = n_items = 0
    while trials := proposals.ask():
        first = len(plan.trials)
        plan = search.extended(plan, trials)
        found, failed, n_found, n = _score(
            plan,
            search.items(plan, first),
            partial,
            first=n_items,
            total=n_iter * len(plan.folds),
            keeps_failures=True,
        )
        scores, failures = scores + found, failures | failed
        n_resumed, n_items = n_resumed + n_found, n_items + n
        proposals.tell([row["score"] for row in search.outcomes(plan, scores, failures)[first:]])
    return plan, scores, failures, n_resumed


def _score(
    plan: Any, items: Sequence[Any], partial: Partial, **places: Any
) -> tuple[list[Any], dict[Any, str], int, int]:
    """Return scores, why items failed, how many were scored by an earlier attempt, and of all."""
    from materia.ml import search

    outcomes, failures, n_resumed = _map(
        search.score_item,
        items,
        replace(plan, threads=_threads(items)),
        partial,
        pack=lambda scores: ([[s.trial, s.fold, s.score] for s in scores], {}),
        unpack=lambda kept: [search.FoldScore(*score) for score in kept[0]],
        message="folds scored",
        **places,
    )
    scores = [score for found in outcomes.values() for score in found]
    return scores, {items[i]: reason for i, reason in failures.items()}, n_resumed, len(items)


def _threads(items: Sequence[Any]) -> int:
    """Return how many threads an item may use where there are fewer items than processes."""
    return max(1, settings.current().processes_per_job // max(1, len(items)))


def _threads_of_the_last(items: Sequence[Any]) -> int:
    """Return how many threads the items need so that the last ones, too few, use all processors.

    More threads than processors do no harm before: they compute without waiting for each other.
    """
    n_processes = settings.current().processes_per_job
    n_last = len(items) % n_processes
    return n_processes // n_last if n_last else 1


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
    plan = prediction.PredictionPlan(model, id_column, threads=_threads_of_the_last(items))
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
    result = prediction.summarise(items, outcomes, failures, files.shown)
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
