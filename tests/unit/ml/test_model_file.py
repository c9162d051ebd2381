"""A model comes back bit for bit, and nothing that is not ours is ever built."""

from __future__ import annotations

import io
import json
import os
import pickle
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import joblib
import ml_tables
import numpy as np
import pytest
import skops.io
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.preprocessing import FunctionTransformer

from materia.errors import DataError, DefinitionError, NotFoundError
from materia.ml import conversion, formats, training
from materia.ml.ensemble import combine
from materia.ml.estimators import TABLE
from materia.ml.model_file import read_card, read_model, write_model
from materia.ml.training import TrainedModel


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    trained = ml_tables.train(ml_tables.write(tmp_path, "diabetes"), n_estimators=5, name="demo")
    return write_model(tmp_path / "demo.model", trained, {"source": "diabetes"}).path


def rewrite(path: Path, changes: dict[str, bytes], compression: int = ZIP_STORED) -> None:
    with ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()} | changes
    with ZipFile(path, "w", compression) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def with_member(path: Path, member: bytes) -> None:
    """Put another member in the place of the first, with its hash made right."""
    import hashlib

    card = read_card(path)
    card["members"][0]["sha256"] = hashlib.sha256(member).hexdigest()
    rewrite(path, {"members/0.skops": member, "model.json": json.dumps(card).encode()})


# Few trees: bits are lost, if at all, in every one.
SMALL = {"n_estimators": 20}
GROWN = ("random_forest", "extra_trees", "gradient_boosting")


@pytest.mark.parametrize("estimator", TABLE)
def test_every_regression_comes_back_bit_for_bit(tmp_path: Path, estimator: str) -> None:
    path = ml_tables.alloys(tmp_path)
    assert_round_trip(tmp_path, path, {"estimator": estimator, "num_partitions": 2})


@pytest.mark.parametrize("estimator", [name for name in TABLE if name != "gp"])
def test_every_classification_comes_back_bit_for_bit(tmp_path: Path, estimator: str) -> None:
    assert_round_trip(tmp_path, ml_tables.write(tmp_path, "iris"), {"estimator": estimator})


def assert_round_trip(folder: Path, path: Path, config: dict[str, Any]) -> None:
    size = SMALL if config.get("estimator") in GROWN else {}
    plan = training.plan_training({**config, **size}, path)
    outcomes = ml_tables.train_all(plan)
    trained = training.assemble(plan, outcomes, {})
    written = write_model(folder / "m.model", trained)
    model = read_model(written.path, written.sha256)
    assert model.schema == plan.dataset.schema
    found = model.answer(plan.dataset.X[plan.held_out])
    again = combine([outcome.answer for outcome in outcomes.values()])
    assert np.array_equal(found.values, again.values)
    for own, other in ((found.std, again.std), (found.probabilities, again.probabilities)):
        assert (own is None) == (other is None)
        assert own is None or np.array_equal(own, other)


def test_the_card_says_what_the_model_is_without_building_it(stored: Path) -> None:
    card = read_card(stored)
    assert card["format_version"] == 1
    assert card["name"] == "demo"
    assert card["estimator"] == "random_forest"
    assert card["config"]["n_estimators"] == 5
    assert card["schema"]["target"] == "target"
    assert card["metadata"] == {"source": "diabetes"}
    assert card["training"]["total_samples"] == 442
    assert len(card["members"]) == 4
    assert set(card["versions"]) == {"materia", "scikit-learn", "skops", "numpy"}


@pytest.mark.parametrize("name", ["old.pkl", "old.joblib", "renamed.model"])
@pytest.mark.parametrize("how", ["pickle", "joblib", "joblib-compressed"])
def test_a_pickle_is_refused_unread_with_the_ways_out(tmp_path: Path, name: str, how: str) -> None:
    path, trap = tmp_path / name, Trap(tmp_path / "sprung")
    if how == "pickle":
        path.write_bytes(pickle.dumps(trap))
    else:
        joblib.dump(trap, path, compress=3 if how == "joblib-compressed" else 0)
    for read in (read_model, read_card):
        with pytest.raises(DataError) as caught:
            read(path)
        for word in ("pickle", "retrain", "convert"):
            assert word in str(caught.value)
    assert not (tmp_path / "sprung").exists()


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._path),)


