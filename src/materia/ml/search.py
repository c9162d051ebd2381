"""Hyper-parameters compared by cross-validation, all of them on the same folds.

`plan_search` prepares, `score_item` does one item in any process, and `rank` makes the answer. An
item is one fold for one trial, or for several that differ in nothing but the number of trees of a
forest: the largest is grown once, and the others are its first trees, bit for bit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from materia.errors import DataError, DefinitionError
from materia.ml import estimators, forests, grid, metrics, splitting
from materia.ml.config import ModelConfig, TrainingConfig, parse_config
from materia.ml.dataset import Dataset, load_dataset
from materia.ml.forests import Backend
from materia.ml.grid import Strategy, Trial, expand
from materia.ml.proposals import Proposals
from materia.ml.splitting import MAX_FOLDS, IntArray

# Of our keys these say how one trial learns; all others mean the same for every trial.
_OWN_IN_TRIALS = ("estimator",)
_TREES = "n_estimators"


@dataclass(frozen=True)
class SearchPlan:
    """What every item shares.

    Attributes:
        config: What all trials have in common.
        trials: In the order of the grid.
        folds: Rows to learn from and rows to score on, for each fold.
        backend: What grows forests, where it can.
        threads: How many may learn one item; changes nothing in the result.
    """

    config: ModelConfig
    dataset: Dataset
    trials: tuple[Trial, ...]
    folds: tuple[tuple[IntArray, IntArray], ...]
    backend: Backend = "sklearn"
    threads: int = 1


@dataclass(frozen=True)
class SearchItem:
    """Trials that share their work on one fold."""

    trials: tuple[int, ...]
    fold: int


@dataclass(frozen=True)
class FoldScore:
    """Score of one trial on one fold."""

    trial: int
    fold: int
    score: float


def plan_search(
    param_grid: Any,
    dataset_path: Path,
    *,
    model_config: Any = None,
    cv: int = 3,
    strategy: Strategy = "grid",
    n_iter: int = 20,
) -> SearchPlan:
    """Return what is to be done, all of it checked.

    Args:
        param_grid: As in `grid.expand` or, for strategy `materia`, as in `grid.space`; a trial
            may also name its `estimator`.
        dataset_path: As in `reading.dataset_files`.
        model_config: What all trials have in common; `seed` decides folds, draws and forests.
        cv: Number of folds.
        strategy: As in `grid.expand`; the plan of `materia` has no trials yet, see `propose`.
        n_iter: As in `grid.expand`, and how many trials `materia` proposes.

    Raises:
        DefinitionError: A name or a value is wrong, or there are too many trials.
        NotFoundError: There is no such dataset.
        DataError: The dataset cannot be learnt from.
    """
    if type(cv) is not int or not 2 <= cv <= MAX_FOLDS:
        raise DefinitionError(f"cv: must be a whole number from 2 to {MAX_FOLDS}", path="cv")
    config = parse_config({} if model_config is None else model_config)
    grid.check_strategy(strategy)
    if strategy == "materia":
        grid.check_count(n_iter, grid.MAX_PROPOSED)
        trials, probes = [], grid.probes(grid.space(param_grid))
    else:
        trials = expand(param_grid, strategy=strategy, n_iter=n_iter, seed=config.training.seed)
        probes = trials
    _check(config, probes, config.training.task)
    dataset = load_dataset(dataset_path, config.training)
    task = dataset.schema.task
    metrics.check(config.training.metric, task, "model_config.metric")
    _check(config, probes, task)
    backend = forests.choose(config.training.backend, dataset.X)
    folds = splitting.folds(dataset, cv, config.training.seed)
    return SearchPlan(config, dataset, tuple(trials), tuple(folds), backend)


def propose(param_grid: Any, plan: SearchPlan, n_iter: int = 20) -> Proposals:
    """Return where the trials of strategy `materia` come from."""
    return Proposals(grid.space(param_grid), n_iter, plan.config.training.seed)


def extended(plan: SearchPlan, trials: Iterable[Trial]) -> SearchPlan:
    """Return the plan with further trials."""
    return replace(plan, trials=(*plan.trials, *trials))


def items(plan: SearchPlan, first: int = 0) -> list[SearchItem]:
    """Return what `score_item` is to be called with for the trials from `first` on."""
    groups: dict[str, list[int]] = {}
    for i, trial in enumerate(plan.trials[first:], start=first):
        groups.setdefault(_group(plan.config, trial, i), []).append(i)
    return [
        SearchItem(tuple(trials), fold)
        for trials in groups.values()
        for fold in range(len(plan.folds))
    ]


def split(item: SearchItem) -> list[SearchItem]:
    """Return one item per trial: what is left to try when a shared one has failed."""
    return [SearchItem((trial,), item.fold) for trial in item.trials]


def score_item(item: SearchItem, plan: SearchPlan) -> list[FoldScore]:
    """Return the score of each of an item's trials on its fold.

    Raises:
        DataError: The estimator cannot learn from the fold with these parameters.
    """
    learnt, held = plan.folds[item.fold]
    dataset, training = plan.dataset, plan.config.training
    schema, y = dataset.schema, dataset.y[held]
    settings = [_settings(plan.config, plan.trials[i]) for i in item.trials]
    name, params = settings[0]
    is_shared = len(item.trials) > 1
    sizes = [params[_TREES] for _, params in settings] if is_shared else []
    if is_shared:
        params = {**params, _TREES: max(sizes)}
    model = estimators.fit(
        name,
        params,
        training.seed,
        dataset.X[learnt],
        dataset.y[learnt],
        schema,
        backend=plan.backend,
        threads=plan.threads,
    )
    X = dataset.X[held]
    if is_shared:
        by_size = estimators.forest_prefixes(model, sizes, X, schema)
        answers = [by_size[size] for size in sizes]
    else:
        answers = [estimators.answer(model, name, X, schema)]
    return [
        FoldScore(i, item.fold, metrics.score(y, answer, schema.task, training.metric))
        for i, answer in zip(item.trials, answers, strict=True)
    ]


def rank(
    plan: SearchPlan, scores: Iterable[FoldScore], failures: Mapping[SearchItem, str]
) -> dict[str, Any]:
    """Return the answer of a search; of equally good trials the first is the best.

    Args:
        plan: As every item had it.
        scores: Of the items that succeeded, in any order.
        failures: Why others did not. A trial that has no score for some fold has failed.

    Raises:
        DataError: All trials failed.
    """
    results = outcomes(plan, scores, failures)
    done = [result for result in results if result["score"] is not None]
    if not done:
        raise DataError(f"all {len(results)} trials failed; the first: {results[0]['error']}")
    best = max(done, key=lambda result: result["score"])  # the first of equals
    return {
        "status": "success",
        "best_params": best["params"],
        "best_score": best["score"],
        "all_results": results,
        "n_trials": len(results),
        "n_failed": len(results) - len(done),
        "metric": plan.config.training.metric or metrics.names(plan.dataset.schema.task)[0],
        "cv": len(plan.folds),
        "task": plan.dataset.schema.task,
        "remarks": list(plan.dataset.remarks),
    }


def outcomes(
    plan: SearchPlan, scores: Iterable[FoldScore], failures: Mapping[SearchItem, str]
) -> list[dict[str, Any]]:
    """Return what became of each trial, in their order; arguments as of `rank`."""
    table = np.full((len(plan.trials), len(plan.folds)), np.nan)
    for found in scores:
        table[found.trial, found.fold] = found.score
    reasons = {i: reason for item, reason in failures.items() for i in item.trials}
    return [
        _result(plan, trial, table[i].tolist(), reasons.get(i))
        for i, trial in enumerate(plan.trials)
    ]


def _result(
    plan: SearchPlan, trial: Trial, scores: list[float], reason: str | None
) -> dict[str, Any]:
    name, params = _settings(plan.config, trial)
    backend = estimators.backend_of(name, params, plan.dataset.schema.task, plan.backend)
    common = {"params": dict(trial), "backend": backend}
    if not all(map(math.isfinite, scores)):
        reason = reason or "a fold has no finite score"
        return {**common, "score": None, "status": "failed", "error": reason}
    return {
        **common,
        "score": float(np.mean(scores)),
        "status": "success",
        "std": float(np.std(scores)),
        "fold_scores": scores,
    }


def _settings(config: ModelConfig, trial: Trial) -> tuple[str, dict[str, Any]]:
    """Return a trial's estimator and all of its parameters."""
    params = {**config.params, **trial}
    return params.pop("estimator", config.training.estimator), params


