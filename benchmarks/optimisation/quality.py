"""How good and how fast suggestions are, beside scrambled Sobol points in the same run.

    python benchmarks/optimisation/quality.py [--smoke] [--all] [--seeds N]

Every optimiser starts from the same 2 (d + 1) scrambled Sobol points of a seed and stops at 60
evaluations; batches of 4 with two objectives, single points with one; no noise; one thread. The
column of BoTorch is not measured here: it states medians of 1 to 3 seeds from another run under the
same rules (BoTorch 0.18, qLogNEHVI or LogEI, 4 restarts, 128 raw and 64 Monte Carlo samples, 2
cores, 24 GiB). A peer that is measured beside us is one more function in `OPTIMISERS`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

import record
from materia import Campaign
from materia.engine.pareto import hypervolume
from materia.engine.sobol import sobol
from materia.evaluators.problems import PROBLEMS

BUDGET = 60


@dataclass(frozen=True)
class Setting:
    """One problem of the benchmark.

    Attributes:
        name: As in the evaluators' table of functions.
        d: Number of inputs.
        reference_point: Of two objectives; None for one.
        botorch: Stated final value and seconds per point of BoTorch; None where not stated.
    """

    name: str
    d: int
    reference_point: tuple[float, float] | None = None
    botorch: tuple[float, float] | None = None

    @property
    def m(self) -> int:
        """Number of objectives."""
        return 2 if self.reference_point else 1

    @property
    def n_start(self) -> int:
        """Points of the start."""
        return 2 * (self.d + 1)

    def values(self, X: np.ndarray) -> np.ndarray:
        """Return outcomes (n, m) at points (n, d) of the unit cube."""
        low, high = np.array(PROBLEMS[self.name].bounds_for(self.d)).T
        return PROBLEMS[self.name](low + X * (high - low), self.m)

    def score(self, Y: np.ndarray) -> float:
        """Return the hypervolume of outcomes (n, 2), or the least of outcomes (n, 1)."""
        if self.reference_point:
            return hypervolume(Y, np.array(self.reference_point, dtype=np.float64))
        return float(Y.min())

    @property
    def ideal(self) -> float | None:
        """Best possible score, where it is known."""
        problem = PROBLEMS[self.name]
        return problem.ideal_hypervolume if self.m == 2 else problem.optimum_for(self.d)


STATED = (
    Setting("zdt1", 6, (11.0, 11.0), botorch=(120.51, 0.87)),
    Setting("dtlz2", 6, (1.1, 1.1), botorch=(0.284, 1.0)),
    Setting("branin_currin", 2, (18.0, 6.0), botorch=(58.33, 0.78)),
    Setting("hartmann6", 6, botorch=(-3.133, 0.70)),
    Setting("ackley", 10, botorch=(13.9, 1.4)),
)
FURTHER = (
    Setting("zdt2", 6, (11.0, 11.0)),
    Setting("zdt3", 6, (11.0, 11.0)),
    Setting("dtlz7", 6, (15.0, 15.0)),
    Setting("branin", 2),
    Setting("levy", 6),
    Setting("rosenbrock", 4),
    Setting("rastrigin", 4),
    Setting("styblinski_tang", 5),
)


@dataclass(frozen=True)
class Run:
    """What one optimiser did on one problem with one seed.

    Attributes:
        trace: Score after each evaluation from the end of the start on.
        seconds_per_point: The optimiser's own time per suggested point, start excluded.
    """

    trace: list[float]
    seconds_per_point: float


def ours(setting: Setting, seed: int, budget: int) -> Run:
    """Run a campaign of this library."""
    names = [f"x{j}" for j in range(setting.d)]
    objectives = [{"name": f"y{j}"} for j in range(setting.m)]
    for objective, reference in zip(objectives, setting.reference_point or (), strict=False):
        objective["reference_point"] = reference
    campaign = Campaign.from_dict(
        {
            "name": setting.name,
            "parameters": [{"name": n, "type": "continuous", "bounds": [0, 1]} for n in names],
            "objectives": objectives,
            "optimizer": {
                "budget": budget,
                "batch_size": 4 if setting.m == 2 else 1,
                "seed": seed,
                "active_learning": {"initial_samples": setting.n_start},
            },
        }
    )
    Y, spent_s = np.empty((0, setting.m)), 0.0
    trace: list[float] = []
    while (n := campaign.next_batch_size()) > 0:
        started = time.perf_counter()
        batch = campaign.ask(n)
        if trace:
            spent_s += time.perf_counter() - started
        for candidate in batch:
            y = setting.values(np.array([[candidate.params[name] for name in names]]))
            Y = np.vstack([Y, y])
            campaign.tell({candidate.id: {f"y{j}": float(v) for j, v in enumerate(y[0])}})
            if len(Y) >= setting.n_start:
                trace.append(setting.score(Y))
    return Run(trace, spent_s / (budget - setting.n_start))


def scrambled_sobol(setting: Setting, seed: int, budget: int) -> Run:
    """Go on with the points of the start's own sequence."""
    started = time.perf_counter()
    X = sobol(0, budget, setting.d, seed)
    spent_s = time.perf_counter() - started
    Y = setting.values(X)
    trace = [setting.score(Y[:n]) for n in range(setting.n_start, budget + 1)]
    return Run(trace, spent_s / (budget - setting.n_start))


