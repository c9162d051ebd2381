"""A forest of 100 trees, depth 20, from 100 000 rows of 20 numbers, against scikit-learn.

    python benchmarks/ml/forest.py [--smoke] [--ray] [--rounds N] [--rows N] [--trees N]

scikit-learn fits the same rows with n_jobs=2 and is timed for that alone. Ours is the whole job:
reading the table, training, scoring on held-out rows, importances of features, storing the model.
`whole` is one forest of all rows, `partitions` are four of a quarter each. R² is that of the same
held-out rows for all.
"""

from __future__ import annotations

import time
from typing import Any

from course import Course, arguments, platform, ray_head, rows, write_csv

DEPTH = 20
TEST_SIZE = 0.2


def config(trees: int, partitions: int, backend: str) -> dict[str, Any]:
    """Return the `model_config` of a job."""
    return {
        "n_estimators": trees,
        "max_depth": DEPTH,
        "num_partitions": partitions,
        "backend": backend,
        "test_size": TEST_SIZE,
        "target": "y",
    }


def ours(trees: int, partitions: int, backend: str) -> dict[str, Any]:
    """Train as a job does."""
    from materia import settings
    from materia.services import learning

    result = learning.distributed_training(config(trees, partitions, backend), "forest.csv").result
    (settings.current().data_root / result["model_path"]).unlink()
    return {"r2": result["ensemble_score"], "backend": result["backend"]}


def peer(plan: Any, trees: int) -> dict[str, Any]:
    """Fit by scikit-learn alone, on the rows that ours learns from."""
    from sklearn.ensemble import RandomForestRegressor

    X, y, held = plan.dataset.X, plan.dataset.y, plan.held_out
    [learnt] = plan.partitions
    forest = RandomForestRegressor(trees, max_depth=DEPTH, random_state=0, n_jobs=2)
    started = time.perf_counter()
    forest.fit(X[learnt], y[learnt])
    return {"seconds": time.perf_counter() - started, "r2": forest.score(X[held], y[held])}


def main() -> None:
    """Measure, print and record."""
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="to learn from")
    parser.add_argument("--trees", type=int, default=100)
    chosen = parser.parse_args()
    n, trees, rounds = chosen.rows, chosen.trees, chosen.rounds
    if chosen.smoke:
        n, trees, rounds = 4000, 6, 1
    course = Course("ml-forest", "scikit-learn")
    with platform() as root, ray_head(chosen.ray) as through_ray:
        from materia.ml import training

        write_csv(root / "forest.csv", *rows(int(n / (1 - TEST_SIZE))))
        plan = training.plan_training(config(trees, 1, "sklearn"), root / "forest.csv")
        course.competitors = {
            "scikit-learn": lambda: peer(plan, trees),
            "whole": lambda: ours(trees, 1, "intelex"),
            "partitions": lambda: ours(trees, 4, "intelex"),
        }
        if through_ray is not None:
            course.competitors["whole, Ray"] = through_ray(course.competitors["whole"])
            through_ray(lambda: ours(2, 4, "intelex"))()
        series = course.run(rounds)
    sizes = {"n_rows": n, "n_trees": trees, "max_depth": DEPTH, "n_held_out": len(plan.held_out)}
    course.finish(series, is_smoke=chosen.smoke, **sizes)


if __name__ == "__main__":
    main()
