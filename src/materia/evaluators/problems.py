"""Published optimisation problems with known answers, as plain NumPy.

Every function takes points of shape (n, d) in the problem's natural variables, and returns
(n, m) values, all to be minimised. Nothing here is random and nothing has a unit.

Sources:
    [Zitzler2000] Comparison of Multiobjective Evolutionary Algorithms, Evol. Comput. 8, 173.
    [Deb2005] Scalable Test Problems for Evolutionary Multiobjective Optimization, Springer.
    [Belakaria2019] Max-value Entropy Search for Multi-Objective Bayesian Optimization, NeurIPS.
    [Currin1988] A Bayesian Approach to the Design and Analysis of Computer Experiments, ORNL-6498.
    [Liao2008] Multiobjective optimization for crash safety design of vehicles using stepwise
        regression model, Struct. Multidisc. Optim. 35, 561.
    [Tanabe2020] An easy-to-use real-world multi-objective optimization problem suite, Appl. Soft
        Comput. 89, 106078.
    [Surjanovic2013] Virtual Library of Simulation Experiments, sfu.ca/~ssurjano.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class TestProblem:
    """A published function, where it lives and what is known about its answer.

    Attributes:
        function: Maps points (n, d) and the number of objectives to values (n, m).
        bounds: One pair for all inputs, or one pair per input.
        n_inputs: Number of inputs; None when any number from `min_inputs` on will do.
        n_objectives: Number of objectives; None when it is chosen (`scalable`), 2 at least.
        optimum: Least value, one objective only; `optimum_at` tells it for d inputs.
        reference_point: Of each objective; one entry stands for all when m is chosen.
        ideal_hypervolume: Of the true front against `reference_point`, two objectives unless
            `n_objectives` says otherwise.
        is_defined_outside: Whether the formula means something beyond `bounds`.
        source: Where the formula and the figures come from.
    """

    __test__: ClassVar[bool] = False  # the name starts like a test class of pytest

    name: str
    function: Callable[[FloatArray, int], FloatArray]
    bounds: tuple[tuple[float, float], ...]
    source: str
    n_inputs: int | None = None
    min_inputs: int = 1
    n_objectives: int | None = 1
    optimum: float | None = None
    optimum_per_input: float | None = None
    reference_point: tuple[float, ...] | None = None
    ideal_hypervolume: float | None = None
    is_defined_outside: bool = False

    def __call__(self, X: FloatArray, n_objectives: int | None = None) -> FloatArray:
        """Return the values (n, m) at points (n, d) in natural variables."""
        m = self.n_objectives or n_objectives or 2
        return self.function(np.asarray(X, dtype=np.float64), m)

    def bounds_for(self, n_inputs: int) -> list[tuple[float, float]]:
        """Return one pair of bounds per input."""
        return list(self.bounds) if len(self.bounds) == n_inputs else [self.bounds[0]] * n_inputs

    def optimum_for(self, n_inputs: int) -> float | None:
        """Return the least value for so many inputs, None when it is not known."""
        if self.optimum_per_input is not None:
            return self.optimum_per_input * n_inputs
        return self.optimum

    def accepts_inputs(self, n_inputs: int, n_objectives: int) -> bool:
        """Tell whether the problem exists with so many inputs."""
        if self.n_inputs is not None:
            return n_inputs == self.n_inputs
        # DTLZ needs one distance variable beyond its position variables.
        least = max(self.min_inputs, n_objectives if self.n_objectives is None else 0)
        return n_inputs >= least


def _column(values: FloatArray) -> FloatArray:
    return values[:, None]


def _branin_values(x1: FloatArray, x2: FloatArray) -> FloatArray:
    bent = x2 - 5.1 / (4 * math.pi**2) * x1**2 + 5 / math.pi * x1 - 6
    return bent**2 + 10 * (1 - 1 / (8 * math.pi)) * np.cos(x1) + 10


def branin(X: FloatArray, m: int = 1) -> FloatArray:
    """Branin's function; three equal minima [Surjanovic2013]."""
    return _column(_branin_values(X[:, 0], X[:, 1]))


def branin_currin(X: FloatArray, m: int = 2) -> FloatArray:
    """Branin on the unit square, and Currin's exponential function [Belakaria2019, Currin1988]."""
    x1, x2 = X[:, 0], X[:, 1]
    # exp(-1 / (2 x2)) tends to 0 at x2 = 0, and is 0 in double precision long before.
    factor = 1 - np.exp(-0.5 / np.maximum(x2, 1e-6))
    currin = factor * (2300 * x1**3 + 1900 * x1**2 + 2092 * x1 + 60)
    currin /= 100 * x1**3 + 500 * x1**2 + 4 * x1 + 20
    return np.column_stack([_branin_values(15 * x1 - 5, 15 * x2), currin])


def _zdt_distance(X: FloatArray) -> FloatArray:
    return np.asarray(1 + 9 * X[:, 1:].mean(axis=1))