OPTIMISERS: dict[str, Callable[[Setting, int, int], Run]] = {
    "ours": ours,
    "sobol": scrambled_sobol,
}


def summary(runs: list[Run]) -> dict[str, Any]:
    """Return medians and quartiles of the final scores, and the median time per point."""
    finals = np.array([run.trace[-1] for run in runs])
    low, median, high = np.quantile(finals, [0.25, 0.5, 0.75])
    return {
        "median": float(median),
        "quartiles": [float(low), float(high)],
        "finals": finals.tolist(),
        "seconds_per_point": float(np.median([run.seconds_per_point for run in runs])),
        "median_trace": np.median([run.trace for run in runs], axis=0).tolist(),
    }


def measure(settings: tuple[Setting, ...], n_seeds: int, budget: int) -> list[dict[str, Any]]:
    """Run all optimisers on all problems, one after another."""
    rows = []
    with Progress() as progress:
        task = progress.add_task("", total=len(settings) * n_seeds * len(OPTIMISERS))
        for setting in settings:
            row: dict[str, Any] = {
                "problem": setting.name,
                "d": setting.d,
                "reference_point": setting.reference_point,
                "better": "higher" if setting.m == 2 else "lower",
                "ideal": setting.ideal,
                "start": setting.n_start,
                "botorch_stated": setting.botorch
                and {"median": setting.botorch[0], "seconds_per_point": setting.botorch[1]},
            }
            for name, optimiser in OPTIMISERS.items():
                runs = []
                for seed in range(n_seeds):
                    progress.update(task, description=f"{setting.name} {name} seed {seed}")
                    runs.append(optimiser(setting, seed, budget))
                    progress.advance(task)
                row[name] = summary(runs)
            rows.append(row)
    return rows


def table(rows: list[dict[str, Any]], title: str) -> Table:
    """Return the results for people."""
    shown = Table(title=title)
    for column in ("problem", "better", "ideal", "BoTorch (stated)", "Sobol", "ours"):
        shown.add_column(column, justify="right")
    shown.add_column("quartiles", justify="right")
    shown.add_column("s/point", justify="right")
    for row in rows:
        stated = row["botorch_stated"]
        low, high = row["ours"]["quartiles"]
        shown.add_row(
            f"{row['problem']} d={row['d']}",
            row["better"],
            "–" if row["ideal"] is None else f"{row['ideal']:.4g}",
            f"{stated['median']:g} ({stated['seconds_per_point']:g} s)" if stated else "–",
            f"{row['sobol']['median']:.5g}",
            f"{row['ours']['median']:.5g}",
            f"{low:.5g} … {high:.5g}",
            f"{row['ours']['seconds_per_point']:.3f}",
        )
    return shown


def main() -> None:
    """Run the benchmark and write its result file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--smoke", action="store_true", help="one seed, 24 evaluations, no file")
    parser.add_argument("--all", action="store_true", help="further problems without stated peers")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    settings = STATED + FURTHER if arguments.all else STATED
    n_seeds, budget = (1, 24) if arguments.smoke else (arguments.seeds, BUDGET)
    rows = measure(settings, n_seeds, budget)
    Console(width=120).print(table(rows, f"{budget} evaluations, median of {n_seeds} seeds"))
    if arguments.smoke:
        return
    written = record.write(
        "optimisation-quality",
        {"seeds": list(range(n_seeds)), "evaluations": budget, "threads": 1, "problems": rows},
    )
    print(f"written to {written}")


if __name__ == "__main__":
    main()
