"""The problems of the benchmark, with what is known about their answers.

Published functions come from `materia.evaluators.problems`. What is added here: tight reference
points beside loose ones (which flatter everyone), an outcome constraint, a composition, a mixed
space, noise, and tables of measurements.

Sources:
    [Jain2014] H. Jain, K. Deb, An evolutionary many-objective optimization algorithm using
        reference-point based nondominated sorting approach, part II, IEEE Trans. Evol. Comput. 18,
        602: C2-DTLZ2; hypervolume integrated over the three arcs of the sphere.
    [Liang2021] Q. Liang et al., npj Comput. Mater. 7, 188 (2021): the tables, and the share of the
        best 5 % found as the measure.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from declaration import Declaration, Parameter, Point

from materia.engine.pareto import hypervolume
from materia.evaluators.problems import PROBLEMS as PUBLISHED

BUDGET = 60
POOL_START, POOL_BATCH = 10, 5
TOP = 0.05
"""Share of the rows of a pool that count as its best."""

Function = Callable[[list[Point]], np.ndarray]


@dataclass(frozen=True)
class Problem:
    """One problem of the benchmark.

    Attributes:
        function: Noise-free outcomes (n, n_outcomes) of points; after the m objectives the value
            of the outcome constraint, feasible where <= 0.
        ideal: Largest hypervolume, or least value, or 1 for a pool.
        noise: Standard deviation of the noise of each outcome, as a share of the outcome's own
            standard deviation over the space.
        pool: Rows that alone may be asked.
        best_rows: Rows of the pool that are to be found.
    """

    name: str
    parameters: tuple[Parameter, ...]
    function: Function
    ideal: float
    m: int = 1
    reference_point: tuple[float, ...] | None = None
    total: float | None = None
    outcome_constraint: str | None = None
    noise: float = 0.0
    pool: tuple[tuple[float, ...], ...] | None = None
    best_rows: frozenset[tuple[float, ...]] = field(default_factory=frozenset)

    def declaration(self, seed: int, budget: int = BUDGET) -> Declaration:
        """Return what an optimiser is told."""
        return Declaration(
            parameters=self.parameters,
            m=self.m,
            batch_size=self.batch_size,
            n_start=POOL_START if self.pool else 2 * (len(self.parameters) + 1),
            budget=budget,
            seed=seed,
            total=self.total,
            reference_point=self.reference_point,
            outcome_constraint=self.outcome_constraint,
            is_noisy=self.noise > 0,
            pool=self.pool,
        )

    @property
    def batch_size(self) -> int:
        """Points per question."""
        if self.pool:
            return POOL_BATCH
        return 1 if self.m == 1 else 4

    def gap(self, points: list[Point], outcomes: np.ndarray) -> float:
        """Return how far noise-free outcomes (n, n_outcomes) are from the ideal; 0 is perfect."""
        if self.pool:
            return 1 - len(self.best_rows & {tuple(p) for p in points}) / len(self.best_rows)
        if self.outcome_constraint:
            outcomes = outcomes[outcomes[:, self.m] <= 0]
        if self.reference_point is None:
            return float(outcomes[:, 0].min()) - self.ideal
        return self.ideal - hypervolume(outcomes[:, : self.m], np.array(self.reference_point))


def _published(
    name: str,
    d: int,
    ideal: float,
    reference_point: tuple[float, ...] | None = None,
    called: str | None = None,
) -> Problem:
    problem, m = PUBLISHED[name], len(reference_point or (0,))
    parameters = tuple(
        Parameter(f"x{j + 1}", bounds) for j, bounds in enumerate(problem.bounds_for(d))
    )
    return Problem(
        called or name,
        parameters,
        lambda points: problem(np.array(points, dtype=np.float64), m),
        ideal,
        m=m,
        reference_point=reference_point,
    )


def _noisy(problem: Problem, noise: float) -> Problem:
    return replace(problem, name=f"{problem.name}_noise{noise * 100:.0f}", noise=noise)


# Feasible within a radius of 0.2 around three points of the front. The circles do not touch, so a
# product says the same as the least of the three, and needs no more than the grammar has.
_CENTRES = ((1.0, 0.0), (0.0, 1.0), (np.sqrt(0.5), np.sqrt(0.5)))


def _circle(centre: tuple[float, float]) -> str:
    sides = [f"(y{j} - {c}) * (y{j} - {c})" for j, c in enumerate(centre)]
    return f"({' + '.join(sides)} - 0.04)"


def _c2_dtlz2(points: list[Point]) -> np.ndarray:
    Y = PUBLISHED["dtlz2"](np.array(points, dtype=np.float64), 2)
    distances = [((Y - np.array(centre)) ** 2).sum(axis=1) - 0.04 for centre in _CENTRES]
    return np.column_stack([Y, np.min(distances, axis=0)])


# Hartmann-6 whose fifth input has six levels and whose sixth is one of four unordered choices.
_CHOICES = (0.65, 0.15, 0.9, 0.4)


def _hartmann6_mixed(points: list[Point]) -> np.ndarray:
    X = np.array(points, dtype=np.float64)
    X[:, 4] /= 5
    return PUBLISHED["hartmann6"](X)


# Strength of a mixture of five parts: four wells on the simplex, the deepest near a corner of the
# allowed region.
_PEAKS = np.array(
    [
        [0.62, 0.05, 0.08, 0.15, 0.10],
        [0.20, 0.45, 0.10, 0.10, 0.15],
        [0.15, 0.10, 0.45, 0.20, 0.10],
        [0.30, 0.25, 0.15, 0.05, 0.25],
    ]
)
_HEIGHTS = np.array([1.0, 0.8, 0.85, 0.6])
_WIDTHS = np.array([9.0, 14.0, 18.0, 11.0, 25.0])
_PARTS = (
    Parameter("A", (0.1, 0.7)),
    Parameter("B", (0.0, 0.6)),
    Parameter("C", (0.0, 0.5)),
    Parameter("D", (0.0, 0.4)),
    Parameter("E", (0.05, 0.3)),
)


def _mixture(points: list[Point]) -> np.ndarray:
    X = np.array(points, dtype=np.float64)
    exponent = (_WIDTHS * (X[:, None, :] - _PEAKS) ** 2).sum(axis=2)
    return -(np.exp(-exponent) @ _HEIGHTS)[:, None]


_HARTMANN6 = _published("hartmann6", 6, -3.3223680114155147)
_STYBLINSKI_TANG = _published("styblinski_tang", 8, 8 * -39.16616570377142)
_BRANIN_CURRIN = _published("branin_currin", 2, 59.36011874867746, (18.0, 6.0))
_DTLZ2 = _published("dtlz2", 6, 1.21 - np.pi / 4, (1.1, 1.1))

_ALL = (
    _published("zdt1", 6, 121 - 1 / 3, (11.0, 11.0)),
    _published("zdt1", 6, 1.21 - 1 / 3, (1.1, 1.1), "zdt1_tight"),
    _DTLZ2,
    _BRANIN_CURRIN,
    replace(
        _DTLZ2,
        name="c2_dtlz2",
        function=_c2_dtlz2,
        ideal=0.3823335944011552,
        outcome_constraint=" * ".join(map(_circle, _CENTRES)) + " <= 0",
    ),
    _HARTMANN6,
    _published("ackley", 10, 0.0),
    _STYBLINSKI_TANG,
    Problem(
        "hartmann6_mixed",
        (
            *(Parameter(f"x{j}") for j in (1, 2, 3, 4)),
            Parameter("x5", (0.0, 5.0), is_integer=True),
            Parameter("x6", choices=_CHOICES),
        ),
        _hartmann6_mixed,
        ideal=-2.972469544350405,
    ),
    Problem("mixture", _PARTS, _mixture, ideal=-1.2004357161442094, total=1.0),
    *(
        _noisy(problem, noise)
        for problem in (_HARTMANN6, _STYBLINSKI_TANG, _BRANIN_CURRIN, _DTLZ2)
        for noise in (0.05, 0.2)
    ),
    _published("vehicle_safety", 5, 246.81607081187002, (1864.72022, 11.81993945, 0.2903999384)),
    _published("dtlz7", 6, 2757.92320427, (15.0, 15.0, 15.0)),
    _published("dtlz7", 6, 1.76545114053, (0.95, 0.95, 6.6), "dtlz7_tight"),
)

FORMULAS: dict[str, Problem] = {problem.name: problem for problem in _ALL}


def pools(folder: Path) -> dict[str, Problem]:
    """Return the problems of a folder of tables whose last column is to be maximised.

    Equal inputs are averaged; the names of inputs become x1, x2, …
    """
    return {path.stem: _pool(path) for path in sorted(folder.glob("*.csv"))}


def _pool(path: Path) -> Problem:
    with path.open(newline="", encoding="utf-8") as file:
        rows = [[float(cell) for cell in row] for row in list(csv.reader(file))[1:]]
    grouped: dict[tuple[float, ...], list[float]] = {}
    for *inputs, outcome in rows:
        grouped.setdefault(tuple(inputs), []).append(outcome)
    means = {inputs: float(np.mean(values)) for inputs, values in grouped.items()}
    ranked = sorted(means, key=lambda inputs: -means[inputs])
    X = np.array(ranked)
    return Problem(
        path.stem,
        tuple(Parameter(f"x{j + 1}", (float(x.min()), float(x.max()))) for j, x in enumerate(X.T)),
        lambda points: np.array([[-means[tuple(point)]] for point in points]),
        ideal=0.0,
        pool=tuple(means),
        best_rows=frozenset(ranked[: max(1, round(TOP * len(ranked)))]),
    )


def all_problems() -> dict[str, Problem]:
    """Return every problem; those of tables only where MATERIA_BENCHMARK_DATA names a folder."""
    folder = os.environ.get("MATERIA_BENCHMARK_DATA")
    return FORMULAS | (pools(Path(folder)) if folder else {})
