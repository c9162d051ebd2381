"""What an optimiser is told about a problem: no formula, no optimum, nothing but the declaration.

Imported on both sides of the pipe, so it knows nothing but the standard library and NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

Point = list[Any]
"""One value per parameter, in the user's units."""


@dataclass(frozen=True)
class Parameter:
    """One input: two bounds, or choices without an order.

    Attributes:
        is_integer: Whether only whole numbers between the bounds are allowed.
    """

    name: str
    bounds: tuple[float, float] = (0.0, 1.0)
    choices: tuple[float, ...] | None = None
    is_integer: bool = False


@dataclass(frozen=True)
class Declaration:
    """A problem as its user would declare it.

    Attributes:
        parameters: All inputs; with `total` they are the parts of a composition.
        total: What the parameters sum to; None where they are free.
        m: Number of objectives, all minimised.
        reference_point: Of several objectives, (m,).
        outcome_constraint: In the names y0 … of the objectives, for optimisers that take formulas.
            For all others its value is the outcome after the objectives, feasible where <= 0.
        is_noisy: Whether the user knows that outcomes are noisy.
        pool: The only points that may be asked.
        batch_size: Points per question.
        n_start: Points told before the first question.
        budget: Evaluations in all, the start included.
        seed: Of everything random.
    """

    parameters: tuple[Parameter, ...]
    m: int
    batch_size: int
    n_start: int
    budget: int
    seed: int
    total: float | None = None
    reference_point: tuple[float, ...] | None = None
    outcome_constraint: str | None = None
    is_noisy: bool = False
    pool: tuple[tuple[float, ...], ...] | None = None

    @property
    def d(self) -> int:
        """Number of parameters."""
        return len(self.parameters)

    @property
    def names(self) -> list[str]:
        """Names of the parameters."""
        return [parameter.name for parameter in self.parameters]

    @property
    def n_outcomes(self) -> int:
        """Number of objectives, and one more with an outcome constraint."""
        return self.m + (self.outcome_constraint is not None)

    def encode(self, points: Sequence[Sequence[Any]]) -> np.ndarray:
        """Return points in the unit cube, (n, d); a choice becomes its number."""
        columns = []
        for j, parameter in enumerate(self.parameters):
            values = [point[j] for point in points]
            if parameter.choices is not None:
                columns.append(np.array([parameter.choices.index(v) for v in values], dtype=float))
            else:
                low, high = parameter.bounds
                columns.append((np.array(values, dtype=float) - low) / (high - low))
        return np.column_stack(columns)

    def decode(self, X: np.ndarray) -> list[Point]:
        """Return the points of rows of the unit cube, (n, d); whole numbers by rounding."""
        points: list[Point] = []
        for row in np.asarray(X, dtype=float):
            point: Point = []
            for x, parameter in zip(row, self.parameters, strict=True):
                low, high = parameter.bounds
                if parameter.choices is not None:
                    point.append(parameter.choices[round(x)])
                elif parameter.is_integer:
                    point.append(round(low + min(max(x, 0), 1) * (high - low)))
                else:
                    point.append(float(low + min(max(x, 0), 1) * (high - low)))
            points.append(point)
        return points

    def nearest_row(self, point: Point, taken: Sequence[Point]) -> Point:
        """Return the row of the pool that is nearest in the unit cube and not taken.

        For optimisers that know no pools.
        """
        assert self.pool is not None
        asked = {tuple(one) for one in taken}
        rows = [row for row in self.pool if row not in asked]
        distances = ((self.encode(rows) - self.encode([point])) ** 2).sum(axis=1)
        return list(rows[int(np.argmin(distances))])

    def as_dict(self) -> dict[str, Any]:
        """Return the declaration as JSON-able data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Declaration:
        """Return the declaration that `as_dict` described."""
        parameters = [
            Parameter(
                name=one["name"],
                bounds=tuple(one["bounds"]),
                choices=None if one["choices"] is None else tuple(one["choices"]),
                is_integer=one["is_integer"],
            )
            for one in told["parameters"]
        ]
        pool = told["pool"]
        reference = told["reference_point"]
        return cls(
            **{
                **told,
                "parameters": tuple(parameters),
                "reference_point": None if reference is None else tuple(reference),
                "pool": None if pool is None else tuple(tuple(row) for row in pool),
            }
        )
