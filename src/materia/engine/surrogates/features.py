"""Columns of `X` as a surrogate sees them: a category becomes one column per level."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Features:
    """The features of observed points.

    Two different categories are at squared distance 1; a level that was not observed is at 1/2 from
    each that was.

    Attributes:
        numeric: Columns with an order.
        categorical: Columns without one.
        levels: What was observed in each of these, (k,) per column.
        group: Column of `X` that each feature belongs to, (p,).
    """

    numeric: NDArray[np.intp]
    categorical: tuple[int, ...]
    levels: tuple[FloatArray, ...]
    group: NDArray[np.intp]

    @classmethod
    def of(cls, X: FloatArray, categorical: tuple[int, ...]) -> Features:
        """Return the features of observed points X, (n, d)."""
        d = X.shape[1]
        numeric = np.array([j for j in range(d) if j not in categorical], dtype=np.intp)
        levels = tuple(np.unique(X[:, j]) for j in categorical)
        group = [np.full(len(level), j) for j, level in zip(categorical, levels, strict=True)]
        return cls(numeric, categorical, levels, np.concatenate([numeric, *group]).astype(np.intp))

    def __call__(self, X: FloatArray) -> FloatArray:
        """Return features of points (n, d), (n, p).

        Centred, because squared distances are formed from inner products.
        """
        parts: list[FloatArray] = [X[:, self.numeric] - 0.5]
        for j, levels in zip(self.categorical, self.levels, strict=True):
            parts.append(np.where(np.abs(X[:, j, None] - levels) < 1e-9, math.sqrt(0.5), 0.0))
        return np.hstack(parts) if len(parts) > 1 else parts[0]
