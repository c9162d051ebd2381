"""Time of a Pareto front of a million points and of a hypervolume of a thousand, beside moocore.

    python benchmarks/optimisation/fronts.py [--smoke] [--rounds N]

Clouds: uniform in the cube, and a layer around the plane y1 + … + ym = 1, of which thousands of
points are on the front. The hypervolume is of points on a sphere, all of them on the front.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import moocore
import numpy as np
from rich.console import Console
from rich.table import Table

import record
from materia.engine.pareto import hypervolume, is_non_dominated

NAME = "optimisation-fronts"


def seconds(work: Callable[[], Any], n_rounds: int) -> float:
    """Return the median seconds of some calls after one that does not count."""
    work()
    spent = []
    for _ in range(n_rounds):
        started = time.perf_counter()
        work()
        spent.append(time.perf_counter() - started)
    return statistics.median(spent)


def clouds(n: int, m: int) -> dict[str, np.ndarray]:
    """Return the clouds of points, each (n, m)."""
    rng = np.random.default_rng(0)
    plane = rng.dirichlet(np.ones(m), n) * (1 + 0.2 * rng.random((n, 1)))
    return {"uniform": rng.random((n, m)), "layer": plane}


def measure(n: int, n_rounds: int) -> list[dict[str, Any]]:
    """Return one row per cloud or volume, ours and moocore's seconds."""
    rows = []
    for m in (2, 3):
        for name, Y in clouds(n, m).items():
            expected = np.asarray(moocore.is_nondominated(Y, keep_weakly=True), dtype=bool)
            assert np.array_equal(is_non_dominated(Y), expected)
            rows.append(
                {
                    "work": "front",
                    "points": f"{name}, {n} × {m}",
                    "n_front": int(expected.sum()),
                    "ours_s": seconds(lambda Y=Y: is_non_dominated(Y), n_rounds),
                    "moocore_s": seconds(
                        lambda Y=Y: moocore.is_nondominated(Y, keep_weakly=True), n_rounds
                    ),
                }
            )
        sphere = np.abs(np.random.default_rng(1).standard_normal((1000, m)))
        sphere = 1 - sphere / np.linalg.norm(sphere, axis=1, keepdims=True)
        reference = np.full(m, 1.1)
        assert np.isclose(
            hypervolume(sphere, reference), moocore.hypervolume(sphere, ref=reference)
        )
        rows.append(
            {
                "work": "hypervolume",
                "points": f"sphere, 1000 × {m}",
                "n_front": 1000,
                "ours_s": seconds(lambda Y=sphere, r=reference: hypervolume(Y, r), 20 * n_rounds),
                "moocore_s": seconds(
                    lambda Y=sphere, r=reference: moocore.hypervolume(Y, ref=r), 20 * n_rounds
                ),
            }
        )
    return rows


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--smoke", action="store_true", help="fewer points, nothing recorded")
    chosen = parser.parse_args()
    rows = measure(10**5 if chosen.smoke else 10**6, 1 if chosen.smoke else chosen.rounds)
    shown = Table()
    for column in ("work", "points", "on the front", "ours s", "moocore s"):
        shown.add_column(column, justify="right")
    for row in rows:
        times = (f"{row['ours_s']:.5f}", f"{row['moocore_s']:.5f}")
        shown.add_row(row["work"], row["points"], str(row["n_front"]), *times)
    Console(width=120).print(shown)
    if not chosen.smoke:
        print(record.write(NAME, {"rounds": chosen.rounds, "work": rows}, ("moocore",)))


if __name__ == "__main__":
    main()
