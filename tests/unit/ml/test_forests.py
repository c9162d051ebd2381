"""Faster forests score as well, and are scikit-learn's once grown."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import ml_tables
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from materia.errors import DataError, DefinitionError, MissingExtraError
from materia.ml import estimators, forests, formats, search, training
from materia.ml.model_file import read_card, read_model, write_model
from materia.ml.schema import Column, Schema
from materia.ml.trees import check_trees

pytest.importorskip("sklearnex", reason="no build of intelex for this machine")

D = 6
COLUMNS = tuple(Column(f"x{j}", "number") for j in range(D))
VALUES = Schema(COLUMNS, "y", "regression")
CLASSES = Schema(COLUMNS, "y", "classification", ("a", "b", "c"))


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    return ml_tables.friedman(3000)


def grown(schema: Schema, X: Any, y: Any, backend: str = "intelex", **params: Any) -> Any:
    threads = params.pop("threads", 1)
    return estimators.fit(
        "random_forest",
        {"n_estimators": 10, **params},
        7,
        X,
        y,
        schema,
        backend=backend,  # type: ignore[arg-type]
        threads=threads,
    )


def test_least_numbers_of_rows_mean_the_same_to_both(rows: Any) -> None:
    X, y = rows
    for name, least in (
        ("min_samples_split", 10),
        ("min_samples_leaf", 5),
        ("min_samples_split", 0.01),
    ):
        leaves = [
            np.mean([tree.get_n_leaves() for tree in found.estimators_])
            for backend in ("sklearn", "intelex")
            for found in [grown(VALUES, X, y, backend, **{name: least})]
        ]
        assert leaves[1] == pytest.approx(leaves[0], rel=0.15), name


@pytest.mark.parametrize("schema", [VALUES, CLASSES], ids=["values", "classes"])
def test_faster_forests_score_as_well_on_rows_never_seen(rows: Any, schema: Schema) -> None:
    X, y = rows
    y = y if schema is VALUES else np.digitize(y, [11.0, 16.0]).astype(float)
    scores = {
        backend: grown(schema, X[:2000], y[:2000], backend).score(X[2000:], y[2000:])
        for backend in ("sklearn", "intelex")
    }
    assert scores["intelex"] > 0.7
    assert scores["intelex"] == pytest.approx(scores["sklearn"], abs=0.02)


@pytest.mark.parametrize("schema", [VALUES, CLASSES], ids=["values", "classes"])
def test_a_forest_once_grown_is_one_of_scikit_learn_and_is_stored_as_such(
    rows: Any, schema: Schema
) -> None:
    X, y = rows
    y = y if schema is VALUES else np.digitize(y, [11.0, 16.0]).astype(float)
    forest = grown(schema, X, y)
    kind = RandomForestRegressor if schema is VALUES else RandomForestClassifier
    assert type(forest) is kind
    assert forest.n_jobs is None
    check_trees(forest, D)
    content = formats.to_bytes(forest)
    # Not the arrays: gaps between the numbers of a node hold whatever lay in memory there.
    types = ZipFile(BytesIO(content)).read("schema.json")
    assert b"sklearnex" not in types
    assert b"onedal" not in types
    again = formats.from_bytes(content, "random_forest", schema.task)
    assert np.array_equal(again.predict(X), forest.predict(X))
    # The mean of a node is that of its leaves, also in the root.
    root = forest.estimators_[0].tree_.value[0].ravel()
    expected = [y.mean()] if schema is VALUES else np.bincount(y.astype(int)) / len(y)
    assert root == pytest.approx(expected, abs=0.5 if schema is VALUES else 0.05)


def test_the_first_trees_of_a_forest_are_the_smaller_forest_and_threads_change_nothing(
    rows: Any,
) -> None:
    X, y = rows
    large, small = grown(VALUES, X, y, threads=2), grown(VALUES, X, y, n_estimators=4)
    prefixes = estimators.forest_prefixes(large, [4, 10], X, VALUES)
    assert np.array_equal(prefixes[4].values, small.predict(X))
    assert np.array_equal(prefixes[10].values, grown(VALUES, X, y).predict(X))


def test_threads_change_nothing_in_forests_of_scikit_learn_either(rows: Any) -> None:
    X, y = rows
    one, two = (grown(VALUES, X, y, "sklearn", n_estimators=4, threads=n) for n in (1, 2))
    assert np.array_equal(one.predict(X), two.predict(X))


def test_what_intelex_does_not_do_alike_is_grown_by_scikit_learn(rows: Any) -> None:
    X, y = rows
    for params in ({"criterion": "absolute_error"}, {"max_leaf_nodes": 9}, {"bootstrap": False}):
        params = {"n_estimators": 2, "max_depth": 2, **params}
        both = [grown(VALUES, X[:300], y[:300], b, **params).predict(X) for b in BACKENDS]
        assert np.array_equal(*both)
        assert estimators.backend_of("random_forest", params, "regression", "intelex") == "sklearn"
    assert estimators.backend_of("extra_trees", {}, "regression", "intelex") == "sklearn"


BACKENDS = ("sklearn", "intelex")


def test_auto_takes_the_faster_one_for_long_tables_without_gaps() -> None:
    X = np.zeros((forests.MIN_ROWS, 2))
    assert forests.choose("auto", X) == "intelex"
    assert forests.choose("sklearn", X) == "sklearn"
    assert forests.choose("auto", X[1:]) == "sklearn"
    assert forests.choose("intelex", X[1:]) == "intelex"
    X[0, 0] = np.nan
    assert forests.choose("auto", X) == "sklearn"
    with pytest.raises(DataError, match=r"missing values.*'auto' or 'sklearn'"):
        forests.choose("intelex", X)


def test_where_it_is_not_installed_auto_does_without_and_a_plan_for_it_fails_in_words(
    monkeypatch: pytest.MonkeyPatch, rows: Any
) -> None:
    without("sklearnex", monkeypatch)
    X, y = rows
    assert forests.choose("auto", X) == "sklearn"
    for ask in (lambda: forests.choose("intelex", X), lambda: grown(VALUES, X, y)):
        with pytest.raises(MissingExtraError, match=r"materia\[intelex\]"):
            ask()


def without(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a library be absent."""
    found = PathFinder.find_spec

    def find_spec(name: str, *places: Any) -> ModuleSpec | None:
        return None if name.split(".")[0] == library else found(name, *places)

    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(PathFinder, "find_spec", find_spec)


