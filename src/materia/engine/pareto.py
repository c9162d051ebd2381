"""Pareto fronts and hypervolumes of minimised outcomes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_MANY, _MAX_PIVOTS = 1000, 20


def is_non_dominated(Y: FloatArray) -> BoolArray:
    """Return which rows no other row dominates, (n,).

    A row dominates another when it is nowhere worse and somewhere better; equal rows do not
    dominate each other, so all copies of a front point are on the front. Rows that hold a NaN are
    never on the front and dominate nothing. Two objectives cost O(n log n).

    Args:
        Y: Minimised outcomes, (n, m).
    """
    keep = np.asarray(~np.isnan(Y).any(axis=1))
    rows = _not_struck(Y, np.flatnonzero(keep))
    keep[:] = False
    if len(rows) == 0:
        return keep
    keep[rows] = _sweep(Y[rows]) if Y.shape[1] <= 2 else _filter(Y[rows])
    return keep


def foremost(Y: FloatArray, k: int) -> NDArray[np.intp]:
    """Return rows of the k points that are near the top in some objective, ascending, (<= k,).

    Args:
        Y: Minimised outcomes, (n, m).
        k: How many at most.
    """
    ranks = np.argsort(np.argsort(Y, axis=0, kind="stable"), axis=0, kind="stable")
    order = np.argsort(ranks.min(axis=1) + 1e-6 * ranks.sum(axis=1), kind="stable")
    return np.sort(order[:k])


def _not_struck(Y: FloatArray, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the rows (k,) without those that a few good rows dominate.

    Sorting is what costs in a large cloud, and most of it is dominated by the first rows tried.
    """
    for _ in range(_MAX_PIVOTS):
        if len(rows) < _MANY:
            break
        columns = [Y[rows, j] for j in range(Y.shape[1])]
        pivot = rows[np.argmin(np.max([_scaled(column) for column in columns], axis=0))]
        is_behind = np.ones(len(rows), dtype=np.bool_)
        is_worse = np.zeros(len(rows), dtype=np.bool_)
        for column, value in zip(columns, Y[pivot], strict=True):
            is_behind &= value <= column
            is_worse |= value < column
        left = rows[~(is_behind & is_worse)]
        if len(left) > 0.9 * len(rows):
            break
        rows = left
    return rows


def _scaled(column: FloatArray) -> FloatArray:
    """Return finite values (n,) near [0, 1], for choosing a pivot only."""
    finite = np.clip(column, -1e150, 1e150)
    span = float(np.ptp(finite))
    return np.asarray((finite - finite.min()) / span if span > 0 else finite * 0.0)


def _sweep(Y: FloatArray) -> BoolArray:
    """Front of one or two objectives: in order of the first, each new least second is on it."""
    if Y.shape[1] == 1:
        return np.asarray(Y[:, 0] == Y[:, 0].min())
    order = np.lexsort((Y[:, 1], Y[:, 0]))
    first, second = Y[order, 0], Y[order, 1]
    before = np.append(np.inf, np.minimum.accumulate(second)[:-1])
    is_on = second < before
    is_on[0] = True
    # Copies of a front point follow it at once.
    is_copy = np.append(False, (first[1:] == first[:-1]) & (second[1:] == second[:-1]))
    leader = np.maximum.accumulate(np.where(is_copy, 0, np.arange(len(Y))))
    keep = np.empty(len(Y), dtype=np.bool_)
    keep[order] = is_on[leader]
    return keep


def _filter(Y: FloatArray) -> BoolArray:
    """Front of any number of objectives."""
    import moocore

    if not np.isfinite(Y).all():
        # moocore takes an infinity for worse than everything; ranks have none.
        Y = np.column_stack([np.unique(y, return_inverse=True)[1] for y in Y.T]).astype(np.float64)
    return np.asarray(moocore.is_nondominated(Y, keep_weakly=True), dtype=np.bool_)


def hypervolume(Y: FloatArray, reference_point: FloatArray) -> float:
    """Return the volume that the rows dominate below the reference point.

    Args:
        Y: Minimised outcomes, (n, m); rows with NaN or beyond the reference count nothing.
        reference_point: (m,).
    """
    inside = Y[np.all(reference_point > Y, axis=1)]
    if len(inside) == 0:
        return 0.0
    if inside.shape[1] == 1:
        return float(reference_point[0] - inside.min())
    import moocore

    # What is dominated or repeated adds nothing.
    return float(moocore.hypervolume(inside, ref=reference_point))
