"""Time and memory of a suggestion after 60, 100 and 200 observations, beside BoTorch.

    python benchmarks/optimisation/speed.py [--smoke] [--rounds N] [--large]
                                            [--problems P …] [--sizes N …]

Both are told n scrambled Sobol points, then asked and told a few times; the median counts, in
seconds per suggested point, fit included. `--large` also asks ours for 4 points after 1000
observations in 10 dimensions, fit and suggestion apart. One thread; a process each; the two take
turns. Memory is the peak of the whole process. Figures of the same commit that were not made again
stay in the result file.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import environment
import numpy as np
import start
from problems import FORMULAS, Problem
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from runs import OURS, Refused, Served, problem_values

import record

NAME = "optimisation-speed"
KINDS = (OURS, "botorch")
PROBLEMS = ("hartmann6", "dtlz2", "vehicle_safety")
SIZES = (60, 100, 200)
N_ASKS = 3
LARGE = 1000


def suggest(kind: str, problem: Problem, n: int, seed: int) -> dict[str, float]:
    """Return seconds per suggested point and peak memory after n observations."""
    batch = problem.batch_size
    declared = replace(problem.declaration(seed), n_start=n, budget=n + batch * (N_ASKS + 1))
    points = start.points(declared, n)
    seconds = []
    with Served(kind, declared) as served:
        served.tell(points, problem_values(problem, points))
        for _ in range(N_ASKS + 1):
            points, spent_s = served.ask(batch)
            seconds.append(spent_s / batch)
            served.tell(points, problem_values(problem, points))
        peak_mb = served.end()["peak_mb"]
    # Libraries load half of themselves in the first suggestion.
    return {"seconds_per_point": statistics.median(seconds[1:]), "peak_mb": peak_mb}


def large(m: int, seed: int) -> dict[str, float]:
    """Return the seconds of ours for a fit of 1000 observations, and then for 4 points."""
    problem = FORMULAS["ackley"] if m == 1 else _wide("zdt1")
    declared = replace(problem.declaration(seed), n_start=LARGE, budget=LARGE + 12, batch_size=4)
    points = start.points(declared, LARGE)
    with Served(OURS, declared) as served:
        served.tell(points[:-4], problem_values(problem, points[:-4]))
        served.predict(points[:1])
        served.ask(4)
        served.tell(points[-4:], problem_values(problem, points[-4:]))
        fitted = served.predict(points[:1])
        assert fitted is not None
        _, suggestion_s = served.ask(4)
        peak_mb = served.end()["peak_mb"]
    return {"fit_s": fitted["seconds"], "suggestion_s": suggestion_s, "peak_mb": peak_mb}


def _wide(name: str, d: int = 10) -> Problem:
    """Return a problem on the unit cube in more dimensions than it is compared in."""
    narrow = FORMULAS[name]
    first = narrow.parameters[0]
    return replace(narrow, parameters=tuple(replace(first, name=f"x{j + 1}") for j in range(d)))


def measure(problems: list[str], sizes: list[int], n_rounds: int) -> list[dict[str, Any]]:
    """Ask both in turns."""
    rows = []
    console = Console()
    with Progress(console=console) as progress:
        bar = progress.add_task("", total=len(problems) * len(sizes) * n_rounds)
        for name in problems:
            for n in sizes:
                done: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
                for seed in range(n_rounds):
                    progress.update(bar, advance=1, description=f"{name} n={n} seed {seed}")
                    for kind in KINDS:
                        try:
                            done[kind].append(suggest(kind, FORMULAS[name], n, seed))
                        except Refused as reason:
                            console.print(f"{name} {kind}: refused, {reason}")
                            break
                if all(done.values()):
                    rows.append(
                        {
                            "problem": name,
                            "n": n,
                            "rounds": n_rounds,
                            **{k: _best(v) for k, v in done.items()},
                        }
                    )
    return rows


def _best(done: list[dict[str, float]]) -> dict[str, float]:
    return {
        "seconds_per_point": statistics.median(one["seconds_per_point"] for one in done),
        "peak_mb": max(one["peak_mb"] for one in done),
    }


def table(rows: list[dict[str, Any]]) -> Table:
    """Return seconds per point for people."""
    shown = Table(title="seconds per suggested point, fit included (peak MB)")
    for column in ("problem", "observations", *KINDS, "ratio"):
        shown.add_column(column, justify="right")
    for row in rows:
        cells = [f"{row[k]['seconds_per_point']:.3f} ({row[k]['peak_mb']:.0f})" for k in KINDS]
        ratio = row["botorch"]["seconds_per_point"] / row[OURS]["seconds_per_point"]
        shown.add_row(row["problem"], str(row["n"]), *cells, f"1/{ratio:.1f}")
    return shown


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--problems", nargs="*", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="also ours after 1000 observations")
    parser.add_argument("--smoke", action="store_true", help="one round at 60, nothing recorded")
    chosen = parser.parse_args()
    sizes, n_rounds = ([60], 1) if chosen.smoke else (chosen.sizes, chosen.rounds)
    rows = measure(chosen.problems, sizes, n_rounds)
    Console(width=120).print(table(rows))
    done_now = {(row["problem"], row["n"]) for row in rows}
    before = record.earlier(NAME)
    told: dict[str, Any] = {"threads": 1, "suggestions": rows, "large": before.get("large")}
    for row in before.get("suggestions", []):
        if (row["problem"], row["n"]) not in done_now:
            rows.append(row)
    if chosen.large:
        done = {f"m={m}": [large(m, seed) for seed in range(n_rounds)] for m in (1, 2)}
        told["large"] = {
            key: {figure: float(np.median([one[figure] for one in runs])) for figure in runs[0]}
            for key, runs in done.items()
        }
        Console().print(f"1000 observations, d = 10, 4 points: {told['large']}")
    if not chosen.smoke:
        print(record.write(NAME, {"peers": environment.PACKAGES, **told}))


if __name__ == "__main__":
    main()
