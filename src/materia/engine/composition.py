"""Compositions: parts that sum to a total, in the unit cube and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine.parameters import number
from materia.errors import InfeasibleError
from materia.mdl.definition import CompositionParameter

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

CLOSURE = 1e-9  # how far the sum of the parts may be from the total
_GRID_LIMIT = 200_000


class Composition:
    """Parts between their bounds that sum to a total; one column per part.

    A column is the part scaled from its *reachable* range (its bounds, narrowed by what the other
    parts leave) to [0, 1], so that lengthscales mean the same for a major and a minor part.
    """

    is_categorical = False
    is_bent = False

    def __init__(self, parameter: CompositionParameter) -> None:
        self.name = parameter.name
        self.names = tuple(part.name for part in parameter.parts)
        self.width = len(self.names)
        self.total = float(parameter.total)
        self.step = parameter.step
        self.max_nonzero = min(parameter.max_nonzero or self.width, self.width)
        self.is_sparse = self.max_nonzero < self.width
        bounds = [part.bounds or (0.0, self.total) for part in parameter.parts]
        self.low = np.array([float(b[0]) for b in bounds])
        self.high = np.minimum([float(b[1]) for b in bounds], self.total)
        self._check_bounds()
        if self.step is not None:
            self._round_bounds_to_steps(self.step)
        self.low = np.maximum(self.low, 0.0)
        narrowed_low = np.maximum(self.low, self.total - (self.high.sum() - self.high))
        narrowed_high = np.minimum(self.high, self.total - (self.low.sum() - self.low))
        self._base = self.low if self.is_sparse else narrowed_low
        self._range = narrowed_high - self._base
        self._range[self._range <= 0] = 0.0
        self.n_free = max(int((self._range > 0).sum()) - 1, 0)
        self.is_discrete = self.step is not None
        self.n_uniform = self.width - 1 + (self.width if self.is_sparse else 0)
        self.size = self._count()

    def _check_bounds(self) -> None:
        slack = CLOSURE * max(1.0, self.total)
        n_needed = int((self.low > 0).sum())
        reach = np.sort(np.where(self.low > 0, 0.0, self.high))[::-1]
        most = self.high[self.low > 0].sum() + reach[: max(self.max_nonzero - n_needed, 0)].sum()
        if np.any(self.low > self.high) or np.any(self.high < 0):
            raise InfeasibleError(
                f"a part of composition '{self.name}' has a lower bound above its upper bound",
                "the lower bound comes first, and no part can exceed the total",
            )
        if self.low.sum() > self.total + slack or most < self.total - slack:
            raise InfeasibleError(
                f"the parts of composition '{self.name}' cannot sum to {self.total:g} "
                f"(least {self.low.sum():g}, most {most:g})",
                "widen the bounds of a part, or change total or max_nonzero",
            )
        if n_needed > self.max_nonzero:
            raise InfeasibleError(
                f"composition '{self.name}' allows {self.max_nonzero} non-zero parts, "
                f"but {n_needed} parts have lower bounds above 0",
                "raise max_nonzero or set lower bounds to 0",
            )

    def _round_bounds_to_steps(self, step: float) -> None:
        n_steps = self.total / step
        self.n_steps = round(n_steps)
        if abs(n_steps - self.n_steps) > 1e-6:
            raise InfeasibleError(
                f"the total {self.total:g} of composition '{self.name}' "
                f"is not a whole number of steps of {step:g}",
                "choose a step that divides the total",
            )
        exponent = Decimal(str(step)).as_tuple().exponent
        self._decimals = max(0, -exponent) if isinstance(exponent, int) else 15
        self.k_low = np.ceil(self.low / step - 1e-9).astype(np.int64)
        self.k_high = np.floor(self.high / step + 1e-9).astype(np.int64)
        self.low, self.high = self.k_low * step, self.k_high * step
        self._check_bounds()

    def _count(self) -> int | None:
        if self.step is None:
            return None if self.n_free else 1
        # Stars and bars: an upper bound on the number of points, exact without upper bounds.
        free = self.n_steps - int(self.k_low.sum())
        bound = math.comb(free + self.width - 1, self.width - 1)
        return bound if bound > _GRID_LIMIT else len(self.grid())

    def encode(self, params: Sequence[Mapping[str, Any]]) -> FloatArray:
        values = [[number(p, name) for name in self.names] for p in params]
        return self._to_unit(np.array(values, dtype=np.float64).reshape(-1, self.width))

    def _to_unit(self, values: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self._range > 0, (values - self._base) / self._range, 0.0)

    def _to_values(self, X: FloatArray) -> FloatArray:
        return np.asarray(self._base + X * self._range)

    def values(self, X: FloatArray) -> dict[str, FloatArray]:
        columns = self._to_values(X)
        return {name: columns[:, i] for i, name in enumerate(self.names)}

    def slopes(self, X: FloatArray) -> FloatArray:
        return np.broadcast_to(self._range, X.shape)

    def decode(self, X: FloatArray) -> dict[str, list[Any]]:
        values = self._allowed(self._to_values(X))
        return {name: values[:, i].tolist() for i, name in enumerate(self.names)}

    def snap(self, X: FloatArray) -> FloatArray:
        return self._to_unit(self._allowed(self._to_values(X)))

    def with_part(self, X: FloatArray, part: int, place: float) -> FloatArray:
        """Return X (n, width) with one part at a place of its range, 0 to 1, the others scaled."""
        values = self._to_values(X)
        wanted = self._base[part] + place * self._range[part]
        others = self.total - values[:, part]
        room = self.total - wanted
        equal = np.full_like(values, room / max(self.width - 1, 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = np.where(others[:, None] > 0, values * (room / others)[:, None], equal)
        scaled[:, part] = wanted
        return self._to_unit(scaled)

    def relax(self, X: FloatArray) -> FloatArray:
        values = self._to_values(X)
        return self._to_unit(_project(values, self._support(values), self))

    def _allowed(self, values: FloatArray) -> FloatArray:
        """Return the nearest composition that respects bounds, total, sparsity and step."""
        support = self._support(values)
        values = _project(values, support, self)
        if self.step is not None:
            return self._round(values, support)
        return values

    def _support(self, values: FloatArray) -> BoolArray:
        """Return which parts may be non-zero, (n, width): the largest ones that can reach it."""
        if not self.is_sparse:
            return np.ones(values.shape, dtype=np.bool_)
        needed = self.low > 0
        order = np.argsort(-np.where(needed, np.inf, values), axis=1, kind="stable")
        support = np.zeros(values.shape, dtype=np.bool_)
        np.put_along_axis(support, order[:, : self.max_nonzero], True, axis=1)
        short = np.flatnonzero((support * self.high).sum(axis=1) < self.total * (1 - 1e-12))
        for row in short:
            self._widen(support[row], order[row])
        return support

    def _widen(self, support: BoolArray, order: NDArray[np.intp]) -> None:
        """Swap the smallest removable parts of one row for wider ones until the total fits."""
        chosen = [i for i in order[: self.max_nonzero][::-1] if self.low[i] <= 0]
        for out in chosen:
            if (support * self.high).sum() >= self.total * (1 - 1e-12):
                return
            best = int(np.argmax(np.where(support, -1.0, self.high)))
            if self.high[best] > self.high[out]:
                support[out], support[best] = False, True

    def _round(self, values: FloatArray, support: BoolArray) -> FloatArray:
        """Round to steps by largest remainder, so that the sum stays exact."""
        assert self.step is not None
        k_high = np.where(support, self.k_high, 0)
        exact = values / self.step
        k = np.clip(np.floor(exact + 1e-9), self.k_low, k_high).astype(np.int64)
        while True:
            missing = self.n_steps - k.sum(axis=1)
            if not missing.any():
                break
            sign = np.sign(missing)[:, None]
            room = np.where(sign > 0, k < k_high, k > self.k_low)
            gain = np.where(room, sign * (exact - k), -np.inf)
            best = np.argmax(gain, axis=1)
            rows = np.flatnonzero((missing != 0) & room.any(axis=1))
            if len(rows) == 0:
                break
            k[rows, best[rows]] += sign[rows, 0]
        return np.round(k * self.step, self._decimals)

    def sample(self, U: FloatArray) -> FloatArray:
        """Uniform on the simplex between the lower bounds; beyond an upper bound, a NaN row."""
        n = len(U)
        low = self.low.copy()
        high = self.high.copy()
        if self.step is not None:
            # Half a step of margin gives edge compositions the same share as inner ones.
            low, high = low - 0.5 * self.step, high + 0.5 * self.step
        support = np.ones((n, self.width), dtype=np.bool_)
        if self.is_sparse:
            keys = np.where(self.low > 0, 2.0, U[:, self.width - 1 :])
            support = self._support(keys)
        shares = _uniform_simplex(U[:, : self.width - 1], support)
        low_rows, high_rows = np.where(support, low, 0.0), np.where(support, high, 0.0)
        spare = self.total - low_rows.sum(axis=1, keepdims=True)
        values = low_rows + shares * spare
        is_inside = np.all(values <= high_rows + 1e-12 * self.total, axis=1)
        if self.step is not None:
            values = self._round(np.clip(values, self.low, self.high), support)
        X = self._to_unit(values)
        X[~is_inside] = np.nan
        return X

    def fault(self, params: Mapping[str, Any]) -> str | None:
        values = np.array([number(params, name) for name in self.names])
        slack = CLOSURE * max(1.0, self.total)
        for name, value, low, high in zip(self.names, values, self.low, self.high, strict=True):
            if not low - slack <= value <= high + slack:
                return f"'{name}' = {value} is outside [{low}, {high}]"
            if self.step is not None and abs(value / self.step - round(value / self.step)) > 1e-6:
                return f"'{name}' = {value} is not a multiple of the step {self.step:g}"
        if abs(math.fsum(values) - self.total) > slack:
            return f"the parts of '{self.name}' sum to {math.fsum(values)}, not {self.total:g}"
        if np.count_nonzero(values) > self.max_nonzero:
            return f"more than {self.max_nonzero} parts of '{self.name}' are non-zero"
        return None

    def neighbours(self, x: FloatArray) -> FloatArray:
        """Return compositions with one step moved from one part to another."""
        if self.step is None:
            return np.empty((0, self.width))
        values = self._allowed(self._to_values(x[None]))[0]
        moves = np.eye(self.width)[:, None] - np.eye(self.width)[None]
        moved = values + self.step * moves.reshape(-1, self.width)
        inside = np.all((moved > self.low - 1e-9) & (moved < self.high + 1e-9), axis=1)
        return self._to_unit(moved[inside & np.any(moved != values, axis=1)])

    def neutral(self) -> FloatArray:
        return np.asarray(self.snap(np.full((1, self.width), 0.5))[0])

    def grid(self) -> FloatArray:
        """Return every composition on the steps; only small grids are ever asked for."""
        assert self.step is not None or self.n_free == 0
        if self.step is None:
            return np.zeros((1, self.width))
        free = self.n_steps - int(self.k_low.sum())
        bars = np.array(
            list(combinations(range(free + self.width - 1), self.width - 1)), dtype=np.int64
        ).reshape(-1, self.width - 1)
        ends = np.full((len(bars), 1), free + self.width - 1)
        k = np.diff(np.hstack([np.full((len(bars), 1), -1), bars, ends]), axis=1) - 1 + self.k_low
        is_allowed = np.all(k <= self.k_high, axis=1)
        is_allowed &= np.count_nonzero(k, axis=1) <= self.max_nonzero
        return self._to_unit(np.round(k[is_allowed] * self.step, self._decimals))


def _uniform_simplex(U: FloatArray, support: BoolArray) -> FloatArray:
    """Turn (n, k - 1) uniform numbers into shares that are uniform on the supported face, (n, k).

    Breaks a stick from the front: with j supported parts still to follow, a part takes the share
    1 - u^(1/j) of what is left (the Beta(1, j) marginal of a flat Dirichlet distribution).
    """
    n, width = support.shape
    after: NDArray[np.int64] = np.cumsum(support[:, ::-1], axis=1)[:, ::-1] - support
    left = np.ones(n)
    shares = np.zeros((n, width))
    for j in range(width):
        is_last: BoolArray = after[:, j] == 0
        u = U[:, j] if j < width - 1 else np.zeros(n)
        share = np.where(is_last, 1.0, 1.0 - u ** (1.0 / np.maximum(after[:, j], 1)))
        shares[:, j] = np.where(support[:, j], left * share, 0.0)
        left = left - shares[:, j]
    return np.clip(shares, 0.0, 1.0)


def _project(values: FloatArray, support: BoolArray, composition: Composition) -> FloatArray:
    """Return the nearest points (n, k) with the right total between the bounds.

    The nearest point is clip(v - t, low, high) for one t per row. The sum falls piecewise linearly
    in t with kinks at v - low and v - high, so t follows exactly from the two kinks around it.
    """
    low = np.where(support, composition.low, 0.0)
    high = np.where(support, composition.high, 0.0)
    total = composition.total
    clipped = np.clip(values, low, high)
    wrong = np.flatnonzero(np.abs(clipped.sum(axis=1) - total) > 1e-14 * total)
    if len(wrong) == 0:
        return clipped
    v, low_w, high_w = values[wrong], low[wrong], high[wrong]
    kinks = np.sort(np.concatenate([v - low_w, v - high_w], axis=1), axis=1)
    sums = np.clip(v[:, None, :] - kinks[:, :, None], low_w[:, None], high_w[:, None]).sum(axis=2)
    right = np.clip((sums > total).sum(axis=1), 1, kinks.shape[1] - 1)
    rows = np.arange(len(wrong))
    t0, t1 = kinks[rows, right - 1], kinks[rows, right]
    s0, s1 = sums[rows, right - 1], sums[rows, right]
    slope = np.where(s0 > s1, s0 - s1, 1.0)
    t = np.where(s0 > s1, t0 + (s0 - total) / slope * (t1 - t0), t0)
    clipped[wrong] = np.clip(v - t[:, None], low_w, high_w)
    return clipped
