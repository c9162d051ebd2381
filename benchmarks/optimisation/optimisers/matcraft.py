"""This library, as its users drive it: a definition, `add`, `ask`, `tell`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from declaration import Declaration, Point
from start import definition

from materia import Campaign
from materia.engine.surrogates.evidence import standard

PACKAGES = ("numpy", "scipy")


class Optimiser:
    """A campaign; the start is earlier data to it."""

    def __init__(self, declared: Declaration) -> None:
        self._names = declared.names
        self._m = declared.m
        pool = declared.pool
        self._is_pool = pool is not None
        rows = None if pool is None else [dict(zip(self._names, row, strict=True)) for row in pool]
        self._campaign = Campaign.from_dict(definition(declared), pool=rows)
        self._open: list[str] = []

    def tell(self, points: list[Point], outcomes: list[list[float]]) -> None:
        """Take in what came out for the points last asked, or for earlier ones."""
        named = [{f"y{j}": value for j, value in enumerate(row[: self._m])} for row in outcomes]
        if self._open:
            self._campaign.tell(dict(zip(self._open, named, strict=True)))
            self._open = []
            return
        for point, told in zip(points, named, strict=True):
            self._campaign.add(dict(zip(self._names, point, strict=True)), told)

    def ask(self, n: int) -> list[Point]:
        """Return the next points."""
        candidates = self._campaign.ask(n)
        self._open = [candidate.id for candidate in candidates]
        return [[candidate.params[name] for name in self._names] for candidate in candidates]

    def predict(self, points: list[Point]) -> tuple[Any, Any] | None:
        """Return the posterior of the surrogate that the next `ask` would use.

        The rows of a table are measurements: there it is the posterior of one more measurement.
        """
        fitted = self._campaign._fit()
        if fitted is None:
            return None
        X = self._campaign.space.encode(
            [dict(zip(self._names, point, strict=True)) for point in points]
        )
        mean, std = fitted.surrogate.predict(X)
        if self._is_pool:
            (process,) = fitted.surrogate.processes
            level, spread = process.posterior(X)
            _, scale = standard(process.warp(process.y))
            spread = np.hypot(spread, scale * math.sqrt(process.noise))
            mean[:, 0], std[:, 0] = process.warp.invert(level, spread)
        return self._campaign.objectives.measured(mean).tolist(), std.tolist()
