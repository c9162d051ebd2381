"""Time of a Gaussian process fit and what it predicts, beside BoTorch and scikit-learn.

    python benchmarks/optimisation/fit.py [--smoke] [--problems P …] [--sizes N …] [--rounds N]

Every library is told n scrambled Sobol points of a problem with noise of a tenth of the outcome's
standard deviation, and is judged at held-out points by the mean log density that its posterior
without noise gives the truth, by R², and by how many truths its 95 % intervals cover. The time is
that of the first prediction: from observations to a posterior. One thread; each fit has a process
of its own that has fitted a small set before. Figures of the same commit that were not made again
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
from runs import N_HELD_OUT, OURS, Z_95, Refused, Served, problem_values

import record

NAME = "optimisation-fit"
KINDS = (OURS, "botorch", "scikit_learn")
PROBLEMS = ("hartmann6", "styblinski_tang")
SIZES = (50, 100, 200, 500, 1000, 2000)
NOISE = 0.1
N_WARM = 12
# A library that took longer than this is not asked for more points.
PATIENCE_S = 60.0


def fit(kind: str, problem: Problem, n: int, seed: int) -> dict[str, float]:
    """Return seconds, log density, R² and coverage of one fit."""
    declared = replace(problem.declaration(seed), is_noisy=True, budget=n + N_WARM)
    points = start.points(declared, n)
    elsewhere = replace(declared, seed=seed + 1_000_003)
    held_out = start.points(elsewhere, N_HELD_OUT)
    truth = problem_values(problem, held_out)[:, 0]
    values = problem_values(problem, points)
    errors = np.random.default_rng([seed, 0x401]).standard_normal(values.shape)
    outcomes = values + NOISE * truth.std() * errors
    with Served(kind, declared) as warm:
        # Libraries load half of themselves in the first fit; the second one counts.
        warm.tell(points[:N_WARM], outcomes[:N_WARM])
        warm.predict(held_out[:1])
        warm.tell(points[N_WARM:], outcomes[N_WARM:])
        first = warm.predict(held_out[:1])
        predicted = warm.predict(held_out)
    assert first is not None
    assert predicted is not None
    mean = np.array(predicted["mean"])[:, 0]
    std = np.maximum(np.array(predicted["std"])[:, 0], 1e-9)
    z = (truth - mean) / std
    return {
        "seconds": first["seconds"],
        "log_density": float(np.mean(-0.5 * z**2 - np.log(std) - 0.5 * np.log(2 * np.pi))),
        "r2": float(1 - np.mean((truth - mean) ** 2) / truth.var()),
        "coverage_95": float(np.mean(np.abs(z) <= Z_95)),
    }


def measure(problems: list[str], sizes: list[int], n_rounds: int) -> list[dict[str, Any]]:
    """Fit everything, libraries taking turns."""
    console = Console()
    rows = []
    given_up: set[tuple[str, str]] = set()
    with Progress(console=console) as progress:
        bar = progress.add_task("", total=len(problems) * len(sizes) * n_rounds * len(KINDS))
        for name in problems:
            for n in sizes:
                fits: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
                for seed in range(n_rounds):
                    for kind in KINDS:
                        progress.update(bar, advance=1, description=f"{name} n={n} {kind}")
                        if (name, kind) in given_up:
                            continue
                        try:
                            fits[kind].append(fit(kind, FORMULAS[name], n, seed))
                        except Refused as reason:
                            console.print(f"{name} n={n} {kind}: {reason}")
                            given_up.add((name, kind))
                figures = {kind: _medians(done) for kind, done in fits.items() if done}
                for kind, told in figures.items():
                    if told["seconds"] > PATIENCE_S:
                        given_up.add((name, kind))
                rows.append({"problem": name, "n": n, "rounds": n_rounds, "fits": figures})
    return rows


def _medians(done: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(one[key] for one in done) for key in done[0]}


def table(rows: list[dict[str, Any]]) -> Table:
    """Return seconds and log densities for people."""
    shown = Table(title="seconds · mean log density of held-out truths · coverage")
    for column in ("problem", "n", *KINDS):
        shown.add_column(column, justify="right")
    for row in rows:
        cells = []
        for kind in KINDS:
            told = row["fits"].get(kind)
            cells.append(
                f"{told['seconds']:.3f} · {told['log_density']:.2f} · {told['coverage_95']:.2f}"
                if told
                else "–"
            )
        shown.add_row(row["problem"], str(row["n"]), *cells)
    return shown


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="n = 50 once, nothing recorded")
    chosen = parser.parse_args()
    sizes, n_rounds = ([50], 1) if chosen.smoke else (chosen.sizes, chosen.rounds)
    rows = measure(chosen.problems, sizes, n_rounds)
    Console(width=120).print(table(rows))
    if chosen.smoke:
        return
    done = {(row["problem"], row["n"]) for row in rows}
    for row in record.earlier(NAME).get("fits", []):
        if (row["problem"], row["n"]) not in done:
            rows.append(row)
    rows.sort(key=lambda row: (row["problem"], row["n"]))
    told = {"peers": environment.PACKAGES, "noise": NOISE, "threads": 1, "fits": rows}
    print(record.write(NAME, told))


if __name__ == "__main__":
    main()
