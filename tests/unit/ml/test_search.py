"""Trials are compared on the same folds, and a failed one stays among the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_tables
import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import ExtraTreesClassifier, RandomForestRegressor
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold

from materia.errors import DataError, DefinitionError
from materia.ml import search
from materia.ml.search import FoldScore, SearchItem, SearchPlan


def run(plan: SearchPlan, *, backwards: bool = False) -> dict[str, Any]:
    scores: list[FoldScore] = []
    failures: dict[SearchItem, str] = {}
    items = search.items(plan)
    for item in reversed(items) if backwards else items:
        try:
            scores += search.score_item(item, plan)
        except DataError as error:
            failures[item] = error.message
    return search.rank(plan, scores, failures)


def test_scores_are_those_of_an_independent_grid_search_although_forests_are_shared(
    tmp_path: Path,
) -> None:
    frame = ml_tables.bundled("diabetes")
    grid = {"n_estimators": [3, 5, 9], "max_depth": [2, 4, None], "max_features": [0.3, 0.6, 1.0]}
    plan = search.plan_search(grid, ml_tables.write(tmp_path, "diabetes"), model_config={"seed": 7})
    assert len(plan.trials) == 27
    # 9 forests on 3 folds, where 27 would be grown one by one.
    assert len(search.items(plan)) == 27
    result = run(plan)
    reference = GridSearchCV(
        RandomForestRegressor(random_state=7), grid, cv=KFold(3, shuffle=True, random_state=7)
    ).fit(frame.drop("target").to_numpy(), frame["target"].to_numpy())
    expected = {
        json.dumps(params, sort_keys=True): score
        for params, score in zip(
            reference.cv_results_["params"], reference.cv_results_["mean_test_score"], strict=True
        )
    }
    assert len(result["all_results"]) == 27
    for found in result["all_results"]:
        assert found["score"] == expected[json.dumps(found["params"], sort_keys=True)]
    assert result["best_params"] == reference.best_params_
    assert result["best_score"] == reference.best_score_
    assert [found["params"] for found in result["all_results"]] == list(plan.trials)
    json.dumps(result, allow_nan=False)


def test_classes_are_scored_alike(tmp_path: Path) -> None:
    frame = ml_tables.bundled("iris")
    grid = {"n_estimators": [2, 4, 6], "max_depth": [1, 2]}
    path = ml_tables.write(tmp_path, "iris")
    result = run(search.plan_search(grid, path, model_config={"estimator": "extra_trees"}, cv=4))
    reference = GridSearchCV(
        ExtraTreesClassifier(random_state=0),
        grid,
        cv=StratifiedKFold(4, shuffle=True, random_state=0),
    ).fit(frame.drop("target").to_numpy(), frame["target"].to_numpy())
    assert result["best_score"] == reference.best_score_
    assert result["task"] == "classification"


def test_the_order_in_which_items_end_changes_nothing(tmp_path: Path) -> None:
    grid = {"alpha": [0.01, 1.0, 100.0]}
    path = ml_tables.write(tmp_path, "diabetes")
    plan = search.plan_search(grid, path, model_config={"estimator": "linear"})
    assert run(plan) == run(plan, backwards=True)


def test_folds_are_the_same_for_all_trials_and_cover_each_row_once(tmp_path: Path) -> None:
    plan = search.plan_search([{}], ml_tables.write(tmp_path, "diabetes"), cv=5)
    assert sorted(np.concatenate([held for _, held in plan.folds])) == list(range(442))
    assert all(not set(learnt) & set(held) for learnt, held in plan.folds)


def test_a_failed_trial_is_kept_as_failed_and_the_others_count(tmp_path: Path) -> None:
    path = tmp_path / "negative.csv"
    rng = np.random.default_rng(0)
    x = rng.normal(size=90)
    pl.DataFrame({"x": x, "y": x - 5.0}).write_csv(path)
    criteria = ["poisson", "squared_error", "friedman_mse"][:2]
    result = run(search.plan_search({"criterion": criteria, "n_estimators": [3, 5]}, path))
    assert [found["status"] for found in result["all_results"]] == ["failed"] * 2 + ["success"] * 2
    assert result["all_results"][0]["score"] is None
    assert "cannot learn" in result["all_results"][0]["error"]
    assert result["n_failed"] == 2
    assert result["best_params"]["criterion"] == "squared_error"
    with pytest.raises(DataError, match="all 1 trials failed"):
        run(search.plan_search([{"criterion": "poisson"}], path))


def test_a_trial_that_was_not_scored_on_every_fold_has_no_score(tmp_path: Path) -> None:
    plan = search.plan_search(
        [{"max_depth": 1}, {"max_depth": 2}],
        ml_tables.write(tmp_path, "diabetes"),
        model_config={"n_estimators": 2},
    )
    scores = [FoldScore(0, 0, 9.0), *(FoldScore(1, fold, 0.5) for fold in range(3))]
    result = search.rank(plan, scores, {})
    assert result["best_params"] == {"max_depth": 2}
    assert result["all_results"][0]["status"] == "failed"


def test_of_equal_trials_the_first_is_best(tmp_path: Path) -> None:
    plan = search.plan_search(
        [{"max_depth": depth} for depth in (3, 1, 2)], ml_tables.write(tmp_path, "diabetes")
    )
    scores = [FoldScore(i, fold, 0.5) for i in range(3) for fold in range(3)]
    assert search.rank(plan, scores, {})["best_params"] == {"max_depth": 3}


def test_a_trial_may_name_its_estimator(tmp_path: Path) -> None:
    trials = [{"estimator": "linear", "alpha": 1.0}, {"n_estimators": 3}]
    plan = search.plan_search(trials, ml_tables.write(tmp_path, "diabetes"))
    assert run(plan)["best_params"] == trials[0]


def test_a_metric_of_error_is_best_when_small(tmp_path: Path) -> None:
    path = ml_tables.write(tmp_path, "diabetes")
    config = {"estimator": "linear", "metric": "neg_rmse"}
    result = run(search.plan_search({"alpha": [1.0, 1e6]}, path, model_config=config))
    assert -70 < result["best_score"] < -50
    assert result["best_params"] == {"alpha": 1.0}


@pytest.mark.parametrize(
    ("grid", "keys", "words"),
    [
        ({"max_dept": [3]}, {}, "max_depth"),
        ({"max_depth": [3, -1]}, {}, r"param_grid\[1\].max_depth: -1"),
        ([{"max_depth": 3}, {"max_depth": "x"}], {}, r"param_grid\[1\].max_depth"),
        ({"num_partitions": [1, 2]}, {}, "same for all trials"),
        ({"estimator": ["forest"]}, {}, "no estimator"),
        ({"max_depth": [3]}, {"cv": 1}, "cv"),
        ({"max_depth": [3]}, {"cv": 3.0}, "cv"),
        ({"max_depth": [3]}, {"model_config": {"metric": "accuracy"}}, "accuracy"),
        ({f"k{i}": list(range(10)) for i in range(9)}, {}, "1000000000 combinations"),
    ],
)
def test_faults_of_a_grid_are_found_before_anything_starts(
    tmp_path: Path, grid: Any, keys: dict[str, Any], words: str
) -> None:
    with pytest.raises(DefinitionError, match=words):
        search.plan_search(grid, ml_tables.write(tmp_path, "diabetes"), **keys)


def test_too_few_rows_for_the_folds_are_said(tmp_path: Path) -> None:
    path = tmp_path / "rare.csv"
    pl.DataFrame({"x": range(42), "y": ["a", "b"] * 20 + ["c", "c"]}).write_csv(path)
    with pytest.raises(DataError, match="class 'c' has 2 rows"):
        search.plan_search([{}], path)


@pytest.mark.parametrize("name", ["alloys", "breast_cancer"])
def test_sharing_trees_changes_no_score_with_gaps_and_classes_either(
    tmp_path: Path, name: str
) -> None:
    alloys, cancer = ml_tables.alloys(tmp_path), ml_tables.write(tmp_path, "breast_cancer")
    grid = {"n_estimators": [2, 5, 9], "max_depth": [None, 3]}
    plan = search.plan_search(grid, alloys if name == "alloys" else cancer)
    shared = [score for item in search.items(plan) for score in search.score_item(item, plan)]
    alone = [
        score
        for item in search.items(plan)
        for one in search.split(item)
        for score in search.score_item(one, plan)
    ]
    assert len(search.items(plan)) == 6
    assert shared == alone


def test_a_shared_item_that_failed_may_be_saved_trial_by_trial(tmp_path: Path) -> None:
    grid = {"n_estimators": [2, 3]}
    plan = search.plan_search(grid, ml_tables.write(tmp_path, "diabetes"), cv=2)
    lost, kept = search.items(plan)
    scores = search.score_item(kept, plan) + search.score_item(search.split(lost)[0], plan)
    result = search.rank(plan, scores, {lost: "out of memory"})
    assert [found["status"] for found in result["all_results"]] == ["success", "failed"]
    assert result["all_results"][1]["error"] == "out of memory"
