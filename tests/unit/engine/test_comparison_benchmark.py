"""The benchmark that compares optimisers: what it states about its problems, and that it runs."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).parents[3] / "benchmarks" / "optimisation"


@pytest.fixture(scope="module")
def modules() -> dict[str, ModuleType]:
    """The benchmark's own modules; their short names are gone again afterwards."""
    before, path = set(sys.modules), list(sys.path)
    sys.path.insert(0, str(FOLDER))
    try:
        return {name: importlib.import_module(name) for name in ("problems", "start")}
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - before:
            if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(FOLDER):
                del sys.modules[name]


def test_no_point_of_a_large_sample_is_better_than_the_stated_ideal(
    modules: dict[str, ModuleType],
) -> None:
    for problem in modules["problems"].FORMULAS.values():
        points = modules["start"].points(problem.declaration(0), 2000)
        assert problem.gap(points, problem.function(points)) > 0, problem.name


@pytest.mark.parametrize(
    ("name", "best"),
    [
        ("hartmann6_mixed", [0.19266054, 0.15079497, 0.49341297, 0.26977, 2, 0.65]),
        ("mixture", [0.2666, 0.3314, 0.1304, 0.0870, 0.1846]),
        ("styblinski_tang", [-2.903534] * 8),
        ("ackley", [0.0] * 10),
    ],
)
def test_the_stated_ideal_is_reached_at_the_known_best_point(
    modules: dict[str, ModuleType], name: str, best: list[float]
) -> None:
    problem = modules["problems"].FORMULAS[name]
    assert problem.gap([best], problem.function([best])) == pytest.approx(0, abs=1e-5)


def test_the_hypervolume_of_a_dense_front_comes_close_to_the_stated_ideal(
    modules: dict[str, ModuleType],
) -> None:
    fronts = {
        "zdt1": [[x, 0, 0, 0, 0, 0] for x in np.linspace(0, 1, 2001)],
        "zdt1_tight": [[x, 0, 0, 0, 0, 0] for x in np.linspace(0, 1, 2001)],
        "dtlz2": [[x, 0.5, 0.5, 0.5, 0.5, 0.5] for x in np.linspace(0, 1, 2001)],
        "c2_dtlz2": [[x, 0.5, 0.5, 0.5, 0.5, 0.5] for x in np.linspace(0, 1, 2001)],
        "dtlz7_tight": [
            [a, b, 0, 0, 0, 0] for a in np.linspace(0, 0.86, 150) for b in np.linspace(0, 0.86, 150)
        ],
    }
    for name, points in fronts.items():
        problem = modules["problems"].FORMULAS[name]
        assert 0 < problem.gap(points, problem.function(points)) < 0.01 * problem.ideal, name


def test_the_formula_of_an_outcome_constraint_says_what_its_value_says(
    modules: dict[str, ModuleType],
) -> None:
    from materia.mdl.expression import parse

    problem = modules["problems"].FORMULAS["c2_dtlz2"]
    points = modules["start"].points(problem.declaration(0), 500)
    points += [[x, 0.5, 0.5, 0.5, 0.5, 0.5] for x in np.linspace(0, 1, 50)]
    outcomes = problem.function(points)
    relation = parse(problem.outcome_constraint)
    said = relation.violation({"y0": outcomes[:, 0], "y1": outcomes[:, 1]}) <= 0
    assert 20 < said.sum() < 100
    assert np.array_equal(said, outcomes[:, 2] <= 0)


def test_the_smoke_run_compares_ours_with_sobol_points_and_keeps_the_runs(tmp_path: Path) -> None:
    command = [sys.executable, FOLDER / "compare.py", "--smoke", "--optimisers", "matcraft"]
    done = subprocess.run(
        [*command, "sobol"],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    kept = [json.loads(path.read_text()) for path in tmp_path.rglob("*.json")]
    assert sorted((run["problem"], run["optimiser"]) for run in kept) == [
        ("branin_currin", "matcraft"),
        ("branin_currin", "sobol"),
        ("hartmann6", "matcraft"),
        ("hartmann6", "sobol"),
    ]
    assert {len(run["points"]) for run in kept} == {24}
    for name in ("branin_currin", "hartmann6"):
        starts = [run["points"][: run["n_start"]] for run in kept if run["problem"] == name]
        assert starts[0] == starts[1]
