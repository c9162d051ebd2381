"""How one declared parameter looks in the unit cube: one class per kind, all with the same verbs.

Every kind owns `width` neighbouring columns of `X` and `n_uniform` numbers of a quasi-random point.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from materia.errors import DataError, DefinitionError
from materia.mdl.definition import (
    CategoricalParameter,
    ContinuousParameter,
    IntegerParameter,
)

FloatArray = NDArray[np.float64]

_FAR_NEIGHBOURS = 9


class ParameterKind(Protocol):
    """What the search space needs from a kind of parameter."""

    names: tuple[str, ...]
    width: int
    n_uniform: int
    n_free: int
    size: int | None
    is_categorical: bool
    is_discrete: bool
    is_bent: bool  # whether values are no linear function of the column

    def encode(self, params: Sequence[Mapping[str, Any]]) -> FloatArray:
        """Return (n, width) in the unit cube; a value that cannot be placed is a DataError."""

    def decode(self, X: FloatArray) -> dict[str, list[Any]]:
        """Return the nearest allowed values in the user's units, a list of n per name."""

    def values(self, X: FloatArray) -> dict[str, FloatArray]:
        """Return numbers in the user's units without snapping, (n,) per name, for constraints."""

    def slopes(self, X: FloatArray) -> FloatArray:
        """Return how fast each of `values` grows along its own column, (n, width)."""

    def snap(self, X: FloatArray) -> FloatArray:
        """Return the nearest allowed point, (n, width)."""

    def relax(self, X: FloatArray) -> FloatArray:
        """Return the nearest point that ignores steps and roundings, (n, width)."""

    def sample(self, U: FloatArray) -> FloatArray:
        """Turn uniform numbers (n, n_uniform) into points (n, width); NaN rows are rejected."""

    def fault(self, params: Mapping[str, Any]) -> str | None:
        """Return why the values are outside this parameter, or None."""

    def grid(self) -> FloatArray:
        """Return every point of a finite parameter, (size, width)."""

    def neighbours(self, x: FloatArray) -> FloatArray:
        """Return other values near x (width,), (n, width): none where there is no next value."""

    def neutral(self) -> FloatArray:
        """Return the place (width,) that stands for no value at all."""


def number(params: Mapping[str, Any], name: str) -> float:
    """Return a finite number out of `params`, or raise a DataError that names it."""
    value = params[name]
    is_number = isinstance(value, int | float | np.integer | np.floating)
    if isinstance(value, bool | np.bool_) or not is_number or not math.isfinite(value):
        raise DataError(f"parameter '{name}' is {value!r}, not a finite number")
    return float(value)


def _with_ends(values: FloatArray, x: FloatArray, low: float, high: float) -> FloatArray:
    """Return values (n,) of a column x (n,), at its ends the exact bounds: rounding misses them."""
    return np.where(x == 0.0, low, np.where(x == 1.0, high, values))


class _Number:
    """What a column of numbers on a linear or logarithmic scale does, whatever lies on it."""

    width = 1
    n_uniform = 1
    is_categorical = False

    def __init__(
        self, parameter: ContinuousParameter | IntegerParameter, low: float, high: float
    ) -> None:
        self.names: tuple[str, ...] = (parameter.name,)
        self.is_log = self.is_bent = parameter.log_scale
        if low > high or (self.is_log and low <= 0):
            raise DefinitionError(
                f"bounds {list(parameter.bounds)} of '{parameter.name}' are not a range",
                "lower bound first; a logarithmic scale needs bounds above 0",
            )
        self.n_free = int(high > low)
        self._ends = low, high
        self._low = math.log(low) if self.is_log else float(low)
        self._range = (math.log(high) if self.is_log else float(high)) - self._low

    def _to_unit(self, values: FloatArray) -> FloatArray:
        if self._range == 0:
            return np.zeros_like(values)
        return ((np.log(values) if self.is_log else values) - self._low) / self._range

    def encode(self, params: Sequence[Mapping[str, Any]]) -> FloatArray:
        values = np.array([number(p, self.names[0]) for p in params], dtype=np.float64)
        if self.is_log and np.any(values <= 0):
            raise DataError(f"parameter '{self.names[0]}' is on a logarithmic scale: above 0 only")
        return self._to_unit(values)[:, None]

    def values(self, X: FloatArray) -> dict[str, FloatArray]:
        inner = self._low + X[:, 0] * self._range
        values = np.exp(inner) if self.is_log else inner
        return {self.names[0]: _with_ends(values, X[:, 0], *self._ends)}

    def slopes(self, X: FloatArray) -> FloatArray:
        if self.is_log:
            return self.values(X)[self.names[0]][:, None] * self._range
        return np.full_like(X, self._range)


