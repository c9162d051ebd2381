"""Paths in results are those that users write: relative to the data root where they lie below."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import trained_models
from materia import settings
from materia.ml import prediction
from materia.ml.model_file import read_model
from materia.services import files, tabular


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("MATERIA_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("MATERIA_DATA_ROOTS", str(tmp_path / "shared"))
    settings.current.cache_clear()
    root = settings.current().data_root
    (root / "in").mkdir(parents=True)
    (tmp_path / "shared").mkdir()
    yield root


def test_every_path_of_an_aggregation_is_shown_alike(root: Path, tmp_path: Path) -> None:
    (root / "in" / "a.csv").write_text("k,v\nx,1\n")
    (root / "in" / "b.csv").write_text("k\ny\n")
    (root / "in" / "broken.csv").write_text("")
    outside = tmp_path / "shared" / "c.csv"
    outside.write_text("k,v\nz,text\n")
    sources = ["in/a.csv", str(root / "in" / "b.csv"), str(outside), "in/broken.csv"]
    result = tabular.aggregate_data(sources, "out/sum.csv").result
    named = ["in/a.csv", "in/b.csv", str(outside)]
    assert [one["source"] for one in result["summaries"]] == named
    (difference,) = result["schema_differences"]
    assert difference["missing_in"] == ["in/b.csv"]
    assert list(difference["types"]) == ["in/a.csv", str(outside)]
    assert [one["source"] for one in result["failed"]] == ["in/broken.csv"]
    assert result["output_file"] == "out/sum.csv"
    with (root / "out" / "sum.csv").open() as file:
        assert {row["source"] for row in csv.DictReader(file)} == {*named, "all sources"}
    tabular.aggregate_data(sources, "out/sum.json")
    assert str(root) not in (root / "out" / "sum.json").read_text()


def test_every_path_of_predictions_is_shown_alike(root: Path) -> None:
    trained_models.train(root, "hardness")
    (root / "other.csv").write_text("x\n1\n")
    items = prediction.batch_items([root / "measurements.csv", root / "other.csv"], root / "out")
    (root / "out").mkdir()
    plan = prediction.PredictionPlan(read_model(root / "hardness.model"))
    outcomes = {0: prediction.predict_batch(items[0], plan)}
    result = prediction.summarise(items, outcomes, {1: "lacks columns"}, files.shown)
    assert result["output_files"] == ["out/measurements_predictions.csv"]
    assert [one["source"] for one in result["batches"]] == ["measurements.csv", "other.csv"]
    assert result["batches"][0]["output_file"] == "out/measurements_predictions.csv"
    assert str(root) not in json.dumps(result)