def _check(config: ModelConfig, trials: list[Trial], task: Any) -> None:
    checked: set[str] = set()
    for i, trial in enumerate(trials):
        path = f"param_grid[{i}]"
        misplaced = [
            key for key in trial if key in TrainingConfig.model_fields and key not in _OWN_IN_TRIALS
        ]
        if misplaced:
            raise DefinitionError(
                f"{path}: '{misplaced[0]}' is the same for all trials",
                "set it in model_config",
                path=f"{path}.{misplaced[0]}",
            )
        name, params = _settings(config, trial)
        if task is not None:
            forests.check(config.training.backend, name, params, task, path)
        for key, value in params.items():
            # A grid repeats the same few values; each is looked at once.
            mark = json.dumps([name, key, value], default=repr)
            if mark not in checked:
                estimators.check(name, task, {key: value}, path, own=TrainingConfig)
                checked.add(mark)
        if not params:
            estimators.check(name, task, {}, path)


def _group(config: ModelConfig, trial: Trial, index: int) -> str:
    name, params = _settings(config, trial)
    trees = params.pop(_TREES, None)
    # Out-of-bag scores and samples in batches of trees would need the whole forest.
    # Prefixes of a forest are the same whichever library has grown it.
    if name not in estimators.FORESTS or trees is None or params.get("oob_score"):
        return str(index)
    return json.dumps([name, params], sort_keys=True, default=repr)
