"""Why a candidate was proposed, and what a surrogate has learnt, as plain data for plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine.acquisition.expected_improvement import log_shortfall
from materia.engine.composition import Composition
from materia.engine.objectives import Objectives
from materia.engine.observations import Observations
from materia.engine.pareto import hypervolume, is_non_dominated
from materia.engine.sobol import sobol
from materia.engine.space import SearchSpace
from materia.engine.surrogates.independent import IndependentProcesses
from materia.errors import DataError

FloatArray = NDArray[np.float64]

N_NEAREST = 3
_N_OUTCOMES = 32
_N_IMPORTANCE = 512
MAX_POINTS = 10_000
"""Most points of a slice or a contour."""


def exploration(
    mean: FloatArray,
    std: FloatArray,
    Y: FloatArray,
    reference_point: FloatArray,
    objectives: Objectives,
) -> float | None:
    """Return the share of the expected improvement that is owed to uncertainty, 0 to 1.

    The rest is what the predicted mean would bring if it were certain: 0 is pure exploitation, 1
    pure exploration. None while nothing counts that could be improved on. With several objectives
    improvement is hypervolume, and its expectation is taken over quasi-random outcomes.

    Args:
        mean: Predicted turned outcomes, (m,).
        std: Their standard deviations, (m,).
        Y: What counts so far, (n, m).
        reference_point: In `Y`, (m,).
        objectives: Their number, and which are folded.
    """
    if len(Y) == 0:
        return None
    at_mean = objectives.fold(mean[None])[0]
    if objectives.m == 1:
        best = np.array([Y.min()])
        gain = max(float(best[0] - at_mean[0]), 0.0)
        folded = objectives.folded[0]
        expected = float(np.exp(log_shortfall(best, mean, std, folded=folded))[0])
    else:
        from scipy.special import ndtri

        front = Y[is_non_dominated(Y)]
        before = hypervolume(front, reference_point)

        def gained(y: FloatArray) -> float:
            return hypervolume(np.vstack([front, y]), reference_point) - before

        z = ndtri(np.clip(sobol(0, _N_OUTCOMES, objectives.m, 0), 1e-6, 1.0 - 1e-6))
        gain = gained(at_mean)
        expected = float(np.mean([gained(y) for y in objectives.fold(mean + std * z)]))
    return 1.0 - min(gain / expected, 1.0) if expected > 0.0 else 1.0


def nearest(x: FloatArray, observed: Observations, space: SearchSpace) -> list[dict[str, Any]]:
    """Return the measured points nearest to x (d,), nearest first: [{"id", "distance"}].

    Distances are those of the unit cube; two different categories are 1 apart. A parameter that
    only one of two points has adds nothing: what it depends on tells them apart already.
    """
    steps = np.abs(observed.X - x)
    categorical = list(space.categorical)
    steps[:, categorical] = steps[:, categorical] > 1e-9
    if space.conditions:
        here = space.conditions.existing_columns(x[None])
        steps *= here & space.conditions.existing_columns(observed.X)
    distance = np.sqrt(np.sum(steps**2, axis=1))
    rows = np.argsort(distance, kind="stable")[:N_NEAREST]
    return [{"id": observed.ids[row], "distance": float(distance[row])} for row in rows]


def importance(
    surrogate: IndependentProcesses,
    cloud: FloatArray,
    space: SearchSpace,
    groups: Sequence[str],
    objectives: Objectives,
) -> dict[str, dict[str, float]]:
    """Return how much of an outcome's variance over the space each parameter has a part in.

    Total-effect indices of the posterior mean (M. J. W. Jansen, "Analysis of variance designs for
    model output", Computer Physics Communications 117, 1999): the variance that is left when all
    other parameters are known. With interactions they add up to more than 1. A composition counts
    as one parameter.

    Args:
        surrogate: What was learnt.
        cloud: Points all over the space, (n, d).
        space: Whose parameters they are.
        groups: Names of the parameters in the order of declaration.
        objectives: Their names.

    Returns:
        {objective: {parameter: index}}; 0 everywhere for an outcome that does not vary.
    """
    n = min(len(cloud) // 2, _N_IMPORTANCE)
    if n == 0:
        return {name: dict.fromkeys(groups, 0.0) for name in objectives.names}
    # A listed space is in the order of its rows: neighbours must not be paired.
    shuffled = cloud[np.random.default_rng(0).permutation(len(cloud))]
    A, B = shuffled[:n], shuffled[n : 2 * n]
    at_A = surrogate.means(A)
    variance = np.var(np.vstack([at_A, surrogate.means(B)]), axis=0)
    found: dict[str, dict[str, float]] = {name: {} for name in objectives.names}
    for group, columns in zip(groups, space.columns, strict=True):
        C = A.copy()
        C[:, columns] = B[:, columns]
        C = space.conditions.settle(C)
        half = 0.5 * np.mean((surrogate.means(C) - at_A) ** 2, axis=0)
        index = np.divide(half, variance, out=np.zeros_like(half), where=variance > 0.0)
        for j, name in enumerate(objectives.names):
            found[name][group] = float(index[j])
    return found


def along(space: SearchSpace, X: FloatArray, name: str, n: int) -> list[FloatArray]:
    """Return points that differ from the rows of X in one parameter.

    Other parts of a composition make room in proportion.

    Args:
        space: Whose parameter it is.
        X: Encoded points, (k, d).
        name: A key of `params`.
        n: Most values; a discrete parameter may have fewer.

    Returns:
        One array (k, d) per value, ascending, or in the order of choices.

    Raises:
        DataError: There is no such parameter, or none of the points has it.
    """
    if name not in space.names:
        raise DataError(f"there is no parameter '{name}'", f"there are {', '.join(space.names)}")
    if not space.exists_any(X, name):
        raise DataError(
            f"'{name}' does not exist at this point",
            f"say through which point, at=…: it exists {space.when(name)}",
        )
    column = space.names.index(name)
    place = next(k for k, c in enumerate(space.columns) if c.start <= column < c.stop)
    kind, columns = space.kinds[place], space.columns[place]
    found: list[FloatArray] = []
    seen: set[Any] = set()
    for t in np.linspace(0.0, 1.0, max(n, kind.size or 0) if kind.is_categorical else n):
        moved = X.copy()
        if isinstance(kind, Composition):
            moved[:, columns] = kind.with_part(X[:, columns], column - columns.start, float(t))
        else:
            moved[:, column] = t
        moved = space.snap(moved)
        # Of points on a grid, only some may have the parameter; without any it has no values.
        value = next((p[name] for p in space.decode(moved) if p[name] is not None), None)
        if value is not None and value not in seen:
            seen.add(value)
            found.append(moved)
    return found


def check_pair(space: SearchSpace, first: str, second: str) -> None:
    """Raise a DataError unless two parameters can vary independently of each other."""
    kinds = [
        next((k for k, kind in enumerate(space.kinds) if name in kind.names), None)
        for name in (first, second)
    ]
    if None not in kinds and kinds[0] == kinds[1]:
        raise DataError(
            f"'{first}' and '{second}' cannot vary independently",
            "name two parameters, not parts of one composition",
        )


def predicted(
    surrogate: IndependentProcesses, X: FloatArray, objectives: Objectives
) -> dict[str, dict[str, list[float]]]:
    """Return {objective: {"mean", "std"}} at points X (n, d), in the user's units."""
    turned, std = surrogate.predict(X)
    mean = objectives.measured(turned)
    return {
        name: {"mean": mean[:, j].tolist(), "std": std[:, j].tolist()}
        for j, name in enumerate(objectives.names)
    }
