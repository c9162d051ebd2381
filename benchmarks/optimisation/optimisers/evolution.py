"""No surrogate: pymoo's NSGA-II for several objectives, CMA-ES of `cmaes` for one.

A pool's rows stand in for the points that are nearest to them.
"""

from __future__ import annotations

import cmaes
import numpy as np
from declaration import Declaration, Point
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.termination import NoTermination
from pymoo.problems.static import StaticProblem

PACKAGES = ("pymoo", "cmaes")


def Optimiser(declared: Declaration) -> _Nsga2 | _Cma:  # noqa: N802
    """Return the one that suits the number of objectives."""
    if declared.total is not None or any(p.choices for p in declared.parameters):
        raise NotImplementedError("only numbers between bounds")
    return _Cma(declared) if declared.m == 1 else _Nsga2(declared)


class _Nsga2:
    def __init__(self, declared: Declaration) -> None:
        self._declared = declared
        self._asked: Population | None = None

    def _begin(self, X: np.ndarray) -> None:
        declared = self._declared
        n_constraints = declared.n_outcomes - declared.m
        self._problem = Problem(
            n_var=declared.d, n_obj=declared.m, n_ieq_constr=n_constraints, xl=0.0, xu=1.0
        )
        self._algorithm = NSGA2(
            pop_size=len(X), n_offsprings=declared.batch_size, sampling=Population.new("X", X)
        )
        self._algorithm.setup(self._problem, termination=NoTermination(), seed=declared.seed)
        self._asked = self._algorithm.ask()

    def tell(self, points: list[Point], outcomes: list[list[float]]) -> None:
        """Take in what came out for the points last asked, or for the start."""
        if self._asked is None:
            self._begin(self._declared.encode(points))
        m, Y = self._declared.m, np.array(outcomes)
        values = {"F": Y[:, :m], "G": Y[:, m:]}
        Evaluator().eval(StaticProblem(self._problem, **values), self._asked)
        self._algorithm.tell(infills=self._asked)

    def ask(self, n: int) -> list[Point]:
        """Return the next offspring; the last batch may be cut short."""
        self._asked = self._algorithm.ask()[:n]
        return self._declared.decode(self._asked.get("X"))

    def predict(self, points: list[Point]) -> None:
        """Predict nothing."""


class _Cma:
    def __init__(self, declared: Declaration) -> None:
        self._declared = declared
        self._optimiser: cmaes.CMA | None = None
        self._points: list[Point] = []
        self._asked: list[np.ndarray] = []
        self._generation: list[tuple[np.ndarray, float]] = []

    def tell(self, points: list[Point], outcomes: list[list[float]]) -> None:
        """Begin at the best point of the start; later, complete a generation."""
        self._points += points
        X = self._declared.encode(points)
        y = [row[0] for row in outcomes]
        if self._optimiser is None:
            bounds = np.tile([0.0, 1.0], (self._declared.d, 1))
            mean = np.clip(X[int(np.argmin(y))], 0.01, 0.99)
            self._optimiser = cmaes.CMA(mean, 0.2, bounds=bounds, seed=self._declared.seed + 1)
            return
        self._generation += zip(self._asked, y, strict=True)
        size = self._optimiser.population_size
        while len(self._generation) >= size:
            self._optimiser.tell(self._generation[:size])
            self._generation = self._generation[size:]

    def ask(self, n: int) -> list[Point]:
        """Return the next points."""
        self._asked = [self._optimiser.ask() for _ in range(n)]
        points = self._declared.decode(np.array(self._asked))
        if self._declared.pool is None:
            return points
        rows: list[Point] = []
        for point in points:
            rows.append(self._declared.nearest_row(point, self._points + rows))
        return rows

    def predict(self, points: list[Point]) -> None:
        """Predict nothing."""
