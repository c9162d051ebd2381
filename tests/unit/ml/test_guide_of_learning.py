"""The examples of learning in `docs/tables-and-learning.md` run, and its numbers are the code's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import ml_tables
import pytest

from materia.ml import boosting, exchange, forests, gaussian, proposals, search, training
from materia.ml.estimators import FORESTS
from materia.ml.model_file import read_model, write_model

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "tables-and-learning.md").read_text().partition("\n## Learning")[2]
PAGE = PAGE.partition("\n## Arguments")[0]
CONFIG, GRID, RANGES = map(json.loads, re.findall(r"^```json\n(.*?)^```", PAGE, re.M | re.S))
[PROGRAM] = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)


def test_the_model_of_the_page_is_trained_and_answers_quickly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = ml_tables.train(ml_tables.alloys(tmp_path), **CONFIG)
    assert trained.result["ensemble_score"] > 0.9
    path = write_model(tmp_path / "forest.model", trained).path
    assert read_model(path).quick().runner is not None
    assert read_model(path).schema.features[0].levels == ("Ar", "He", "N2")
    monkeypatch.chdir(tmp_path)
    exec(PROGRAM, {})  # noqa: S102 - our own page
    [value] = re.findall(r"[\d.]+", capsys.readouterr().out)
    assert float(value) == pytest.approx(11.4, abs=0.5)


def test_the_grid_of_the_page_shares_its_forests(tmp_path: Path) -> None:
    plan = search.plan_search(GRID, ml_tables.write(tmp_path, "diabetes"))
    assert len(plan.trials) == 27
    assert len(search.items(plan)) == 9 * 3


def test_the_ranges_of_the_page_can_be_searched(tmp_path: Path) -> None:
    path = ml_tables.write(tmp_path, "diabetes")
    for strategy in ("random", "materia"):
        plan = search.plan_search(RANGES, path, strategy=strategy, n_iter=12)  # type: ignore[arg-type]
    trials = search.propose(RANGES, plan, 12).ask()
    assert all(set(trial) == set(RANGES) for trial in trials)


def test_numbers_and_names_of_the_page_are_those_of_the_code() -> None:
    assert f"at least {forests.MIN_ROWS} rows" in PAGE
    assert f"up to {exchange.MAX_NODES} nodes" in PAGE
    assert f"at most {gaussian.MAX_ROWS} rows" in PAGE
    assert proposals.BATCH == 4
    assert "four at a\ntime" in PAGE
    assert all(f"`{name}`" in PAGE for name in boosting.BoostedTrees.PARAMS)
    assert FORESTS == ("random_forest", "extra_trees")
    assert "256 bins" in PAGE
    training.parse_config({"backend": "auto"})