def zdt1(X: FloatArray, m: int = 2) -> FloatArray:
    """Convex front 1 - sqrt(f1) [Zitzler2000]."""
    f1, g = X[:, 0], _zdt_distance(X)
    return np.column_stack([f1, g * (1 - np.sqrt(f1 / g))])


def zdt2(X: FloatArray, m: int = 2) -> FloatArray:
    """Concave front 1 - f1² [Zitzler2000]."""
    f1, g = X[:, 0], _zdt_distance(X)
    return np.column_stack([f1, g * (1 - (f1 / g) ** 2)])


def zdt3(X: FloatArray, m: int = 2) -> FloatArray:
    """Front in five pieces [Zitzler2000]."""
    f1, g = X[:, 0], _zdt_distance(X)
    return np.column_stack([f1, g * (1 - np.sqrt(f1 / g) - f1 / g * np.sin(10 * math.pi * f1))])


def dtlz2(X: FloatArray, m: int = 2) -> FloatArray:
    """Front on the unit sphere; distance variables best at 0.5 [Deb2005]."""
    angle = X[:, : m - 1] * (math.pi / 2)
    radius = 1 + ((X[:, m - 1 :] - 0.5) ** 2).sum(axis=1)
    columns = []
    for i in range(m):
        value = radius * np.cos(angle[:, : m - 1 - i]).prod(axis=1)
        columns.append(value if i == 0 else value * np.sin(angle[:, m - 1 - i]))
    return np.column_stack(columns)


def dtlz7(X: FloatArray, m: int = 2) -> FloatArray:
    """Front in 2^(m-1) pieces; distance variables best at 0 [Deb2005]."""
    position = X[:, : m - 1]
    g = 1 + 9 * X[:, m - 1 :].mean(axis=1)
    waves = position / (1 + g[:, None]) * (1 + np.sin(3 * math.pi * position))
    return np.column_stack([position, (1 + g) * (m - waves.sum(axis=1))])


def vehicle_safety(X: FloatArray, m: int = 3) -> FloatArray:
    """Mass, chest acceleration and toe-board intrusion of a car in a crash [Liao2008]."""
    x1, x2, x3, x4, x5 = X.T
    mass = 1640.2823 + X @ np.array([2.3573285, 2.3220035, 4.5688768, 7.7213633, 4.4559504])
    acceleration = (
        6.5856 + 1.15 * x1 - 1.0427 * x2 + 0.9738 * x3 + 0.8364 * x4
        - 0.3695 * x1 * x4 + 0.0861 * x1 * x5 + 0.3628 * x2 * x4
        - 0.1106 * x1**2 - 0.3437 * x3**2 + 0.1764 * x4**2
    )  # fmt: skip
    intrusion = (
        -0.0551 + 0.0181 * x1 + 0.1024 * x2 + 0.0421 * x3
        - 0.0073 * x1 * x2 + 0.024 * x2 * x3 - 0.0118 * x2 * x4
        - 0.0204 * x3 * x4 - 0.008 * x3 * x5 - 0.0241 * x2**2 + 0.0109 * x4**2
    )  # fmt: skip
    return np.column_stack([mass, acceleration, intrusion])


_HARTMANN_WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
_HARTMANN3_A = np.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]])
_HARTMANN3_P = 1e-4 * np.array(
    [[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]]
)
_HARTMANN6_A = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
_HARTMANN6_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def _hartmann(X: FloatArray, A: FloatArray, P: FloatArray) -> FloatArray:
    exponent = (A * (X[:, None, :] - P) ** 2).sum(axis=2)
    return _column(-np.exp(-exponent) @ _HARTMANN_WEIGHTS)


def hartmann3(X: FloatArray, m: int = 1) -> FloatArray:
    """Four Gaussian wells in three dimensions [Surjanovic2013]."""
    return _hartmann(X, _HARTMANN3_A, _HARTMANN3_P)


def hartmann6(X: FloatArray, m: int = 1) -> FloatArray:
    """Four Gaussian wells in six dimensions [Surjanovic2013]."""
    return _hartmann(X, _HARTMANN6_A, _HARTMANN6_P)


def ackley(X: FloatArray, m: int = 1) -> FloatArray:
    """A funnel covered with ripples [Surjanovic2013]."""
    funnel = -20 * np.exp(-0.2 * np.sqrt((X**2).mean(axis=1)))
    ripples = -np.exp(np.cos(2 * math.pi * X).mean(axis=1))
    return _column(funnel + ripples + 20 + math.e)


def styblinski_tang(X: FloatArray, m: int = 1) -> FloatArray:
    """Two basins per input, of unequal depth [Surjanovic2013]."""
    return _column(0.5 * (X**4 - 16 * X**2 + 5 * X).sum(axis=1))


def rosenbrock(X: FloatArray, m: int = 1) -> FloatArray:
    """A bent valley [Surjanovic2013]."""
    steps = 100 * (X[:, 1:] - X[:, :-1] ** 2) ** 2 + (X[:, :-1] - 1) ** 2
    return _column(steps.sum(axis=1))