class Continuous(_Number):
    """A real number; one column, logarithmic when declared so."""

    size: int | None = None
    is_discrete = False

    def __init__(self, parameter: ContinuousParameter) -> None:
        self.low, self.high = float(parameter.bounds[0]), float(parameter.bounds[1])
        super().__init__(parameter, self.low, self.high)

    def decode(self, X: FloatArray) -> dict[str, list[Any]]:
        values = self.values(self.relax(X))[self.names[0]]
        return {self.names[0]: np.clip(values, self.low, self.high).tolist()}

    def snap(self, X: FloatArray) -> FloatArray:
        return self.relax(X)

    def relax(self, X: FloatArray) -> FloatArray:
        return np.clip(X, 0.0, 1.0) if self.n_free else np.zeros_like(X)

    def sample(self, U: FloatArray) -> FloatArray:
        return self.relax(U)

    def fault(self, params: Mapping[str, Any]) -> str | None:
        value = number(params, self.names[0])
        if self.low <= value <= self.high:
            return None
        return f"'{self.names[0]}' = {value} is outside [{self.low}, {self.high}]"

    def grid(self) -> FloatArray:
        raise NotImplementedError("a continuous parameter has no grid")

    def neighbours(self, x: FloatArray) -> FloatArray:
        return np.empty((0, 1))

    def neutral(self) -> FloatArray:
        return np.asarray(self.relax(np.full((1, 1), 0.5))[0])


class Integer(_Number):
    """A whole number in steps; one column, logarithmic when declared so."""

    is_discrete = True

    def __init__(self, parameter: IntegerParameter) -> None:
        self.low, self.step = parameter.bounds[0], parameter.step
        self.n_steps = (parameter.bounds[1] - parameter.bounds[0]) // parameter.step
        self.high = self.low + self.n_steps * self.step
        super().__init__(parameter, self.low, self.high)
        self.size: int | None = self.n_steps + 1

    def _steps(self, X: FloatArray) -> FloatArray:
        values = self.values(np.clip(X, 0.0, 1.0))[self.names[0]]
        return np.clip(np.rint((values - self.low) / self.step), 0, self.n_steps)

    def decode(self, X: FloatArray) -> dict[str, list[Any]]:
        return {self.names[0]: [self.low + int(k) * self.step for k in self._steps(X)]}

    def snap(self, X: FloatArray) -> FloatArray:
        return self._to_unit(self.low + self._steps(X) * self.step)[:, None]

    def relax(self, X: FloatArray) -> FloatArray:
        return np.clip(X, 0.0, 1.0) if self.n_free else np.zeros_like(X)

    def sample(self, U: FloatArray) -> FloatArray:
        if self.is_log:
            # Half a step more on both sides gives the outermost values their full share.
            low = math.log(max(self.low - 0.5 * self.step, 0.5 * self.low))
            inner = low + U[:, 0] * (math.log(self.high + 0.5 * self.step) - low)
            k = np.rint((np.exp(inner) - self.low) / self.step)
        else:
            k = np.floor(U[:, 0] * (self.n_steps + 1))
        values = self.low + np.clip(k, 0, self.n_steps) * self.step
        return self._to_unit(values)[:, None]

    def fault(self, params: Mapping[str, Any]) -> str | None:
        value = number(params, self.names[0])
        allowed = f"{self.low} to {self.high} in steps of {self.step}"
        on_grid = value == int(value) and (int(value) - self.low) % self.step == 0
        if on_grid and self.low <= value <= self.high:
            return None
        return f"'{self.names[0]}' = {value:g} is not one of {allowed}"

    def grid(self) -> FloatArray:
        return self._at(np.arange(self.n_steps + 1, dtype=np.float64))

    def neighbours(self, x: FloatArray) -> FloatArray:
        here = self._steps(x[None])[0]
        far = np.linspace(0, self.n_steps, min(self.n_steps + 1, _FAR_NEIGHBOURS)).round()
        near = here + np.array([-2.0, -1.0, 1.0, 2.0])
        k = np.unique(np.clip(np.concatenate([far, near]), 0, self.n_steps))
        return self._at(k[k != here])

    def neutral(self) -> FloatArray:
        return np.asarray(self.snap(np.full((1, 1), 0.5))[0])

    def places(self, X: FloatArray) -> NDArray[np.intp]:
        """Return which step the nearest value of each row is, (n,)."""
        return self._steps(X).astype(np.intp)

    def _at(self, k: FloatArray) -> FloatArray:
        return self._to_unit(self.low + k * self.step)[:, None]


