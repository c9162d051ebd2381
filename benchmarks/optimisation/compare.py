"""Quality, time and calibration of suggestions beside other optimisers, paired by seed.

    python benchmarks/optimisation/compare.py [--smoke] [--problems P …] [--optimisers O …]
                                              [--seeds N] [--kept]

All optimisers start from the same 2 (d + 1) points of a seed and stop at 60 evaluations; batches of
4 with several objectives, single points with one; a pool starts from 10 random rows and is asked 5
at a time. Each run has a process and one thread of its own. Scores are of noise-free outcomes,
also where the optimisers are told noisy ones.

Runs are kept in the cache (see `runs.py`), so this command goes on where it was stopped, and
reports on everything that is kept for the present code: a table, a result file, and curves.
`--kept` runs nothing. The other optimisers live in a Python of their own, which is made on first
use. Tables of measurements are read from the folder that MATERIA_BENCHMARK_DATA names.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import environment
import summary
from problems import BUDGET, all_problems
from rich.console import Console
from rich.progress import Progress
from runs import REVISIONS, Refused, Run

import record

NAME = "optimisation-comparison"
SMOKE = {"budget": 24, "problems": ["branin_currin", "hartmann6"], "seeds": 1}


def do(runs: Sequence[Run], console: Console) -> None:
    """Do the runs that are not kept yet; one that is refused is named and left out."""
    refused: set[tuple[str, str]] = set()
    with Progress(console=console) as progress:
        bar = progress.add_task("", total=len(runs))
        for run in runs:
            pair = (run.problem.name, run.optimiser)
            progress.update(bar, description=f"{' '.join(pair)} seed {run.seed}")
            if pair not in refused and run.kept() is None:
                try:
                    run.do()
                except Refused as reason:
                    refused.add(pair)
                    console.print(f"{' '.join(pair)}: refused, {reason}")
            progress.advance(bar)


def main() -> None:
    """Run, print and record."""
    problems = all_problems()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--problems", nargs="+", choices=problems, default=list(problems))
    parser.add_argument("--optimisers", nargs="+", choices=REVISIONS, default=list(REVISIONS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--kept", action="store_true", help="report on kept runs, run nothing")
    parser.add_argument("--smoke", action="store_true", help="two small problems, no files")
    chosen = parser.parse_args()
    budget = BUDGET
    if chosen.smoke:
        budget, chosen.problems, chosen.seeds = SMOKE.values()
    runs = [
        Run(problems[name], optimiser, seed, budget)
        for seed in range(chosen.seeds)
        for name in chosen.problems
        for optimiser in chosen.optimisers
    ]
    console = Console(width=200)
    if not chosen.kept:
        do(runs, console)
    rows = summary.summarise(runs)
    console.print(summary.table(rows, f"gap to the ideal after {budget} evaluations"))
    verdict = summary.verdict(rows)
    console.print_json(json.dumps(verdict))
    if chosen.smoke:
        return
    told = {"evaluations": budget, "threads": 1, "peers": environment.PACKAGES, "verdict": verdict}
    written = record.write(NAME, {**told, "problems": summary.shortened(rows)})
    curves = written.with_suffix(".png")
    subprocess.run(
        [environment.python_with_peers(), Path(__file__).with_name("curves.py"), curves],
        input=json.dumps(rows),
        text=True,
        check=True,
    )
    print(f"written to {written} and {curves}")


if __name__ == "__main__":
    main()
