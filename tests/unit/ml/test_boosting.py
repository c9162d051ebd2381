"""LightGBM learns, is kept as checked text, and is missed in words where it is not installed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import ml_tables
import numpy as np
import polars as pl
import pytest
from test_forests import without

from materia.errors import DataError, DefinitionError, MissingExtraError
from materia.ml import formats
from materia.ml.boosting import BoostedTrees
from materia.ml.config import parse_config
from materia.ml.model_file import read_card, read_model, write_model
from materia.ml.training import plan_training, train_partition

CONFIG = {"estimator": "lightgbm", "num_partitions": 1, "n_estimators": 15}


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model with numbers and a category."""
    trained = ml_tables.train(ml_tables.alloys(tmp_path_factory.mktemp("alloys")), **CONFIG)
    return trained.members[0].decode()


def test_the_file_holds_the_text_and_no_settings(tmp_path: Path) -> None:
    trained = ml_tables.train(ml_tables.write(tmp_path, "iris"), **CONFIG)
    path = write_model(tmp_path / "m.model", trained).path
    card = read_card(path)
    assert card["members"][0]["file"] == "members/0.txt"
    assert card["backend"] == "lightgbm"
    assert {"lightgbm", "scikit-learn"} <= set(card["versions"])
    assert b"num_threads" not in trained.members[0]
    X = ml_tables.bundled("iris").drop("target").to_numpy()
    answer = read_model(path).answer(X)
    assert (answer.values == ml_tables.bundled("iris")["target"].to_numpy()).mean() > 0.95


def test_threads_change_nothing(tmp_path: Path) -> None:
    config = {**CONFIG, "subsample": 0.7, "subsample_freq": 1}
    plan = plan_training(config, ml_tables.friedman_table(tmp_path, 1000))
    assert plan.threads == 1
    one, two = (train_partition(0, replace(plan, threads=n)) for n in (1, 2))
    assert one.model == two.model
    assert one.score == two.score > 0.75


def test_a_rare_class_that_a_partition_lacks_keeps_its_place(tmp_path: Path) -> None:
    path = tmp_path / "rare.csv"
    labels = ["a", "b"] * 60 + ["c", "c"]
    pl.DataFrame({"x": range(122), "y": labels}).write_csv(path)
    config = {**CONFIG, "num_partitions": 4}
    answer = read_model(write_model(tmp_path / "m.model", ml_tables.train(path, **config)).path)
    found = answer.answer(np.array([[3.0]]))
    assert found.probabilities is not None
    assert found.probabilities.shape == (1, 3)


@pytest.mark.parametrize(
    ("pattern", "by"),
    [
        (r"^left_child=\S+", "left_child=0"),
        (r"^left_child=\S+", "left_child=99999"),
        (r"^right_child=\S+", "right_child=-99999"),
        (r"^split_feature=\S+", "split_feature=7"),
        (r"^split_feature=\S+", "split_feature=-1"),
        (r"^num_leaves=.*", "num_leaves=999"),
        (r"^num_leaves=.*", "num_leaves=x"),
        (r"^leaf_value=\S+ ", "leaf_value="),
        (r"^num_cat=.*", "num_cat=0"),
        (r"^cat_boundaries=.*", "cat_boundaries=0 999"),
        (r"^cat_threshold=\S+", "cat_threshold="),
        (r"^is_linear=0", "is_linear=1"),
        (r"^max_feature_idx=.*", "max_feature_idx=0"),
        (r"^objective=.*", "objective=binary sigmoid:1"),
        (r"\Atree", "wood"),
        (r"^version=", "tree_sizes=1 2 3\nversion="),
    ],
)
def test_a_changed_text_is_refused_before_the_library_reads_it(
    text: str, pattern: str, by: str
) -> None:
    changed = re.sub(pattern, by, text, count=1, flags=re.M)
    assert changed != text
    with pytest.raises(DataError):
        formats.from_bytes(changed.encode(), "lightgbm", "regression")
    formats.from_bytes(text.encode(), "lightgbm", "regression")


def test_something_else_is_no_text_of_lightgbm(text: str) -> None:
    for content in (b"", b"\xff\xfe", b"tree\n", text[: len(text) // 2].encode()[:-30]):
        with pytest.raises(DataError):
            formats.from_bytes(content, "lightgbm", "regression")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"n_estimators": 0}, "n_estimators.*whole number from 1"),
        ({"n_estimators": True}, "n_estimators"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"num_leaves": 1}, "num_leaves"),
        ({"max_depth": 0}, "max_depth.*or -1"),
        ({"subsample": 1.5}, "subsample.*to 1"),
        ({"num_leafs": 5}, "did you mean 'num_leaves'"),
        ({"n_jobs": 2}, "sets 'n_jobs' itself"),
        ({"criterion": "gini"}, "unknown"),
    ],
)
def test_its_parameters_are_checked(params: dict[str, object], words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        parse_config({"estimator": "lightgbm", **params})
    assert parse_config({"estimator": "lightgbm", "max_depth": None}).params == {"max_depth": None}


def test_without_it_the_extra_is_named(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = ml_tables.train(ml_tables.write(tmp_path, "diabetes"), **CONFIG)
    path = write_model(tmp_path / "m.model", trained).path
    without("lightgbm", monkeypatch)
    asked = (
        lambda: parse_config({"estimator": "lightgbm"}),
        lambda: read_model(path),
        lambda: BoostedTrees(text).answer(np.zeros((1, 2))),
    )
    for ask in asked:
        with pytest.raises(MissingExtraError, match=r"materia\[lightgbm\]"):
            ask()
    assert read_card(path)["estimator"] == "lightgbm"
