"""The rows that decide between two models are those that neither has learnt from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_iris

from materia.errors import DataError
from materia.ml import formats, retraining, training
from materia.ml.model_file import Model
from materia.ml.retraining import Contest, HoldOut
from materia.ml.training import TrainedModel

CONFIG = {"n_estimators": 5, "max_depth": 3, "num_partitions": 1}


def table(n: int, seed: int = 1) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=n), rng.normal(size=n)
    return pl.DataFrame({"x": x, "z": z, "kind": rng.choice(["a", "b"], n), "y": x + 0.1 * z})


def contest(path: Path, known: HoldOut | None = None, **config: object) -> Contest:
    return retraining.plan_contest("m", {**CONFIG, **config}, path, known)


def learnt(found: Contest) -> set[tuple[float, ...]]:
    """Return the rows that are learnt from, as features and target."""
    rows = np.concatenate(found.plan.partitions)
    data = np.column_stack([found.plan.dataset.X[rows], found.plan.dataset.y[rows]])
    return set(map(tuple, data.tolist()))


def judging(found: Contest) -> set[tuple[float, ...]]:
    rows = found.plan.held_out
    data = np.column_stack([found.plan.dataset.X[rows], found.plan.dataset.y[rows]])
    return set(map(tuple, data.tolist()))


def trained(found: Contest) -> Model:
    outcome = training.train_partition(0, found.plan)
    made: TrainedModel = training.assemble(found.plan, {0: outcome}, {})
    schema = found.plan.dataset.schema
    member = formats.from_bytes(made.members[0], "random_forest", schema.task)
    card = {**made.card, "hold_out": found.hold_out.to_data()}
    return Model(card, schema, "random_forest", (member,))


def test_no_row_that_was_learnt_from_ever_decides(tmp_path: Path) -> None:
    old, new = (
        table(300),
        pl.concat([table(200, seed=2), table(300)]).sample(fraction=1, shuffle=True, seed=3),
    )
    old.write_csv(tmp_path / "old.csv")
    new.write_csv(tmp_path / "new.csv")
    first = contest(tmp_path / "old.csv")
    second = contest(tmp_path / "new.csv", first.hold_out)
    assert second.hold_out == first.hold_out
    assert not learnt(first) & judging(second)
    assert judging(first) < judging(second)
    assert 30 <= len(judging(first)) <= 90


def test_the_same_cells_are_the_same_row_in_every_file(tmp_path: Path) -> None:
    frame = table(200).with_columns(n=pl.arange(200))
    frame.write_csv(tmp_path / "a.csv")
    frame.write_parquet(tmp_path / "a.parquet")
    text = frame.with_columns(n=pl.col("n").cast(pl.Float64), kind=" " + pl.col("kind") + " ")
    text.select("kind", "n", "z", "y", "x").write_csv(tmp_path / "b.csv")
    found = contest(tmp_path / "a.csv", target="y")
    for name in ("a.parquet", "b.csv"):
        other = contest(tmp_path / name, found.hold_out, target="y")
        assert found.frame["n"].cast(pl.Float64).to_list() == (
            other.frame["n"].cast(pl.Float64).to_list()
        )


def test_the_same_rows_are_held_out_in_every_release() -> None:
    frame = pl.DataFrame({"a": [float(i) for i in range(40)], "b": ["x", "y"] * 20})
    held = np.flatnonzero(HoldOut("m", "a", ("a", "b"), 0.2).holds(frame))
    assert held.tolist() == [10, 11, 18, 28, 37, 39]
    assert retraining._hash("x") == 0x4F586EF96743DF4A
    zeros = retraining._cells(pl.Series(["0", "0.0", "-0", " 0 "])).tolist()
    assert len(set(zeros)) == 1
    assert retraining._cells(pl.Series(["", "NA", None])).tolist() == [0, 0, 0]


def test_the_model_in_use_is_judged_on_the_same_rows(tmp_path: Path) -> None:
    table(300).write_csv(tmp_path / "t.csv")
    found = contest(tmp_path / "t.csv")
    model = trained(found)
    outcome = training.train_partition(0, found.plan)
    assert retraining.judge(model, found) == pytest.approx(outcome.score)


@pytest.mark.parametrize("change", [{"test_size": 0.3}, {"target": "z"}])
def test_a_model_with_another_hold_out_is_not_compared(
    tmp_path: Path, change: dict[str, object]
) -> None:
    table(300).write_csv(tmp_path / "t.csv")
    first = contest(tmp_path / "t.csv")
    second = contest(tmp_path / "t.csv", first.hold_out, **change)
    assert second.hold_out != first.hold_out
    with pytest.raises(DataError, match="another hold-out"):
        retraining.judge(trained(first), second)


def test_a_column_that_is_new_changes_nothing_and_one_that_is_gone_starts_anew(
    tmp_path: Path,
) -> None:
    table(300).write_csv(tmp_path / "t.csv")
    first = contest(tmp_path / "t.csv", target="y")
    table(300).with_columns(new=pl.lit(1)).write_csv(tmp_path / "more.csv")
    assert contest(tmp_path / "more.csv", first.hold_out, target="y").hold_out == first.hold_out
    table(300).drop("z").write_csv(tmp_path / "less.csv")
    assert contest(tmp_path / "less.csv", first.hold_out, target="y").hold_out != first.hold_out


def test_a_class_that_the_model_in_use_does_not_know_counts_against_it(tmp_path: Path) -> None:
    iris = load_iris()
    frame = pl.DataFrame(iris.data, schema=["a", "b", "c", "d"])
    frame = frame.with_columns(species=pl.Series(iris.target_names[iris.target]))
    frame.write_csv(tmp_path / "all.csv")
    frame.filter(pl.col("species") != "virginica").write_csv(tmp_path / "two.csv")
    first = contest(tmp_path / "two.csv")
    second = contest(tmp_path / "all.csv", first.hold_out)
    score = retraining.judge(trained(first), second)
    share = 1 - np.mean([label == "virginica" for label in second.frame["species"]])
    assert score == pytest.approx(share, abs=0.1)


def test_too_few_rows_to_decide_are_an_error(tmp_path: Path) -> None:
    table(12).write_csv(tmp_path / "t.csv")
    with pytest.raises(DataError, match="10 or more must decide"):
        contest(tmp_path / "t.csv")


def test_a_regression_and_a_classification_are_not_compared(tmp_path: Path) -> None:
    table(300).write_csv(tmp_path / "t.csv")
    found = contest(tmp_path / "t.csv")
    model = trained(found)
    other = replace(model, schema=replace(model.schema, task="classification"))
    with pytest.raises(DataError, match="classification"):
        retraining.judge(other, found)
