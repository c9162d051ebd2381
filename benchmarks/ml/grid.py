"""A grid of 27 forests, cross-validated three times, against GridSearchCV on two cores.

    python benchmarks/ml/grid.py [--smoke] [--ray] [--rounds N] [--trees N]

The grid is n_estimators × max_depth × min_samples_split over 5000 rows of 20 numbers. Forests of
fewer trees are the first trees of the largest one: its scores must be GridSearchCV's to the last
bit, else the benchmark fails. Faster forests (scikit-learn-intelex) are others: their best and mean
held-out R² are reported beside. Ours includes reading the table and starting processes.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from course import Course, arguments, platform, ray_head, rows, write_csv

SEED = 7


def grid(trees: int) -> dict[str, list[Any]]:
    """Return 27 points; the largest forests have that many trees."""
    return {
        "n_estimators": [trees // 3, 2 * trees // 3, trees],
        "max_depth": [10, 20, None],
        "min_samples_split": [2, 5, 10],
    }


def figures(scores: dict[str, float]) -> dict[str, Any]:
    """Return what is reported of a search."""
    values = list(scores.values())
    return {"best_r2": max(values), "mean_r2": float(np.mean(values)), "scores": scores}


def peer(X: Any, y: Any, points: dict[str, list[Any]]) -> dict[str, Any]:
    """Search by scikit-learn alone."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import GridSearchCV, KFold

    found = GridSearchCV(
        RandomForestRegressor(random_state=SEED),
        points,
        cv=KFold(3, shuffle=True, random_state=SEED),
        n_jobs=2,
        refit=False,
    ).fit(X, y)
    pairs = zip(found.cv_results_["params"], found.cv_results_["mean_test_score"], strict=True)
    return figures({json.dumps(params, sort_keys=True): float(score) for params, score in pairs})


def ours(points: dict[str, list[Any]], backend: str) -> dict[str, Any]:
    """Search as a job does."""
    from materia.services import learning

    config = {"seed": SEED, "backend": backend, "target": "y"}
    result = learning.hyperparameter_search(points, "grid.csv", config).result
    rows = result["all_results"]
    assert len(rows) == 27
    assert {row["backend"] for row in rows} == {backend}
    return figures({json.dumps(row["params"], sort_keys=True): row["score"] for row in rows})


def main() -> None:
    """Measure, compare scores, print and record."""
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--trees", type=int, default=300, help="of the largest forests")
    chosen = parser.parse_args()
    n, trees, rounds = chosen.rows, chosen.trees, chosen.rounds
    if chosen.smoke:
        n, trees, rounds = 2000, 6, 1
    points, (X, y) = grid(trees), rows(n)
    course = Course("ml-grid", "GridSearchCV")
    with platform() as root, ray_head(chosen.ray) as through_ray:
        write_csv(root / "grid.csv", X, y)
        course.competitors = {
            "GridSearchCV": lambda: peer(X, y, points),
            "prefixes": lambda: ours(points, "sklearn"),
            "faster forests": lambda: ours(points, "intelex"),
        }
        if through_ray is not None:
            for name in ("prefixes", "faster forests"):
                course.competitors[f"{name}, Ray"] = through_ray(course.competitors[name])
            ours({**points, "n_estimators": [2, 3, 4]}, "sklearn")
            through_ray(lambda: ours({**points, "n_estimators": [2, 3, 4]}, "sklearn"))()
        series = course.run(rounds)
    for expected, *others in zip(*series.values(), strict=True):
        for name, found in zip(list(series)[1:], others, strict=True):
            if name.startswith("prefixes"):
                assert found["scores"] == expected["scores"], f"{name}: scores differ"
    for line in (line for found in series.values() for line in found):
        del line["scores"]
    sizes = {"n_rows": n, "n_features": X.shape[1], "grid": points, "cv": 3}
    course.finish(series, is_smoke=chosen.smoke, scores_identical=True, **sizes)


if __name__ == "__main__":
    main()
