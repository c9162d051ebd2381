"""Ax through its client as it comes, told the reference point as thresholds of the objectives.

The last part of a composition is left out, and its bounds become constraints on the others.
"""

from __future__ import annotations

import logging
from typing import Any

from ax.api.client import Client
from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig
from declaration import Declaration, Parameter, Point

PACKAGES = ("ax-platform", "botorch")

logging.disable(logging.WARNING)


class Optimiser:
    """A client; the start is attached as trials."""

    def __init__(self, declared: Declaration) -> None:
        if declared.pool is not None:
            raise NotImplementedError("the client has no pools")
        self._declared = declared
        self._client = Client(random_seed=declared.seed)
        free = declared.parameters[: -1 if declared.total else None]
        self._names = [parameter.name for parameter in free]
        constraints = []
        if declared.total is not None:
            low, high = declared.parameters[-1].bounds
            others = " + ".join(self._names)
            constraints = [f"{others} <= {declared.total - low}"]
            constraints += [f"{others} >= {declared.total - high}"]
        self._client.configure_experiment([_config(p) for p in free], constraints)
        thresholds = [f"y{j} <= {value}" for j, value in enumerate(declared.reference_point or ())]
        if declared.outcome_constraint:
            thresholds.append("c <= 0")
        objective = ", ".join(f"-y{j}" for j in range(declared.m))
        self._client.configure_optimization(objective, thresholds)
        self._client.configure_generation_strategy(
            initialization_budget=declared.n_start,
            initialization_random_seed=declared.seed,
            initialize_with_center=False,
        )
        self._open: list[int] = []

    def tell(self, points: list[Point], outcomes: list[list[float]]) -> None:
        """Complete the open trials, or attach the points."""
        m = self._declared.m
        open_ = self._open or [self._client.attach_trial(self._params(p)) for p in points]
        for index, row in zip(open_, outcomes, strict=True):
            told = {f"y{j}": value for j, value in enumerate(row[:m])}
            if len(row) > m:
                told["c"] = row[m]
            self._client.complete_trial(index, told)
        self._open = []

    def ask(self, n: int) -> list[Point]:
        """Return the next points."""
        trials = self._client.get_next_trials(n)
        while len(trials) < n:
            trials |= self._client.get_next_trials(n - len(trials))
        self._open = list(trials)
        points = [[params[name] for name in self._names] for params in trials.values()]
        if self._declared.total is not None:
            points = [[*point, self._declared.total - sum(point)] for point in points]
        return points

    def predict(self, points: list[Point]) -> tuple[Any, Any]:
        """Return the posterior of the objectives."""
        told = self._client.predict([self._params(point) for point in points])
        pairs = [[one[f"y{j}"] for j in range(self._declared.m)] for one in told]
        return [[p[0] for p in row] for row in pairs], [[p[1] for p in row] for row in pairs]

    def _params(self, point: Point) -> dict[str, Any]:
        return dict(zip(self._names, point, strict=False))


def _config(parameter: Parameter) -> RangeParameterConfig | ChoiceParameterConfig:
    if parameter.choices is not None:
        return ChoiceParameterConfig(
            parameter.name, list(parameter.choices), "float", is_ordered=False
        )
    kind = "int" if parameter.is_integer else "float"
    return RangeParameterConfig(parameter.name, parameter.bounds, kind)
