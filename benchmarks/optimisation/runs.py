"""One run: an optimiser in its own process is asked and told until the budget is spent.

Every run is kept as one file in the cache, and not done again while optimiser, problem and start
stay what they were. Ours counts as changed when any file of the engine or of `materia.mdl` did.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Self

import environment
import numpy as np
import start
from declaration import Declaration, Point
from problems import Problem

HERE = Path(__file__).parent
KEPT = environment.CACHE / "optimisation-runs"
OURS = "matcraft"
# Raise a number when the adapter asks its library for something else: its old runs are void then.
REVISIONS = {
    OURS: 2,
    "botorch": 1,
    "ax": 1,
    "baybe": 1,
    "optuna_tpe": 1,
    "optuna_gp": 1,
    "evolution": 1,
    "sobol": 1,
}
IN_OUR_PYTHON = (OURS, "sobol")
N_HELD_OUT = 256
Z_95 = 1.959963984540054


class Refused(Exception):
    """An optimiser cannot do a problem, or gave up."""


class Served:
    """An optimiser behind its pipe; a context manager."""

    def __init__(self, optimiser: str, declared: Declaration) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by __exit__
        self._process = subprocess.Popen(
            [
                sys.executable if optimiser in IN_OUR_PYTHON else environment.python_with_peers(),
                *("-W", "ignore", HERE / "serve.py", optimiser),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **environment.ONE_THREAD},
        )
        self._send(declared.as_dict())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def tell(self, points: list[Point], outcomes: np.ndarray) -> None:
        """Say what came out."""
        self._send({"tell": [points, outcomes.tolist()]})

    def ask(self, n: int) -> tuple[list[Point], float]:
        """Return the next n points, and the seconds that they took."""
        told = self._answer({"ask": n})
        return told["points"], told["seconds"]

    def predict(self, points: list[Point]) -> dict[str, Any] | None:
        """Return mean and std of the noise-free outcomes, each (n, n_outcomes), and the seconds."""
        return self._answer({"predict": points})  # type: ignore[no-any-return]

    def end(self) -> dict[str, Any]:
        """Return peak memory and versions."""
        return self._answer({"end": True})  # type: ignore[no-any-return]

    def _send(self, told: Any) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(told) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Refused(self._last_words()) from None

    def _answer(self, question: Any) -> Any:
        self._send(question)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Refused(self._last_words())
        return json.loads(line)

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return lines[-1] if lines else f"ended with {self._process.returncode}"


class Run:
    """One optimiser on one problem with one seed.

    Args:
        problem: What is optimised.
        optimiser: Key of `REVISIONS`.
        seed: Of the start, of the noise and of the optimiser.
        budget: Evaluations in all.
    """

    def __init__(self, problem: Problem, optimiser: str, seed: int, budget: int) -> None:
        self.problem, self.optimiser, self.seed = problem, optimiser, seed
        self.declared = problem.declaration(seed, budget)
        self._start = start.points(self.declared, self.declared.n_start)

    @property
    def path(self) -> Path:
        """Where the run is kept; another path for anything that would come out differently."""
        told = self.declared.as_dict()
        told["start"] = [self._start, problem_values(self.problem, self._start).round(9).tolist()]
        told["noise"] = self.problem.noise
        told["revision"] = REVISIONS[self.optimiser]
        told["code"] = _ours() if self.optimiser == OURS else environment.PACKAGES
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
        return KEPT / self.problem.name / f"{self.optimiser}-{self.seed}-{digest}.json"

    def kept(self) -> dict[str, Any] | None:
        """Return what the run came to if it was done before."""
        return json.loads(self.path.read_text()) if self.path.exists() else None

    def do(self) -> dict[str, Any]:
        """Do the run and keep it.

        Raises:
            Refused: The optimiser cannot do it.
        """
        declared, problem = self.declared, self.problem
        noise = _noise(problem, declared)
        points: list[Point] = []
        outcomes = np.empty((0, declared.n_outcomes))
        asks: list[tuple[int, float]] = []
        with Served(self.optimiser, declared) as served:
            while len(points) < declared.budget:
                if points:
                    n = min(declared.batch_size, declared.budget - len(points))
                    new, seconds = served.ask(n)
                    asks.append((len(new), seconds))
                else:
                    new = self._start
                values = problem_values(problem, new)
                served.tell(new, values + noise[len(points) : len(points) + len(new)])
                points, outcomes = points + new, np.vstack([outcomes, values])
            coverage = self._coverage(served, points)
            ended = served.end()
        told = {
            "problem": problem.name,
            "optimiser": self.optimiser,
            "seed": self.seed,
            "n_start": declared.n_start,
            "points": points,
            "outcomes": outcomes.tolist(),
            "asks": asks,
            "coverage_95": coverage,
            **ended,
        }
        path = self.path
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps(told))
        unfinished.replace(path)
        return told

    def _coverage(self, served: Served, points: list[Point]) -> list[float] | None:
        """Return per outcome which share of held-out truths lies in the 95 % interval."""
        if self.problem.pool:
            measured = {tuple(point) for point in points}
            held_out = [list(row) for row in self.problem.pool if row not in measured]
        else:
            elsewhere = self.problem.declaration(self.seed + 1_000_003, self.declared.budget)
            held_out = start.points(elsewhere, N_HELD_OUT)
        predicted = served.predict(held_out)
        if predicted is None:
            return None
        mean, std = np.array(predicted["mean"]), np.array(predicted["std"])
        truth = problem_values(self.problem, held_out)[:, : mean.shape[1]]
        return np.mean(np.abs(truth - mean) <= Z_95 * std, axis=0).tolist()  # type: ignore[no-any-return]


def problem_values(problem: Problem, points: list[Point]) -> np.ndarray:
    """Return the noise-free outcomes, (n, n_outcomes)."""
    return np.asarray(problem.function(points), dtype=np.float64)


def _noise(problem: Problem, declared: Declaration) -> np.ndarray:
    """Return the errors of all evaluations in order, (budget, n_outcomes); the same for all."""
    shape = (declared.budget, declared.n_outcomes)
    if problem.noise == 0:
        return np.zeros(shape)
    everywhere = problem_values(problem, start.points(problem.declaration(0), 1024))
    errors = np.random.default_rng([declared.seed, 0x401]).standard_normal(shape)
    return errors * problem.noise * everywhere.std(axis=0)


@cache
def _ours() -> str:
    """Return a fingerprint of the code that our suggestions depend on."""
    source = HERE.parents[1] / "src" / "materia"
    digest = hashlib.sha256()
    for folder in ("engine", "mdl"):
        for path in sorted((source / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
