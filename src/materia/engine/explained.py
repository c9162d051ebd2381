"""What a campaign has learnt, as plain data for plots: importance, slices, contours, parity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine import explanations, fitting
from materia.engine.constraints import Constraints
from materia.engine.fitting import Fitted
from materia.engine.objectives import Objectives
from materia.engine.reachable import Params, Reachable
from materia.engine.space import SearchSpace
from materia.engine.surrogates.independent import IndependentProcesses
from materia.engine.threads import single_threaded
from materia.errors import DataError, StateError
from materia.mdl.definition import Definition

FloatArray = NDArray[np.float64]


class Explained(ABC):
    """The part of a campaign that tells people what its surrogate sees."""

    definition: Definition
    space: SearchSpace
    constraints: Constraints
    objectives: Objectives
    _reachable: Reachable

    @abstractmethod
    def best(self) -> dict[str, Any] | None:
        """Return the best observation, {"id", "params", "outcomes"}, or None."""

    @abstractmethod
    def _fit(self) -> Fitted | None:
        """Return the surrogate of the present observations, None where there is none."""

    @abstractmethod
    def _plain(self, params: Mapping[str, Any]) -> Params:
        """Return params in declared order and Python's own types."""

    @single_threaded
    def parity(self) -> dict[str, dict[str, list[float]]]:
        """Return leave-one-out predictions, {objective: {"measured", "predicted", "std"}}.

        Empty while an objective has no observation. All in the user's units.
        """
        fitted = self._fit()
        return {} if fitted is None else fitting.parity(fitted.surrogate, self.objectives)

    @single_threaded
    def importance(self) -> dict[str, dict[str, float]]:
        """Return how much each parameter matters, {objective: {parameter: total effect}}.

        The effect is the share of the outcome's variance over the space, as the surrogate sees it,
        that the parameter has a part in. Empty while an objective has no observation.
        """
        fitted = self._fit()
        if fitted is None:
            return {}
        groups = [parameter.name for parameter in self.definition.parameters]
        return explanations.importance(
            fitted.surrogate, self._reachable.cloud, self.space, groups, self.objectives
        )

    @single_threaded
    def slice(
        self, parameter: str, at: Mapping[str, Any] | None = None, n: int = 50
    ) -> dict[str, Any]:
        """Return predictions along one parameter through a point.

        Args:
            parameter: A key of `params`.
            at: The point, in the user's units; by default the best one.
            n: Number of values; a discrete parameter may have fewer.

        Returns:
            {"parameter", "at", "values", "is_allowed", "predicted": {objective: {"mean", "std"}}},
            all lists over the values; not allowed is what breaks a constraint. Where another value
            makes conditional parameters exist, they are in the middle of their ranges.

        Raises:
            DataError: An unknown parameter, params that do not fit, or too many points.
            StateError: There is no surrogate yet, or no best point.
        """
        surrogate, point = self._seen_from(at, n)
        X = np.vstack(explanations.along(self.space, self.space.encode([point]), parameter, n))
        return {
            "parameter": parameter,
            "at": point,
            "values": [row[parameter] for row in self.space.decode(X)],
            "is_allowed": self._is_allowed(X, parameter).tolist(),
            "predicted": explanations.predicted(surrogate, X, self.objectives),
        }

    @single_threaded
    def contour(
        self, first: str, second: str, at: Mapping[str, Any] | None = None, n: int = 25
    ) -> dict[str, Any]:
        """Return predictions over two parameters through a point; see `slice`.

        Returns:
            {"parameters", "at", "values": two lists, "is_allowed", "predicted"}; the last two as
            nested lists with one row per value of the second parameter. Not allowed is also where
            one of the two does not exist.

        Raises:
            DataError: As of `slice`, or twice the same parameter or composition.
            StateError: As of `slice`.
        """
        surrogate, point = self._seen_from(at, n * n)
        explanations.check_pair(self.space, first, second)
        row = np.vstack(explanations.along(self.space, self.space.encode([point]), first, n))
        rows = explanations.along(self.space, row, second, n)
        shape = (len(rows), len(row))
        X = np.vstack(rows)
        found = explanations.predicted(surrogate, X, self.objectives)
        return {
            "parameters": [first, second],
            "at": point,
            "values": [
                [params[first] for params in self.space.decode(row)],
                [self._value(line, second) for line in rows],
            ],
            "is_allowed": self._is_allowed(X, first, second).reshape(shape).tolist(),
            "predicted": {
                name: {key: np.reshape(list_, shape).tolist() for key, list_ in pair.items()}
                for name, pair in found.items()
            },
        }

    def _is_allowed(self, X: FloatArray, *names: str) -> NDArray[np.bool_]:
        """Return where constraints hold and some parameters exist, (n,)."""
        columns = [self.space.names.index(name) for name in names]
        return self.constraints.is_feasible(X) & self.space.exists(X, columns)

    def _value(self, X: FloatArray, name: str) -> Any:
        """Return the one value that a parameter has at those points that have it."""
        return next(p[name] for p in self.space.decode(X) if p[name] is not None)

    def _seen_from(
        self, at: Mapping[str, Any] | None, n: int
    ) -> tuple[IndependentProcesses, Params]:
        if not 1 <= n <= explanations.MAX_POINTS:
            raise DataError(f"{n} points are not possible", f"1 to {explanations.MAX_POINTS} are")
        fitted = self._fit()
        if fitted is None:
            raise StateError("there is no surrogate yet", "tell outcomes of every objective first")
        if at is not None:
            return fitted.surrogate, self._plain(at)
        best = self.best()
        if best is None:
            raise StateError("no observation counts as best yet", "say through which point: at=…")
        return fitted.surrogate, best["params"]
