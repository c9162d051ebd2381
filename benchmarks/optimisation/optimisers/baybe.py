"""BayBE as it comes: its campaign, its recommender, its own rule for the reference point."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch
from baybe import Campaign
from baybe.constraints import ContinuousLinearConstraint
from baybe.objectives import ParetoObjective, SingleTargetObjective
from baybe.parameters import (
    CategoricalParameter,
    NumericalContinuousParameter,
    NumericalDiscreteParameter,
)
from baybe.searchspace import SearchSpace
from baybe.targets import NumericalTarget
from declaration import Declaration, Parameter, Point

PACKAGES = ("baybe", "botorch")

torch.set_num_threads(1)


class Optimiser:
    """A campaign."""

    def __init__(self, declared: Declaration) -> None:
        if declared.outcome_constraint is not None:
            raise NotImplementedError("BayBE has no outcome constraints")
        torch.manual_seed(declared.seed)
        self._declared = declared
        targets = [NumericalTarget(f"y{j}", minimize=True) for j in range(declared.m)]
        objective = (
            SingleTargetObjective(targets[0]) if declared.m == 1 else ParetoObjective(targets)
        )
        self._campaign = Campaign(self._space(), objective)

    def _space(self) -> SearchSpace:
        declared = self._declared
        if declared.pool is not None:
            rows = pd.DataFrame(declared.pool, columns=declared.names)
            columns = [
                NumericalDiscreteParameter(name, sorted(rows[name].unique()))
                for name in declared.names
            ]
            return SearchSpace.from_dataframe(rows, columns)
        constraints = []
        if declared.total is not None:
            ones = [1.0] * declared.d
            constraints = [
                ContinuousLinearConstraint(declared.names, "=", ones, rhs=declared.total)
            ]
        return SearchSpace.from_product([_one(p) for p in declared.parameters], constraints)

    def tell(self, points: list[Point], outcomes: list[list[float]]) -> None:
        """Take in what came out."""
        measured = self._frame(points)
        for j in range(self._declared.m):
            measured[f"y{j}"] = [row[j] for row in outcomes]
        self._campaign.add_measurements(measured)

    def ask(self, n: int) -> list[Point]:
        """Return the next points."""
        rows = self._campaign.recommend(n)[self._declared.names].to_numpy().tolist()
        points: list[Point] = []
        for row in rows:
            parameters = zip(row, self._declared.parameters, strict=True)
            points.append([_plain(value, parameter) for value, parameter in parameters])
        return points

    def predict(self, points: list[Point]) -> tuple[Any, Any]:
        """Return the posterior of the objectives."""
        told = self._campaign.posterior_stats(self._frame(points), stats=["mean", "std"])
        names = [f"y{j}" for j in range(self._declared.m)]
        mean = told[[f"{name}_mean" for name in names]].to_numpy().tolist()
        return mean, told[[f"{name}_std" for name in names]].to_numpy().tolist()

    def _frame(self, points: list[Point]) -> pd.DataFrame:
        frame = pd.DataFrame(points, columns=self._declared.names)
        for parameter in self._declared.parameters:
            if parameter.choices is not None:
                frame[parameter.name] = frame[parameter.name].astype(str)
            else:
                frame[parameter.name] = frame[parameter.name].astype(float)
        return frame


def _one(parameter: Parameter) -> Any:
    if parameter.choices is not None:
        return CategoricalParameter(parameter.name, [str(c) for c in parameter.choices])
    if parameter.is_integer:
        low, high = (int(bound) for bound in parameter.bounds)
        return NumericalDiscreteParameter(parameter.name, list(range(low, high + 1)))
    return NumericalContinuousParameter(parameter.name, parameter.bounds)


def _plain(value: Any, parameter: Parameter) -> Any:
    if parameter.is_integer:
        return round(value)
    return float(value)