def test_the_trap_is_real(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))  # noqa: S301
    assert (tmp_path / "sprung").exists()


def test_a_missing_model_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no model file"):
        read_model(tmp_path / "none.model")
    with pytest.raises(DataError, match="convert"):
        read_model(tmp_path / "none.pkl")


def test_a_changed_member_is_refused(stored: Path) -> None:
    with ZipFile(stored) as archive:
        member = bytearray(archive.read("members/1.skops"))
    member[len(member) // 2] ^= 1
    rewrite(stored, {"members/1.skops": bytes(member)})
    with pytest.raises(DataError, match=r"changed or damaged.*members/1\.skops"):
        read_model(stored)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_cut_off_file_is_refused(stored: Path, share: float) -> None:
    content = stored.read_bytes()
    stored.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError):
        read_model(stored)


def test_another_file_than_the_registered_one_is_refused(tmp_path: Path, stored: Path) -> None:
    other = ml_tables.train(ml_tables.write(tmp_path, "diabetes"), n_estimators=4)
    registered = write_model(tmp_path / "other.model", other)
    with pytest.raises(DataError, match="not the one that was registered"):
        read_model(stored, registered.sha256)


def run(x: Any) -> Any:
    """Stand in for code of a stranger."""
    return x


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (FunctionTransformer(run), "foreign types"),
        (Ridge(), "is Ridge, not 'random_forest'"),
        ({"a": 1}, "is dict, not 'random_forest'"),
    ],
)
def test_a_foreign_member_is_refused_although_its_hash_is_right(
    stored: Path, member: Any, words: str
) -> None:
    with_member(stored, skops.io.dumps(member))
    with pytest.raises(DataError, match=words):
        read_model(stored)


def test_a_member_that_is_a_pickle_or_a_bomb_is_refused(stored: Path) -> None:
    with_member(stored, pickle.dumps(RandomForestRegressor()))
    with pytest.raises(DataError, match="no skops file"):
        read_model(stored)
    with_member(stored, skops.io.dumps(np.zeros(10**6), compression=ZIP_DEFLATED))
    with pytest.raises(DataError, match="compressed"):
        read_model(stored)


def test_a_compressed_archive_is_refused(stored: Path) -> None:
    rewrite(stored, {}, ZIP_DEFLATED)
    with pytest.raises(DataError, match="no model file of MatCraft"):
        read_model(stored)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "other"}, "no model file of MatCraft"),
        ({"format_version": 2}, "format version 2"),
        ({"members": []}, "lists no members"),
        ({"members": [{"file": "../../x"}]}, "is missing"),
        ({"estimator": "svm"}, "unknown estimator"),
        ({"estimator": ["gp"]}, "unknown estimator"),
        ({"schema": {"features": []}}, "schema.features"),
        ({"schema": {"features": [{"name": "a", "type": "date"}]}}, "schema"),
        ({"schema": None}, "schema must be a mapping"),
    ],
)
def test_a_wrong_card_is_refused(stored: Path, change: dict[str, Any], words: str) -> None:
    card = read_card(stored) | change
    rewrite(stored, {"model.json": json.dumps(card).encode()})
    with pytest.raises(DataError, match=words):
        read_model(stored)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 no"])
def test_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.model"
    path.write_bytes(content)
    with pytest.raises(DataError, match="no model file of MatCraft"):
        read_model(path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, stored: Path) -> None:
    before, names = stored.read_bytes(), sorted(p.name for p in tmp_path.iterdir())
    broken = TrainedModel({}, {}, ("no bytes",))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        write_model(stored, broken)
    assert stored.read_bytes() == before
    full = TrainedModel({}, {}, (b"x",))
    with pytest.raises(DataError, match="cannot write"):
        write_model(stored / "below" / "a-file.model", full)
    assert sorted(p.name for p in tmp_path.iterdir()) == names


def test_bytes_of_an_estimator_hold_no_pickle() -> None:
    content = formats.to_bytes(RandomForestRegressor(2).fit([[1.0], [2.0]], [1.0, 2.0]))
    with ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
    assert all(name.endswith((".npy", ".npz", ".json")) for name in names)


