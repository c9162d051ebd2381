"""Partitions are trained apart, scored on rows that none has seen, and answer together."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import ml_tables
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materia.errors import DataError, DefinitionError
from materia.ml import splitting, training
from materia.ml.config import TrainingConfig, parse_config
from materia.ml.dataset import make_dataset
from materia.ml.ensemble import Answer, combine
from materia.ml.estimators import TABLE, fit
from materia.ml.training import TrainingPlan

SMALL = {"n_estimators": 20}


def test_the_result_says_what_the_interface_promises(tmp_path: Path) -> None:
    result = ml_tables.train(ml_tables.write(tmp_path, "diabetes"), max_depth=6, **SMALL).result
    assert result["status"] == "success"
    assert result["total_samples"] == 442
    assert result["num_partitions"] == 4
    assert [sorted(r) for r in result["results"]] == [
        ["config", "metrics", "n_samples", "score", "status"]
    ] * 4
    scores = [r["score"] for r in result["results"]]
    assert result["avg_score"] == pytest.approx(np.mean(scores))
    assert sum(r["n_samples"] for r in result["results"]) + result["n_held_out"] == 442
    configs = [r["config"] for r in result["results"]]
    assert all(c["n_estimators"] == 20 and c["max_depth"] == 6 for c in configs)
    assert len({c["seed"] for c in configs}) == 4
    assert result["metric"] == "r2"
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize("estimator", TABLE)
def test_every_estimator_learns_numbers_categories_and_missing_values(
    tmp_path: Path, estimator: str
) -> None:
    result = ml_tables.train(ml_tables.alloys(tmp_path), estimator=estimator, num_partitions=2)
    assert result.result["ensemble_score"] > 0.8
    assert next(iter(result.result["feature_importances"])) in ("gas", "temp")
    assert min(result.result["feature_importances"].values()) > 0.1


@pytest.mark.parametrize("estimator", [name for name in TABLE if name != "gp"])
@pytest.mark.parametrize("name", ["iris", "breast_cancer"])
def test_classes_are_learnt(tmp_path: Path, estimator: str, name: str) -> None:
    path = ml_tables.write(tmp_path, name)
    result = ml_tables.train(path, estimator=estimator, num_partitions=1).result
    assert result["task"] == "classification"
    assert result["ensemble_score"] > 0.9
    assert set(result["ensemble_metrics"]) == {
        "accuracy",
        "balanced_accuracy",
        "f1_macro",
        "log_loss",
    }


def test_scores_are_of_rows_never_learnt_from(tmp_path: Path) -> None:
    """A forest memorises noise: about 0.85 where it learnt, and nothing where it did not."""
    rng = np.random.default_rng(1)
    columns = {f"x{j}": rng.normal(size=600) for j in range(4)}
    path = tmp_path / "noise.csv"
    pl.DataFrame({**columns, "y": rng.normal(size=600)}).write_csv(path)
    plan = training.plan_training({"num_partitions": 1, "n_estimators": 50}, path)
    model = fit(
        "random_forest",
        {"n_estimators": 50},
        0,
        plan.dataset.X[plan.partitions[0]],
        plan.dataset.y[plan.partitions[0]],
        plan.dataset.schema,
    )
    learnt = plan.partitions[0]
    assert model.score(plan.dataset.X[learnt], plan.dataset.y[learnt]) > 0.75
    result = training.assemble(plan, ml_tables.train_all(plan), {}).result
    assert abs(result["avg_score"]) < 0.2
    assert abs(result["ensemble_score"]) < 0.2


@given(
    n=st.integers(12, 200),
    k=st.integers(1, 5),
    share=st.floats(0.1, 0.5),
    seed=st.integers(0, 2**32 - 1),
    is_regression=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_held_out_rows_and_partitions_are_disjoint_and_nothing_is_lost(
    n: int, k: int, share: float, seed: int, is_regression: bool
) -> None:
    rng = np.random.default_rng(seed)
    labels = [f"c{i}" for i in rng.integers(0, 2, n)]
    labels[0], labels[1] = "c0", "c1"
    y: list[Any] = rng.normal(size=n).tolist() if is_regression else labels
    frame = pl.DataFrame({"a": np.arange(n), "y": y})
    config = TrainingConfig(num_partitions=k, test_size=share, seed=seed)
    dataset = make_dataset(frame, config)
    try:
        kept, held = splitting.hold_out(dataset, config)
        parts = splitting.partitions(dataset, config, kept)
    except DataError:
        assert n * min(share, 1 - share) < 2 * k + 2
        return
    assert sorted(np.concatenate([held, *parts])) == list(range(n))
    assert abs(len(held) - n * share) <= 2.5
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    again = splitting.hold_out(dataset, config)
    assert np.array_equal(held, again[1])


def test_classes_are_spread_evenly_and_a_rare_one_is_learnt(tmp_path: Path) -> None:
    labels = ["a"] * 80 + ["b"] * 19 + ["c"]
    frame = pl.DataFrame({"x": range(100), "y": labels})
    config = TrainingConfig(num_partitions=2)
    dataset = make_dataset(frame, config)
    kept, held = splitting.hold_out(dataset, config)
    assert np.bincount(dataset.y[held].astype(int)).tolist() in ([16, 4], [16, 3])
    assert 99 in kept
    parts = splitting.partitions(dataset, config, kept)
    counts = [np.bincount(dataset.y[part].astype(int), minlength=3) for part in parts]
    assert np.abs(counts[0] - counts[1]).max() <= 1


def test_a_partition_without_some_class_still_answers(tmp_path: Path) -> None:
    labels = ["a", "b"] * 40 + ["c", "c"]
    path = tmp_path / "rare.csv"
    pl.DataFrame({"x": range(82), "y": labels}).write_csv(path)
    plan = training.plan_training({"num_partitions": 4, **SMALL}, path)
    seen = [len(np.unique(plan.dataset.y[part])) for part in plan.partitions]
    assert min(seen) == 2
    trained = training.assemble(plan, ml_tables.train_all(plan), {})
    assert trained.result["status"] == "success"


def test_given_parts_are_the_partitions(tmp_path: Path) -> None:
    frame = ml_tables.bundled("diabetes")
    sizes = (100, 200, 142)
    for i, start in enumerate((0, 100, 300)):
        frame.slice(start, sizes[i]).write_csv(tmp_path / f"d_part_{i}.csv")
    plan = training.plan_training(SMALL, tmp_path / "d")
    assert len(plan.partitions) == 3
    for i, rows in enumerate(plan.partitions):
        assert set(plan.dataset.part[rows]) == {i}
        assert len(rows) == pytest.approx(0.8 * sizes[i], abs=2)
    remade = training.plan_training({**SMALL, "num_partitions": 5}, tmp_path / "d")
    assert len(remade.partitions) == 5


def test_neither_order_nor_processes_change_the_result(tmp_path: Path) -> None:
    plan = training.plan_training({"n_estimators": 3}, ml_tables.write(tmp_path, "diabetes"))
    here = training.assemble(plan, ml_tables.train_all(plan), {}).result
    backwards = training.assemble(plan, ml_tables.train_all(plan, [3, 1, 2, 0]), {}).result
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        items = training.items(plan)
        outcomes = pool.map(training.train_partition, items, [plan] * len(items))
        elsewhere = training.assemble(plan, dict(zip(items, outcomes, strict=True)), {}).result
    assert here == backwards == elsewhere


def test_another_seed_is_another_split(tmp_path: Path) -> None:
    path = ml_tables.write(tmp_path, "diabetes")
    first, second = (training.plan_training({"seed": seed}, path) for seed in (1, 2))
    assert not np.array_equal(first.held_out, second.held_out)


def test_a_failed_partition_does_not_throw_away_the_others(tmp_path: Path) -> None:
    plan = training.plan_training(SMALL, ml_tables.write(tmp_path, "diabetes"))
    outcomes = ml_tables.train_all(plan, [0, 1, 3])
    trained = training.assemble(plan, outcomes, {2: "out of memory"})
    assert trained.result["status"] == "partial"
    failed = trained.result["results"][2]
    assert (failed["status"], failed["score"]) == ("failed", None)
    assert failed["error"] == "out of memory"
    assert trained.result["avg_score"] == pytest.approx(
        np.mean([outcome.score for outcome in outcomes.values()])
    )
    assert len(trained.members) == 3
    with pytest.raises(DataError, match="out of memory"):
        training.assemble(plan, {}, {0: "out of memory"})


def test_what_an_estimator_cannot_learn_is_an_error_in_words(tmp_path: Path) -> None:
    path = tmp_path / "negative.csv"
    pl.DataFrame({"x": range(60), "y": [-0.5 * i for i in range(60)]}).write_csv(path)
    plan = training.plan_training({"criterion": "poisson", **SMALL}, path)
    with pytest.raises(DataError, match="'random_forest' cannot learn"):
        training.train_partition(0, plan)
    big = training.plan_training({"estimator": "gp", "num_partitions": 1}, _long(tmp_path))
    with pytest.raises(DataError, match="at most 2000 rows"):
        training.train_partition(0, big)


def _long(folder: Path) -> Path:
    path = folder / "long.csv"
    pl.DataFrame({"x": range(3000), "y": [0.5 * i for i in range(3000)]}).write_csv(path)
    return path


def test_values_are_checked_for_the_task_of_the_data_before_anything_starts(
    tmp_path: Path,
) -> None:
    path = ml_tables.write(tmp_path, "diabetes")
    with pytest.raises(DefinitionError, match="criterion"):
        training.plan_training({"criterion": "gini"}, path)
    with pytest.raises(DefinitionError, match="accuracy"):
        training.plan_training({"metric": "accuracy"}, path)
    with pytest.raises(DefinitionError, match="regression only"):
        training.plan_training({"estimator": "gp"}, ml_tables.write(tmp_path, "iris"))


def test_too_few_rows_for_the_partitions_are_said(tmp_path: Path) -> None:
    path = ml_tables.write(tmp_path, "iris")
    with pytest.raises(DataError, match="too few for 100 partitions"):
        training.plan_training({"num_partitions": 100}, path)


def test_the_ensemble_adds_its_members_own_uncertainty_to_their_spread() -> None:
    first = Answer(np.array([1.0]), np.array([0.3]))
    second = Answer(np.array([2.0]), np.array([0.4]))
    together = combine([first, second])
    assert together.values[0] == 1.5
    assert together.std is not None
    assert together.std[0] == pytest.approx(np.sqrt(0.25 + (0.09 + 0.16) / 2))
    assert combine([Answer(np.array([1.0]))]).std is None


def test_a_plan_is_not_changed_by_training(tmp_path: Path) -> None:
    plan: TrainingPlan = training.plan_training(SMALL, ml_tables.alloys(tmp_path))
    X, y = plan.dataset.X.copy(), plan.dataset.y.copy()
    plan.dataset.X.flags.writeable = plan.dataset.y.flags.writeable = False
    for estimator in TABLE:
        own = SMALL if estimator in ("random_forest", "extra_trees") else {}
        config = parse_config({"estimator": estimator, **own})
        training.train_partition(0, training.plan(config, plan.dataset))
    assert np.array_equal(plan.dataset.X, X, equal_nan=True)
    assert np.array_equal(plan.dataset.y, y)