def rastrigin(X: FloatArray, m: int = 1) -> FloatArray:
    """A bowl covered with a regular grid of pits [Surjanovic2013]."""
    return _column((X**2 - 10 * np.cos(2 * math.pi * X) + 10).sum(axis=1))


def levy(X: FloatArray, m: int = 1) -> FloatArray:
    """Waves under a bowl [Surjanovic2013]."""
    w = 1 + (X - 1) / 4
    first = np.sin(math.pi * w[:, 0]) ** 2
    middle = ((w[:, :-1] - 1) ** 2 * (1 + 10 * np.sin(math.pi * w[:, :-1] + 1) ** 2)).sum(axis=1)
    last = (w[:, -1] - 1) ** 2 * (1 + np.sin(2 * math.pi * w[:, -1]) ** 2)
    return _column(first + middle + last)


def sphere(X: FloatArray, m: int = 1) -> FloatArray:
    """The sum of squares."""
    return _column((X**2).sum(axis=1))


UNIT = ((0.0, 1.0),)

PROBLEMS: dict[str, TestProblem] = {
    problem.name: problem
    for problem in (
        TestProblem(
            "branin",
            branin,
            ((-5.0, 10.0), (0.0, 15.0)),
            "[Surjanovic2013]",
            n_inputs=2,
            optimum=0.39788735772973816,
            is_defined_outside=True,
        ),
        TestProblem(
            "branin_currin",
            branin_currin,
            UNIT,
            "[Belakaria2019]; reference point and hypervolume as in BoTorch",
            n_inputs=2,
            n_objectives=2,
            reference_point=(18.0, 6.0),
            ideal_hypervolume=59.36011874867746,
        ),
        TestProblem(
            "zdt1",
            zdt1,
            UNIT,
            "[Zitzler2000]; hypervolume 121 - 1/3",
            min_inputs=2,
            n_objectives=2,
            reference_point=(11.0, 11.0),
            ideal_hypervolume=121 - 1 / 3,
        ),
        TestProblem(
            "zdt2",
            zdt2,
            UNIT,
            "[Zitzler2000]; hypervolume 121 - 2/3",
            min_inputs=2,
            n_objectives=2,
            reference_point=(11.0, 11.0),
            ideal_hypervolume=121 - 2 / 3,
        ),
        TestProblem(
            "zdt3",
            zdt3,
            UNIT,
            "[Zitzler2000]; hypervolume integrated over the five pieces",
            min_inputs=2,
            n_objectives=2,
            reference_point=(11.0, 11.0),
            ideal_hypervolume=128.7781161306908,
        ),
        TestProblem(
            "dtlz2",
            dtlz2,
            UNIT,
            "[Deb2005]; hypervolume for two objectives 1.21 - pi/4",
            min_inputs=2,
            n_objectives=None,
            reference_point=(1.1,),
            ideal_hypervolume=1.21 - math.pi / 4,
        ),
        TestProblem(
            "dtlz7",
            dtlz7,
            UNIT,
            "[Deb2005]",
            min_inputs=2,
            n_objectives=None,
            reference_point=(15.0,),
        ),
        TestProblem(
            "vehicle_safety",
            vehicle_safety,
            ((1.0, 3.0),),
            "[Liao2008]; reference point 1.1 × nadir and hypervolume of the front of [Tanabe2020]",
            n_inputs=5,
            n_objectives=3,
            reference_point=(1864.72022, 11.81993945, 0.2903999384),
            ideal_hypervolume=246.81607081187002,
        ),
        TestProblem(
            "hartmann3", hartmann3, UNIT, "[Surjanovic2013]", n_inputs=3, optimum=-3.862779787332663
        ),
        TestProblem(
            "hartmann6",
            hartmann6,
            UNIT,
            "[Surjanovic2013]",
            n_inputs=6,
            optimum=-3.3223680114155147,
        ),
        TestProblem(
            "ackley",
            ackley,
            ((-32.768, 32.768),),
            "[Surjanovic2013]",
            optimum=0.0,
            is_defined_outside=True,
        ),
        TestProblem(
            "styblinski_tang",
            styblinski_tang,
            ((-5.0, 5.0),),
            "[Surjanovic2013]",
            optimum_per_input=-39.16616570377142,
            is_defined_outside=True,
        ),
        TestProblem(
            "rosenbrock",
            rosenbrock,
            ((-5.0, 10.0),),
            "[Surjanovic2013]",
            min_inputs=2,
            optimum=0.0,
            is_defined_outside=True,
        ),
        TestProblem(
            "rastrigin",
            rastrigin,
            ((-5.12, 5.12),),
            "[Surjanovic2013]",
            optimum=0.0,
            is_defined_outside=True,
        ),
        TestProblem(
            "levy",
            levy,
            ((-10.0, 10.0),),
            "[Surjanovic2013]",
            optimum=0.0,
            is_defined_outside=True,
        ),
        TestProblem(
            "sphere",
            sphere,
            ((-5.12, 5.12),),
            "[Surjanovic2013]",
            optimum=0.0,
            is_defined_outside=True,
        ),
    )
}
