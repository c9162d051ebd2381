"""Every row of a batch is predicted and written, and a batch that does not fit is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_tables
import numpy as np
import polars as pl
import pytest

from materia.errors import DataError, DefinitionError, NotFoundError
from materia.ml import prediction
from materia.ml.model_file import Model, read_model, write_model
from materia.ml.prediction import BatchItem, BatchOutcome, PredictionPlan


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return store(tmp_path, ml_tables.write(tmp_path, "diabetes"), n_estimators=5)


def store(folder: Path, table: Path, **config: Any) -> Model:
    return read_model(write_model(folder / "m.model", ml_tables.train(table, **config)).path)


def predict(
    model: Model, source: Path, kind: str = "csv", **keys: Any
) -> tuple[BatchOutcome, pl.DataFrame]:
    item = BatchItem(source, source.parent / f"out.{kind}")
    outcome = prediction.predict_batch(item, PredictionPlan(model, **keys))
    read = pl.read_csv if kind == "csv" else pl.read_parquet
    return outcome, read(item.output)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_all_rows_are_written_with_their_ids_and_uncertainty(
    tmp_path: Path, model: Model, kind: str
) -> None:
    outcome, written = predict(model, ml_tables.write(tmp_path, "diabetes"), kind)
    assert outcome.n_rows == len(written) == 442
    assert written.columns == ["row_id", "prediction", "std"]
    assert written["row_id"].to_list() == list(range(442))
    X = ml_tables.bundled("diabetes").drop("target").to_numpy()
    answer = model.answer(X)
    assert np.array_equal(written["prediction"], answer.values)
    assert answer.std is not None
    assert np.array_equal(written["std"], answer.std)
    assert written["std"].min() > 0.0
    assert outcome.first == answer.values[:100].tolist()


def test_classes_are_written_by_name_with_their_probabilities(tmp_path: Path) -> None:
    frame = ml_tables.bundled("iris").with_columns(
        pl.col("target").replace_strict({0: "setosa", 1: "versicolor", 2: "virginica"})
    )
    path = tmp_path / "iris.csv"
    frame.write_csv(path)
    _, written = predict(store(tmp_path, path, n_estimators=5), path)
    assert written.columns[2:] == [
        f"probability_{name}" for name in ("setosa", "versicolor", "virginica")
    ]
    assert np.allclose(written[:, 2:].to_numpy().sum(axis=1), 1.0)
    assert (written["prediction"] == frame["target"]).mean() > 0.9


def test_ids_may_come_from_a_column(tmp_path: Path, model: Model) -> None:
    path = tmp_path / "b.csv"
    ids = [f"s-{i}" for i in range(442)]
    ml_tables.bundled("diabetes").with_columns(sample=pl.Series(ids)).write_csv(path)
    _, written = predict(model, path, id_column="sample")
    assert written["row_id"].to_list() == ids
    with pytest.raises(DataError, match="did you mean 'sample'"):
        predict(model, path, id_column="sampel")


def test_columns_may_change_places_and_unknown_ones_are_named(tmp_path: Path, model: Model) -> None:
    frame, path = ml_tables.bundled("diabetes"), tmp_path / "b.csv"
    frame.select(frame.columns[::-1]).with_columns(note=pl.lit("x")).write_csv(path)
    outcome, written = predict(model, path)
    assert outcome.ignored_columns == ["note"]
    expected = model.answer(frame.drop("target").to_numpy()).values
    assert np.array_equal(written["prediction"], expected)


def test_missing_extra_and_wrong_columns_are_named(tmp_path: Path, model: Model) -> None:
    frame, path = ml_tables.bundled("diabetes"), tmp_path / "b.csv"
    frame.drop("s1").rename({"bmi": "bmi_index"}).write_csv(path)
    with pytest.raises(DataError) as caught:
        predict(model, path)
    for word in ("b.csv", "'bmi'", "'s1'", "'bmi_index'"):
        assert word in str(caught.value)
    wrong = frame.with_columns(age=pl.lit("old"), sex=pl.lit("f"))
    wrong.write_csv(path)
    with pytest.raises(DataError) as caught:
        predict(model, path)
    for word in ("b.csv", "'age'", "'old' in row 1", "442 such cells", "'sex'"):
        assert word in str(caught.value)
    assert not (tmp_path / "out.csv").exists()


def test_an_unseen_category_is_taken_as_missing_and_named(tmp_path: Path) -> None:
    model = store(tmp_path, ml_tables.alloys(tmp_path), n_estimators=5)
    path = tmp_path / "b.csv"
    path.write_text("gas,temp\nXe,500\nAr,500\n,500\n")
    outcome, written = predict(model, path)
    assert outcome.unknown_categories == {"gas": ["Xe"]}
    assert written["prediction"][0] == written["prediction"][2]
    assert written["prediction"][0] != written["prediction"][1]


def test_spaces_around_numbers_and_quotes_do_no_harm(tmp_path: Path) -> None:
    model = store(tmp_path, ml_tables.alloys(tmp_path), n_estimators=5)
    path = tmp_path / "b.csv"
    path.write_text('gas,temp\n Ar , 500\n"Ar","500"\n')
    _, written = predict(model, path)
    assert written["prediction"][0] == written["prediction"][1]


def test_a_batch_of_no_rows_has_no_predictions(tmp_path: Path, model: Model) -> None:
    path = tmp_path / "b.csv"
    ml_tables.bundled("diabetes").head(0).write_csv(path)
    outcome, written = predict(model, path)
    assert (outcome.n_rows, len(written), outcome.first) == (0, 0, [])


def test_long_batches_are_predicted_in_slices_that_do_not_show(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = ml_tables.write(tmp_path, "diabetes")
    _, whole = predict(model, path)
    monkeypatch.setattr(prediction, "LARGE_CHUNK", 97)
    _, sliced = predict(model, path, threads=2)
    assert whole.equals(sliced)


def test_a_failed_write_keeps_the_old_predictions(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, old = ml_tables.write(tmp_path, "diabetes"), tmp_path / "out.csv"
    old.write_text("old")

    def full(self: pl.DataFrame, file: Path) -> None:
        file.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_csv", full)
    with pytest.raises(DataError, match="No space left"):
        predict(model, path)
    assert old.read_text() == "old"
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_outputs_of_batches_with_one_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    sources = [Path("/a/x.csv"), Path("/b/x.csv"), Path("/b/x_predictions_2.csv")]
    items = prediction.batch_items(sources, tmp_path)
    assert len({item.output for item in items}) == 3
    with pytest.raises(DefinitionError, match="empty"):
        prediction.batch_items([], tmp_path)
    with pytest.raises(DefinitionError, match="csv, parquet"):
        prediction.batch_items(sources, tmp_path, "xls")  # type: ignore[arg-type]


def test_all_batches_are_counted_the_first_hundred_shown_and_failures_kept(
    tmp_path: Path, model: Model
) -> None:
    frame = ml_tables.bundled("diabetes")
    sources = [tmp_path / f"b{i}.csv" for i in range(3)]
    frame.head(60).write_csv(sources[0])
    frame.drop("bmi").write_csv(sources[1])
    frame.tail(300).write_csv(sources[2])
    items = prediction.batch_items(sources, tmp_path / "out")
    outcomes, failures = {}, {}
    for i, item in enumerate(items):
        try:
            outcomes[i] = prediction.predict_batch(item, PredictionPlan(model))
        except DataError as error:
            failures[i] = error.message
    result = prediction.summarise(items, outcomes, failures)
    assert result["status"] == "partial"
    assert result["total_predictions"] == 360
    assert len(result["predictions"]) == 100
    assert result["output_files"] == [str(items[0].output), str(items[2].output)]
    assert "'bmi'" in result["batches"][1]["error"]
    written = [pl.read_csv(file) for file in result["output_files"]]
    assert [len(file) for file in written] == [60, 300]
    both = pl.concat(written)["prediction"].to_list()
    assert result["predictions"] == both[:100]
    with pytest.raises(DataError, match="'bmi'"):
        prediction.summarise(items, {}, failures)


def test_a_missing_batch_is_not_found(tmp_path: Path, model: Model) -> None:
    with pytest.raises(NotFoundError, match=r"no\.csv"):
        predict(model, tmp_path / "no.csv")


def test_a_model_is_measured_on_a_table_with_targets(tmp_path: Path, model: Model) -> None:
    path = ml_tables.write(tmp_path, "diabetes")
    found = prediction.evaluate(model, path)
    answer = model.answer(ml_tables.bundled("diabetes").drop("target").to_numpy())
    y = ml_tables.bundled("diabetes")["target"].to_numpy()
    assert found["mae"] == pytest.approx(np.mean(np.abs(y - answer.values)))
    iris = tmp_path / "iris.csv"
    ml_tables.bundled("iris").write_csv(iris)
    assert prediction.evaluate(store(tmp_path, iris, n_estimators=5), iris)["accuracy"] > 0.9
    with pytest.raises(DataError, match="columns are missing"):
        prediction.evaluate(model, iris)
