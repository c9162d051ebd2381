"""Pareto fronts and hypervolumes of minimised outcomes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


def is_non_dominated(Y: FloatArray) -> BoolArray:
    """Return which rows no other row dominates, (n,).

    A row dominates another when it is nowhere worse and somewhere better; equal rows do not
    dominate each other, so all copies of a front point are on the front. Rows that hold a NaN are
    never on the front and dominate nothing. Two objectives cost O(n log n).

    Args:
        Y: Minimised outcomes, (n, m).
    """
    keep = np.asarray(~np.isnan(Y).any(axis=1))
    rows = np.flatnonzero(keep)
    if len(rows) == 0:
        return keep
    unique, inverse = np.unique(Y[rows], axis=0, return_inverse=True)
    on_front = _sweep(unique) if Y.shape[1] <= 2 else _filter(unique)
    keep[rows] = on_front[inverse.reshape(-1)]
    return keep


def _sweep(Y: FloatArray) -> BoolArray:
    """Front of distinct rows in lexicographic order: each new least last column is on it."""
    last = Y[:, -1]
    least = np.minimum.accumulate(last)
    before = np.append(np.inf, least[:-1])
    is_first = np.append(True, np.zeros(len(Y) - 1, dtype=np.bool_))
    return np.asarray(is_first if Y.shape[1] == 1 else (last < before) | is_first)


def _filter(Y: FloatArray) -> BoolArray:
    """Front of distinct rows: each surviving row strikes out what it dominates."""
    order = np.argsort(_ranks(Y).sum(axis=1), kind="stable")
    left = order
    front = np.zeros(len(Y), dtype=np.bool_)
    while len(left):
        # The least sum of ranks among the rest is dominated by nobody.
        first, left = left[0], left[1:]
        front[first] = True
        left = left[np.any(Y[left] < Y[first], axis=1)]
    return front


def _ranks(Y: FloatArray) -> FloatArray:
    ranks = np.empty(Y.shape)
    for j in range(Y.shape[1]):
        ranks[:, j] = np.unique(Y[:, j], return_inverse=True)[1].reshape(-1)
    return ranks


def hypervolume(Y: FloatArray, reference_point: FloatArray) -> float:
    """Return the volume that the rows dominate below the reference point.

    Args:
        Y: Minimised outcomes, (n, m); rows with NaN or beyond the reference count nothing.
        reference_point: (m,).
    """
    inside = Y[np.all(reference_point > Y, axis=1)]
    if len(inside) == 0:
        return 0.0
    front = np.unique(inside[is_non_dominated(inside)], axis=0)
    if front.shape[1] == 1:
        return float(reference_point[0] - front[0, 0])
    if front.shape[1] == 2:
        tops = np.append(reference_point[1], front[:-1, 1])
        return float(np.sum((reference_point[0] - front[:, 0]) * (tops - front[:, 1])))
    import moocore

    return float(moocore.hypervolume(front, ref=reference_point))
