"""Forests as ONNX answer bit for bit, and a card says why a model has no such form."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import ml_tables
import numpy as np
import onnxruntime
import polars as pl
import pytest
from test_forests import without

from materia.ml import exchange
from materia.ml.model_file import Model, read_card, read_model, write_model


def stored(folder: Path, table: Path, **config: Any) -> Path:
    return write_model(folder / "m.model", ml_tables.train(table, **config)).path


def rows_of(model: Model, n: int = 300) -> Any:
    """Return rows of which many lie on thresholds, some beyond all, and some miss a value."""
    rng = np.random.default_rng(2)
    d = len(model.schema.features)
    X = rng.normal(size=(n, d))
    thresholds = model.members[0].estimators_[0].tree_.threshold
    thresholds = thresholds[np.isfinite(thresholds)]  # an infinite one parts the missing values
    X[::3] = rng.choice(thresholds, size=X[::3].shape)
    X[::7, 0] = np.nan
    X[5] = 1e30
    return X


@pytest.mark.parametrize(
    ("table", "config"),
    [
        ("diabetes", {"n_estimators": 7}),
        ("diabetes", {"n_estimators": 5, "estimator": "extra_trees", "max_leaf_nodes": 2}),
        ("iris", {"n_estimators": 6}),
        ("breast_cancer", {"n_estimators": 4, "num_partitions": 1}),
        ("alloys", {"n_estimators": 5}),
        ("friedman", {"n_estimators": 3, "backend": "intelex"}),
        # Trees of a single leaf.
        ("diabetes", {"n_estimators": 3, "min_samples_leaf": 300, "num_partitions": 1}),
    ],
)
def test_quick_answers_are_the_same_to_the_last_bit(
    tmp_path: Path, table: str, config: dict[str, Any]
) -> None:
    own = {"alloys": ml_tables.alloys, "friedman": ml_tables.friedman_table}
    make = own.get(table, lambda folder: ml_tables.write(folder, table))
    path = stored(tmp_path, make(tmp_path), **config)
    assert read_card(path)["onnx"]["is_converted"] is True
    model = read_model(path)
    quick = pickle.loads(pickle.dumps(model.quick()))  # noqa: S301 - as it is sent to a process
    assert quick.runner is not None
    X = rows_of(model)
    for rows in (X, X[:1]):
        expected, found = model.answer(rows), quick.answer(rows)
        for name in ("values", "std", "probabilities"):
            own_part, other = getattr(expected, name), getattr(found, name)
            assert (own_part is None) == (other is None)
            assert own_part is None or np.array_equal(own_part, other)


def test_other_programs_find_the_graph_in_the_file(tmp_path: Path) -> None:
    path = stored(tmp_path, ml_tables.write(tmp_path, "iris"), n_estimators=5)
    with ZipFile(path) as archive:
        content = archive.read("model.onnx")
    X = ml_tables.bundled("iris").drop("target").to_numpy()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    [found] = session.run(["prediction"], {"X": X})
    expected = read_model(path).answer(X).probabilities
    assert np.allclose(found, expected, rtol=1e-12)


def test_a_forest_without_some_class_keeps_the_places_of_the_others(tmp_path: Path) -> None:
    table = tmp_path / "rare.csv"
    labels = ["a", "b"] * 40 + ["c", "c"]
    pl.DataFrame({"x": range(82), "y": labels}).write_csv(table)
    model = read_model(stored(tmp_path, table, n_estimators=3))
    X = np.arange(82.0)[:, None]
    found, expected = model.quick().answer(X).probabilities, model.answer(X).probabilities
    assert found is not None
    assert expected is not None
    assert np.array_equal(found, expected)


def test_a_card_says_why_a_model_was_not_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = ml_tables.write(tmp_path, "diabetes")
    boosted = stored(tmp_path, table, estimator="linear")
    assert read_card(boosted)["onnx"] == {
        "is_converted": False,
        "reason": "estimator 'linear' is not converted, forests are",
    }
    assert read_model(boosted).quick().runner is None
    monkeypatch.setattr(exchange, "MAX_NODES", 100)
    large = stored(tmp_path, table, n_estimators=3)
    assert "more than 100" in read_card(large)["onnx"]["reason"]
    assert read_model(large).quick().runner is None
    with ZipFile(large) as archive:
        assert "model.onnx" not in archive.namelist()


def test_an_answer_that_differs_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = ml_tables.write(tmp_path, "diabetes")
    monkeypatch.setattr(exchange, "_integers", off_by_one_feature(exchange._integers))
    card = read_card(stored(tmp_path, table, n_estimators=3))
    assert card["onnx"]["reason"] == "its answers as ONNX differ from the model's"


def off_by_one_feature(plain: Any) -> Any:
    def changed(name: str, array: Any) -> Any:
        return plain(name, np.maximum(array - 1, 0) if name == "nodes_featureids" else array)

    return changed


def test_without_the_extra_models_are_trained_and_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without("onnx", monkeypatch)
    path = stored(tmp_path, ml_tables.write(tmp_path, "diabetes"), n_estimators=3)
    assert "materia[onnx]" in read_card(path)["onnx"]["reason"]
    assert read_model(path).quick().runner is None
