"""A search by proposals that was interrupted goes on as if it never had been."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from materia import settings
from materia.services import learning, running

# Without `positive`, which is not set, `lbfgs` fails.
SPACE = {"alpha": {"low": 1e-3, "high": 1e3, "log": True}, "solver": ["cholesky", "lbfgs"]}
KEYS: dict[str, Any] = {
    "strategy": "materia",
    "n_iter": 8,
    "cv": 2,
    "model_config": {"estimator": "linear"},
}


class Interrupted(BaseException):
    """What a signal raises."""


def search(path: str) -> dict[str, Any]:
    return learning.hyperparameter_search(SPACE, path, **KEYS).result


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MATERIA_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("MATERIA_PROCESSES_PER_JOB", "1")
    settings.current.cache_clear()
    root = settings.current().data_root
    root.mkdir(parents=True, exist_ok=True)
    x = [((7 * i) % 40) / 40 for i in range(60)]
    rows = {"x": x, "y": [5 + 3 * v + (i % 5) / 10 for i, v in enumerate(x)]}
    pl.DataFrame(rows).write_csv(root / "line.csv")
    return "line.csv"


def test_finished_trials_are_found_again_and_the_same_ones_follow(
    table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that failed are not tried again: a lucky second try would change what follows."""
    whole = search(table)
    failed = [row for row in whole["all_results"] if row["status"] == "failed"]
    assert 1 <= whole["n_failed"] == len(failed) < 8
    assert {row["params"]["solver"] for row in failed} == {"lbfgs"}
    assert all("positive" in row["error"] for row in failed)
    assert whole["items_resumed"] == 0
    assert len(whole["all_results"]) == 8
    assert whole["best_score"] > 0.9

    def stop(done: float, total: float | None = None, message: str = "") -> None:
        assert total == 16
        if done >= 11:
            raise Interrupted

    with monkeypatch.context() as patched:
        patched.setattr(running, "progress", stop)
        with pytest.raises(Interrupted):
            search(table)
    resumed = search(table)
    assert resumed["items_resumed"] == 11
    assert {**resumed, "items_resumed": 0} == whole
    assert not list((settings.current().artifact_dir / "jobs").iterdir())
