"""The search space: the only crossing between `params` (user's units) and `X` (unit cube)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine.composition import Composition
from materia.engine.conditions import Conditions
from materia.engine.parameters import Categorical, Continuous, Integer, ParameterKind
from materia.errors import DataError
from materia.mdl.definition import (
    CategoricalParameter,
    CompositionParameter,
    ContinuousParameter,
    Definition,
    IntegerParameter,
)

FloatArray = NDArray[np.float64]
Params = dict[str, Any]


class SearchSpace:
    """All parameters of a definition side by side.

    Attributes:
        names: Keys of `params`, in the order of declaration; column j of `X` belongs to name j.
        d: Columns of `X`.
        columns: Columns of each declared parameter, in the order of `kinds`.
        n_free: Dimensions that can really vary (a composition has one less than parts).
        size: Number of points when all parameters are finite, else None. An upper bound for
            compositions with many steps, and where parameters are conditional.
        categorical: Columns without an order.
        sparse: Columns of compositions that must leave some parts out.
        discrete: Columns that take only some values, categorical ones included, (d,).
        conditions: Which parameters exist where.
    """

    def __init__(self, definition: Definition) -> None:
        self._declared = definition.parameters
        self.kinds = [_kind(parameter) for parameter in definition.parameters]
        self.names = tuple(name for kind in self.kinds for name in kind.names)
        edges = np.cumsum([0] + [kind.width for kind in self.kinds])
        self.columns = [slice(int(a), int(b)) for a, b in pairwise(edges)]
        self.d = int(edges[-1])
        self.n_free = sum(kind.n_free for kind in self.kinds)
        self.n_uniform = sum(kind.n_uniform for kind in self.kinds)
        self.categorical = tuple(
            c.start for kind, c in zip(self.kinds, self.columns, strict=True) if kind.is_categorical
        )
        self.discrete = np.concatenate(
            [np.full(kind.width, kind.is_discrete) for kind in self.kinds]
        )
        self.sparse = [
            c
            for kind, c in zip(self.kinds, self.columns, strict=True)
            if isinstance(kind, Composition) and kind.is_sparse
        ]
        self.conditions = Conditions(definition, self.kinds, self.columns)
        self.size = self._count()

    def _count(self) -> int | None:
        size = 1
        for kind in self.kinds:
            if kind.size is None:
                return None
            size *= kind.size
        return size

    def encode(self, params: Sequence[Mapping[str, Any]]) -> FloatArray:
        """Return (n, d); values beyond a numeric bound give entries beyond 0 or 1.

        Raises:
            DataError: A parameter is missing, unknown, or cannot be placed.
        """
        for p in params:
            self.check_names(p)
        if not params:
            return np.empty((0, self.d))
        if not self.conditions:
            return np.hstack([kind.encode(params) for kind in self.kinds])
        exist = np.array([self.conditions.exist_in(p) for p in params])
        X = np.empty((len(params), self.d))
        for kind, column, has in zip(self.kinds, self.columns, exist.T, strict=True):
            if has.any():
                X[has, column] = kind.encode([p for p, own in zip(params, has, strict=True) if own])
        return self.conditions.settle(X, exist)

    def completed(self, params: Mapping[str, Any]) -> Params:
        """Return `params` in declared order, None for every parameter that does not exist there.

        Raises:
            DataError: A parameter is missing or unknown, or has a value where it does not exist.
        """
        self.check_names(params)
        return {name: params.get(name) for name in self.names}

    def check_names(self, params: Mapping[str, Any]) -> None:
        """Raise a DataError unless `params` name all parameters that exist there, and no other.

        A parameter that does not exist may be left out or None.
        """
        absent = self.absent(params)
        given = [name for name in absent if params.get(name) is not None]
        if given:
            raise DataError(
                f"'{given[0]}' is {params[given[0]]!r} where it does not exist",
                f"it exists {self.when(given[0])}; leave it out, or empty, elsewhere",
            )
        expected = [name for name in self.names if name not in absent]
        missing = [name for name in expected if name not in params]
        if self.conditions:
            missing = [name for name in expected if params.get(name) is None]
        unknown = [str(name) for name in params if name not in self.names]
        if missing or unknown:
            parts = [f"missing {', '.join(missing)}"] if missing else []
            parts += [f"unknown {', '.join(unknown)}"] if unknown else []
            raise DataError(
                f"params do not match the search space: {'; '.join(parts)}",
                f"exactly these are expected: {', '.join(expected)}",
            )

    def absent(self, params: Mapping[str, Any]) -> list[str]:
        """Return the parameters that do not exist in `params`."""
        if not self.conditions:
            return []
        pairs = zip(self.kinds, self.conditions.exist_in(params), strict=True)
        return [name for kind, exists in pairs if not exists for name in kind.names]

    def when(self, name: str) -> str:
        """Return in words where a conditional parameter exists."""
        return next(
            " and ".join(
                f"where {parent} is {' or '.join(str(value) for value in values)}"
                for parent, values in (parameter.when or {}).items()
            )
            for parameter, kind in zip(self._declared, self.kinds, strict=True)
            if name in kind.names
        )

    def exists(self, X: FloatArray, columns: Sequence[int]) -> NDArray[np.bool_]:
        """Return at which points (n, d) all parameters of these columns exist, (n,)."""
        if not self.conditions:
            return np.ones(len(X), dtype=np.bool_)
        return np.asarray(self.conditions.existing_columns(X)[:, columns].all(axis=1))

    def exists_any(self, X: FloatArray, name: str) -> bool:
        """Return whether some of the points (n, d) have a parameter."""
        return bool(self.exists(X, [self.names.index(name)]).any())

    def decode(self, X: FloatArray) -> list[Params]:
        """Return the nearest allowed `params` of each row, in Python's own types."""
        columns: dict[str, list[Any]] = {}
        for kind, part in self._parts(X):
            columns.update(kind.decode(part))
        if self.conditions:
            for kind, exists in zip(self.kinds, self.conditions.exist(X).T, strict=True):
                for name in kind.names:
                    pairs = zip(columns[name], exists, strict=True)
                    columns[name] = [value if has else None for value, has in pairs]
        return [
            dict(zip(self.names, row, strict=True))
            for row in zip(*(columns[name] for name in self.names), strict=True)
        ]

    def _parts(self, X: FloatArray) -> list[tuple[ParameterKind, FloatArray]]:
        return [(kind, X[:, c]) for kind, c in zip(self.kinds, self.columns, strict=True)]

    def values(self, X: FloatArray) -> dict[str, FloatArray]:
        """Return each parameter in the user's units, (n,) per name, without snapping."""
        columns: dict[str, FloatArray] = {}
        for kind, part in self._parts(X):
            columns.update(kind.values(part))
        return columns

    def slopes(self, X: FloatArray) -> FloatArray:
        """Return the derivative of `values` along each column, (n, d)."""
        return np.hstack([kind.slopes(part) for kind, part in self._parts(X)])

    def neighbours(self, x: FloatArray) -> FloatArray:
        """Return points (n, d) that differ from x (d,) in one discrete parameter."""
        rows = []
        for kind, column in zip(self.kinds, self.columns, strict=True):
            others = kind.neighbours(x[column])
            block = np.tile(x, (len(others), 1))
            block[:, column] = others
            rows.append(block)
        X = self.conditions.settle(np.vstack(rows))
        return X[np.any(x != X, axis=1)] if self.conditions else X

    def is_linear(self, columns: Sequence[int]) -> bool:
        """Return whether the values of these columns are linear in X."""
        bent = {c.start for kind, c in zip(self.kinds, self.columns, strict=True) if kind.is_bent}
        return bent.isdisjoint(columns)

    def totals(self) -> FloatArray:
        """Return one row (k, d) per composition: moves across it would change the total."""
        rows = []
        for kind, column in zip(self.kinds, self.columns, strict=True):
            if isinstance(kind, Composition):
                row = np.zeros(self.d)
                row[column] = kind.slopes(np.zeros((1, kind.width)))[0]
                rows.append(row)
        return np.array(rows).reshape(-1, self.d)

    def snap(self, X: FloatArray) -> FloatArray:
        """Return the nearest allowed points, (n, d); linear constraints are not looked at."""
        snapped = np.hstack([kind.snap(part) for kind, part in self._parts(X)])
        return self.conditions.settle(snapped)

    def relax(self, X: FloatArray) -> FloatArray:
        """Return the nearest points (n, d) inside bounds and totals; steps are not looked at."""
        relaxed = np.hstack([kind.relax(part) for kind, part in self._parts(X)])
        return self.conditions.settle(relaxed)

    def sample(self, U: FloatArray) -> FloatArray:
        """Turn quasi-random numbers (n, n_uniform) into points; rejected rows hold NaN."""
        parts, start = [], 0
        for kind in self.kinds:
            parts.append(kind.sample(U[:, start : start + kind.n_uniform]))
            start += kind.n_uniform
        return self.conditions.settle(np.hstack(parts))

    def fault(self, params: Mapping[str, Any]) -> str | None:
        """Return why `params` are outside bounds, choices, steps or totals, or None."""
        self.check_names(params)
        exist = self.conditions.exist_in(params)
        faults = (kind.fault(params) for kind, has in zip(self.kinds, exist, strict=True) if has)
        return next((fault for fault in faults if fault), None)

    def contains(self, params: Mapping[str, Any]) -> bool:
        """Return whether `params` respect bounds, choices, steps and totals."""
        return self.fault(params) is None

    def grid(self) -> FloatArray:
        """Return every point of a finite space, (n <= size, d), in a fixed order."""
        grids = [kind.grid() for kind in self.kinds]
        places = np.indices([len(grid) for grid in grids]).reshape(len(grids), -1)
        X = np.hstack([grid[place] for grid, place in zip(grids, places, strict=True)])
        if self.conditions:
            # Points that differ only in what does not exist there are one.
            _, first = np.unique(self.conditions.settle(X), axis=0, return_index=True)
            X = self.conditions.settle(X[np.sort(first)])
        return X


def _kind(parameter: Any) -> ParameterKind:
    if isinstance(parameter, ContinuousParameter):
        return Continuous(parameter)
    if isinstance(parameter, IntegerParameter):
        return Integer(parameter)
    if isinstance(parameter, CategoricalParameter):
        return Categorical(parameter)
    assert isinstance(parameter, CompositionParameter)
    return Composition(parameter)