def test_the_card_and_the_result_say_who_grew_it_and_the_file_needs_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = ml_tables.friedman_table(tmp_path)
    trained = ml_tables.train(table, n_estimators=5, num_partitions=1)
    path = write_model(tmp_path / "m.model", trained).path
    assert trained.result["backend"] == read_card(path)["backend"] == "intelex"
    assert "scikit-learn-intelex" in read_card(path)["versions"]
    without("sklearnex", monkeypatch)
    assert read_model(path).answer(np.full((1, D), 0.5)).values[0] > 0
    chosen = ml_tables.train(table, n_estimators=2, num_partitions=1, backend="sklearn")
    assert chosen.result["backend"] == "sklearn"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"backend": "intelex", "estimator": "linear"}, "does not grow 'linear'"),
        ({"backend": "intelex", "estimator": "extra_trees"}, "does not grow 'extra_trees'"),
        ({"backend": "intelex", "max_leaf_nodes": 5}, "max_leaf_nodes"),
        ({"backend": "intelex", "criterion": "poisson"}, "criterion = 'poisson'"),
        ({"backend": "gpu"}, "backend"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused_before_anything_starts(
    tmp_path: Path, config: dict[str, Any], words: str
) -> None:
    with pytest.raises(DefinitionError, match=words):
        training.plan_training(config, ml_tables.write(tmp_path, "diabetes"))


def test_trials_say_who_grew_them_and_a_wish_holds_for_all(tmp_path: Path) -> None:
    table = ml_tables.friedman_table(tmp_path)
    grid = {"max_depth": [2], "criterion": ["squared_error", "friedman_mse"][:1]}
    plan = search.plan_search({**grid, "n_estimators": [2, 3]}, table, cv=2)
    scores = [s for item in search.items(plan) for s in search.score_item(item, plan)]
    assert len(search.items(plan)) == 2
    assert [r["backend"] for r in search.rank(plan, scores, {})["all_results"]] == ["intelex"] * 2
    with pytest.raises(DefinitionError, match=r"param_grid\[1\].*'extra_trees'"):
        search.plan_search(
            {"estimator": ["random_forest", "extra_trees"]},
            table,
            model_config={"backend": "intelex"},
        )