def test_a_forest_trained_elsewhere_is_converted(tmp_path: Path) -> None:
    frame = ml_tables.bundled("diabetes")
    X, y = frame.drop("target").to_numpy(), frame["target"].to_numpy()
    forest = RandomForestRegressor(5, random_state=1).fit(X, y)
    source = tmp_path / "forest.skops"
    skops.io.dump(forest, source)
    table = ml_tables.write(tmp_path, "diabetes")
    trained = conversion.convert(source, table, {"estimator": "random_forest"})
    model = read_model(write_model(tmp_path / "c.model", trained).path)
    assert np.array_equal(model.answer(X).values, forest.predict(X))
    with pytest.raises(DataError, match="learnt from 10 features"):
        conversion.convert(source, table, {"exclude": ["age"]})
    with pytest.raises(DataError, match="not 'extra_trees'"):
        conversion.convert(source, table, {"estimator": "extra_trees"})
    with pytest.raises(DefinitionError, match="retrain"):
        conversion.convert(source, table, {"estimator": "linear"})


@pytest.mark.parametrize(
    ("field", "value"),
    [("left_child", 0), ("right_child", 10**6), ("feature", 10), ("feature", -5)],
)
def test_a_tree_that_leads_out_of_its_arrays_is_not_walked(
    tmp_path: Path, stored: Path, field: str, value: int
) -> None:
    frame = ml_tables.bundled("diabetes")
    X, y = frame.drop("target").to_numpy(), frame["target"].to_numpy()
    forest = RandomForestRegressor(2, max_depth=3, random_state=0).fit(X, y)
    state = forest.estimators_[1].tree_.__getstate__()
    state["nodes"][field][0] = value
    forest.estimators_[1].tree_.__setstate__(state)
    with_member(stored, skops.io.dumps(forest))
    with pytest.raises(DataError, match="a tree of the model is damaged"):
        read_model(stored)


@pytest.mark.parametrize("field", ["left", "feature_idx"])
def test_boosted_trees_are_checked_alike(tmp_path: Path, field: str) -> None:
    path = ml_tables.write(tmp_path, "diabetes")
    trained = ml_tables.train(path, estimator="gradient_boosting", num_partitions=1)
    boosted = formats.from_bytes(trained.members[0], "gradient_boosting", "regression")
    boosted._predictors[3][0].nodes[field][0] = 0 if field == "left" else 99
    broken = TrainedModel({}, trained.card, (formats.to_bytes(boosted),))
    with pytest.raises(DataError, match="a tree of the model is damaged"):
        read_model(write_model(tmp_path / "b.model", broken).path)


def test_a_member_that_does_not_fit_the_schema_is_refused(stored: Path) -> None:
    with_member(stored, skops.io.dumps(RandomForestRegressor(2).fit([[1.0], [2.0]], [1.0, 2.0])))
    with pytest.raises(DataError, match="does not fit the schema"):
        read_model(stored)
    with_member(stored, skops.io.dumps(RandomForestRegressor(2)))
    with pytest.raises(DataError, match="does not fit the schema"):
        read_model(stored)


@pytest.mark.parametrize(
    "params",
    [
        {"loss": "absolute_error"},
        {"loss": "poisson"},
        {"loss": "gamma"},
        {"loss": "quantile", "quantile": 0.7},
        {"early_stopping": True},
    ],
)
def test_boosted_trees_of_any_kind_are_stored(tmp_path: Path, params: dict[str, Any]) -> None:
    path = ml_tables.write(tmp_path, "diabetes")
    config = {"estimator": "gradient_boosting", "n_estimators": 5, "num_partitions": 1}
    assert_round_trip(tmp_path, path, config | params)


@pytest.mark.parametrize(
    "config",
    [
        {"bootstrap": True, "oob_score": True, "max_samples": 0.5, "n_estimators": 20},
        {"criterion": "absolute_error", "n_estimators": 3},
        {"estimator": "extra_trees", "max_leaf_nodes": 9, "n_estimators": 3},
        {"estimator": "linear", "alpha": 0.1, "solver": "lsqr"},
    ],
)
def test_models_with_other_parameters_are_stored(tmp_path: Path, config: dict[str, Any]) -> None:
    assert_round_trip(tmp_path, ml_tables.write(tmp_path, "diabetes"), config)