class Categorical:
    """One of several choices; one column that holds the place of the choice in the list.

    Surrogates see from `is_categorical` that the column has no order and compare it for equality.
    """

    width = 1
    n_uniform = 1
    is_discrete = True
    is_bent = True

    def __init__(self, parameter: CategoricalParameter) -> None:
        self.names: tuple[str, ...] = (parameter.name,)
        self.choices = list(parameter.choices)
        self.is_categorical = not parameter.ordered
        self.size: int | None = len(self.choices)
        self.n_free = int(len(self.choices) > 1)
        self._place = {choice_key(choice): i for i, choice in enumerate(self.choices)}
        self._last = max(len(self.choices) - 1, 1)
        self._numbers = np.array([_as_number(choice) for choice in self.choices])

    def _find(self, params: Mapping[str, Any]) -> int | None:
        return self._place.get(choice_key(params[self.names[0]]))

    def encode(self, params: Sequence[Mapping[str, Any]]) -> FloatArray:
        places = [self._find(p) for p in params]
        for p, place in zip(params, places, strict=True):
            if place is None:
                raise DataError(self.fault(p) or "")
        return np.array(places, dtype=np.float64)[:, None] / self._last

    def neutral(self) -> FloatArray:
        return (
            np.zeros(1) if self.is_categorical else np.asarray(self.snap(np.full((1, 1), 0.5))[0])
        )

    def places(self, X: FloatArray) -> NDArray[np.intp]:
        """Return which choice each row is, (n,)."""
        return np.rint(np.clip(X[:, 0], 0.0, 1.0) * self._last).astype(np.intp)

    def values(self, X: FloatArray) -> dict[str, FloatArray]:
        return {self.names[0]: self._numbers[self.places(X)]}

    def slopes(self, X: FloatArray) -> FloatArray:
        return np.zeros_like(X)

    def decode(self, X: FloatArray) -> dict[str, list[Any]]:
        return {self.names[0]: [self.choices[i] for i in self.places(self.snap(X))]}

    def snap(self, X: FloatArray) -> FloatArray:
        if len(self.choices) == 1:
            return np.zeros_like(X)
        return self.places(X)[:, None].astype(np.float64) / self._last

    def relax(self, X: FloatArray) -> FloatArray:
        return self.snap(X)

    def sample(self, U: FloatArray) -> FloatArray:
        return np.floor(U * len(self.choices)) / self._last

    def fault(self, params: Mapping[str, Any]) -> str | None:
        if self._find(params) is not None:
            return None
        return f"'{self.names[0]}' = {params[self.names[0]]!r} is not one of {self.choices}"

    def grid(self) -> FloatArray:
        return np.arange(len(self.choices), dtype=np.float64)[:, None] / self._last

    def neighbours(self, x: FloatArray) -> FloatArray:
        is_other = np.arange(len(self.choices)) != self.places(x[None])[0]
        return np.asarray(self.grid()[is_other])


def choice_key(choice: Any) -> tuple[str, Any]:
    """Return what makes two choices the same."""
    # 1, 1.0 and True are equal in Python; only the first two mean the same to a user.
    if isinstance(choice, bool | np.bool_):
        return ("bool", bool(choice))
    if isinstance(choice, int | float | np.integer | np.floating):
        return ("number", float(choice))
    return ("text", str(choice))


def _as_number(choice: Any) -> float:
    is_number = isinstance(choice, int | float) and not isinstance(choice, bool)
    return float(choice) if is_number else math.nan
