"""How far a campaign has come: reference point, front, best point, hypervolume and its trace."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine import convergence
from materia.engine.objectives import Objectives
from materia.engine.observations import Observations
from materia.engine.pareto import hypervolume, is_non_dominated

FloatArray = NDArray[np.float64]

# How far beyond the worst value that counts an inferred reference point lies, as a share of the
# distance from the best value.
_BEYOND = 0.1


def reference_point(observed: Observations, objectives: Objectives) -> FloatArray:
    """Return the reference point in `Y`, (m,): the user's where given, else inferred.

    Inferred, per objective: the worst value on the front of the initial design or the median of
    the initial design, whichever is worse, and a tenth of the way from the best value further. A
    single bad outlier does not move it, and it stays when the initial design is through.
    """
    given = objectives.reference_point
    Y = objectives.minimised(observed.outcomes)
    initial = Y[observed.is_complete & observed.is_initial]
    if len(initial) == 0:
        initial = Y[observed.is_complete][:1]
    if len(initial) == 0:
        return np.where(np.isnan(given), 0.0, given)
    front = initial[is_non_dominated(initial)]
    worst = np.maximum(front.max(axis=0), np.median(initial, axis=0))
    span = worst - initial.min(axis=0)
    span = np.where(span > 0, span, np.maximum(np.abs(worst), 1.0))
    return np.asarray(np.where(np.isnan(given), worst + _BEYOND * span, given))


class Standing:
    """What a set of observations amounts to.

    Args:
        observed: The observations.
        objectives: What they are judged by.
        is_reference_fixed: Whether the reference point can no longer change.
    """

    def __init__(
        self, observed: Observations, objectives: Objectives, *, is_reference_fixed: bool
    ) -> None:
        self._observed, self._objectives = observed, objectives
        self._Y = objectives.minimised(observed.outcomes)
        self.reference_point = reference_point(observed, objectives) if is_reference_fixed else None

    def front(self) -> list[dict[str, Any]]:
        """Return the observations on the front as plain data, sorted by the first objective."""
        rows = np.flatnonzero(self._observed.counts)
        rows = rows[is_non_dominated(self._Y[rows])]
        rows = rows[np.argsort(self._Y[rows, 0], kind="stable")]
        return [self._observed.point(int(row), self._objectives.names) for row in rows]

    def best(self) -> dict[str, Any] | None:
        """Return the best observation, or the most balanced one of the front, or None."""
        rows = np.flatnonzero(self._observed.counts)
        if len(rows) == 0:
            return None
        rows = rows[is_non_dominated(self._Y[rows])]
        Y = self._Y[rows]
        span = np.ptp(Y, axis=0)
        distance = np.sum(((Y - Y.min(axis=0)) / np.where(span > 0, span, 1.0)) ** 2, axis=1)
        row = rows[int(np.argmin(distance))]
        return self._observed.point(int(row), self._objectives.names)

    def reached(self) -> str | None:
        """Return the id of the first observation that is good enough, or None."""
        rows = np.flatnonzero(self._observed.counts)
        found = convergence.reached(self._Y[rows], self._objectives)
        return None if found is None else self._observed.ids[rows[found]]

    def hypervolume(self) -> float | None:
        """Return the dominated hypervolume, None until the reference point is fixed."""
        if self.reference_point is None or len(self._observed) == 0:
            return None
        return hypervolume(self._Y[self._observed.counts], self.reference_point)

    def trace(self, n_iterations: int) -> list[dict[str, Any]]:
        """Return one entry per iteration: iteration, n_observations, hypervolume, best.

        `best` is the best outcome of a single objective in the user's units, else None.
        """
        observed = self._observed
        front = np.empty((0, self._objectives.m))
        outcomes = np.empty((0, self._objectives.m))
        trace = []
        for iteration in range(n_iterations):
            is_new = observed.iteration == iteration
            if iteration == 0:
                is_new |= observed.iteration < 0
            rows = np.flatnonzero(is_new & observed.counts)
            Y = np.vstack([front, self._Y[rows]])
            kept = is_non_dominated(Y)
            front = Y[kept]
            outcomes = np.vstack([outcomes, observed.outcomes[rows]])[kept]
            volume = None
            if self.reference_point is not None and len(observed):
                volume = hypervolume(front, self.reference_point)
            is_single = self._objectives.m == 1 and len(outcomes) > 0
            trace.append(
                {
                    "iteration": iteration,
                    "n_observations": int(np.sum(observed.iteration <= iteration)),
                    "hypervolume": volume,
                    "best": float(outcomes[0, 0]) if is_single else None,
                }
            )
        return trace
