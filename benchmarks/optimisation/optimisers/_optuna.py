"""What both samplers of Optuna have in common: a study that is told everything as trials."""

from __future__ import annotations

import optuna
from declaration import Declaration, Point

PACKAGES = ("optuna",)

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Study:
    """A study; rows of a pool stand in for the points that are nearest to them."""

    def __init__(self, declared: Declaration, sampler: optuna.samplers.BaseSampler) -> None:
        if declared.total is not None:
            raise NotImplementedError("Optuna has no composition")
        self._declared = declared
        self._study = optuna.create_study(directions=["minimize"] * declared.m, sampler=sampler)
        self._space = {p.name: _distribution(p) for p in declared.parameters}
        self._points: list[Point] = []
        self._open: list[optuna.Trial] = []

    def tell(self, points: list[Point], outcomes: list[list[float]]) -> None:
        """Add finished trials in place of the open ones."""
        for trial in self._open:
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        self._open = []
        self._points += points
        m = self._declared.m
        for point, row in zip(points, outcomes, strict=True):
            self._study.add_trial(
                optuna.trial.create_trial(
                    params=dict(zip(self._space, point, strict=True)),
                    distributions=self._space,
                    values=row[:m],
                    constraints={"c": row[m]} if len(row) > m else None,
                )
            )

    def ask(self, n: int) -> list[Point]:
        """Return the next points."""
        points: list[Point] = []
        for _ in range(n):
            trial = self._study.ask(self._space)
            self._open.append(trial)
            point = [trial.params[name] for name in self._space]
            if self._declared.pool is not None:
                point = self._declared.nearest_row(point, self._points + points)
            points.append(point)
        return points

    def predict(self, points: list[Point]) -> None:
        """Predict nothing: no public posterior."""


def _distribution(parameter: object) -> optuna.distributions.BaseDistribution:
    low, high = parameter.bounds
    if parameter.choices is not None:
        return optuna.distributions.CategoricalDistribution(parameter.choices)
    if parameter.is_integer:
        return optuna.distributions.IntDistribution(int(low), int(high))
    return optuna.distributions.FloatDistribution(low, high)
