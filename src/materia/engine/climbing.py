"""Finish of a search over the unit cube: quasi-Newton steps of several points in lock step.

Slopes are forward differences, so that nothing needs a gradient of its own; like the runs of
`cmaes`, all points share one call of the function. Where CMA-ES takes fifty generations to narrow
down on a maximum, this takes five to ten steps. BFGS: J. Nocedal, S. J. Wright, "Numerical
optimization" (2006), eq. 6.17; at the bounds the slope is projected.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_DIFFERENCE = 1e-6
# Shares of the step that are tried at once, and its greatest length. The first step knows no
# curvature yet.
_SHARES = np.array([1.0, 0.3, 0.08, 0.01])
_FIRST_LENGTH, _LENGTH = 0.03, 0.3
# A point whose step gained no more than this goes no further.
_STALL_GAIN = 1e-5
_N_TRIAL_STEPS = 3


def climb(
    function: Callable[[FloatArray], FloatArray],
    starts: FloatArray,
    values: FloatArray,
    columns: NDArray[np.intp],
    *,
    n_steps: int,
    n_kept: int | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return where each point got to, (r, d), and its value, (r,); never below where it began.

    Args:
        function: Values (n,) of points (n, d) of the unit cube; larger is better. Smooth near the
            starts, or little is gained.
        starts: (r, d).
        values: Of the starts, (r,).
        columns: Those along which points may move, (k,).
        n_steps: Most steps of a point, of k + 4 values each. It stops where a step gains little.
        n_kept: Only so many, the best, go on after the first few steps; by default all.
    """
    r, d = starts.shape
    x, best = starts.copy(), values.copy()
    slope, moved = np.zeros((r, d)), np.zeros((r, d))
    inverse = np.broadcast_to(np.eye(d), (r, d, d)).copy()
    is_first = np.ones(r, dtype=np.bool_)
    going = np.arange(r)
    for n_done in range(n_steps):
        if n_kept is not None and n_done == _N_TRIAL_STEPS and len(going) > n_kept:
            going = going[np.sort(np.argsort(-best[going], kind="stable")[:n_kept])]
        now = _slope(function, x[going], best[going], columns)
        inverse[going], is_first[going] = _learnt(
            inverse[going], is_first[going], moved[going], slope[going] - now
        )
        slope[going] = now
        step = _steps(x[going], now, inverse[going], is_first[going])
        tried = np.clip(x[going, None] + _SHARES[:, None] * step[:, None], 0.0, 1.0)
        found = function(tried.reshape(-1, d)).reshape(len(going), -1)
        rows, top = np.arange(len(going)), np.argmax(found, axis=1)
        with np.errstate(invalid="ignore"):
            gain = found[rows, top] - best[going]
        is_better = gain > 0.0
        moved[going] = np.where(is_better[:, None], tried[rows, top] - x[going], 0.0)
        x[going] += moved[going]
        best[going] = np.where(is_better, found[rows, top], best[going])
        going = going[is_better & (gain > _STALL_GAIN)]
        if len(going) == 0:
            break
    return x, best


def _steps(
    x: FloatArray, slope: FloatArray, inverse: FloatArray, is_first: NDArray[np.bool_]
) -> FloatArray:
    """Return the steps to try, (r, d), none of them out of the cube from where x is held."""
    is_held = ((x <= 0.0) & (slope < 0.0)) | ((x >= 1.0) & (slope > 0.0))
    free = np.where(is_held, 0.0, slope)
    step = np.where(is_held, 0.0, np.einsum("rij,rj->ri", inverse, free))
    is_downhill = np.sum(step * free, axis=1) <= 0.0
    step[is_downhill] = free[is_downhill]
    length = np.sqrt(np.sum(step * step, axis=1))
    longest = np.where(is_first, _FIRST_LENGTH, _LENGTH)
    return np.asarray(step * np.minimum(1.0, longest / np.maximum(length, 1e-300))[:, None])


def _slope(
    function: Callable[[FloatArray], FloatArray],
    x: FloatArray,
    values: FloatArray,
    columns: NDArray[np.intp],
) -> FloatArray:
    """Return slopes at x, (r, d), by differences that stay inside; 0 where there is none."""
    r, d = x.shape
    h = np.where(x + _DIFFERENCE > 1.0, -_DIFFERENCE, _DIFFERENCE)
    beside = x[:, None] + h[:, None] * np.eye(d)[columns]
    slope = np.zeros((r, d))
    with np.errstate(invalid="ignore"):
        rise = function(beside.reshape(-1, d)).reshape(r, -1) - values[:, None]
        slope[:, columns] = rise / h[:, columns]
    return np.where(np.isfinite(slope), slope, 0.0)


def _learnt(
    inverse: FloatArray, is_first: NDArray[np.bool_], s: FloatArray, y: FloatArray
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the inverse of the negative curvature, (r, d, d), and who still knows none of it.

    Args:
        inverse: Changed where the curvature along the step is that of a maximum.
        is_first: Points that knew no curvature yet, (r,); changed with it.
        s: Steps, (r, d).
        y: By how much the slopes fell over them, (r, d).
    """
    d = s.shape[1]
    sy = np.sum(s * y, axis=1)
    for i in np.flatnonzero(sy > 1e-12):
        if is_first[i]:
            inverse[i] = np.eye(d) * (sy[i] / float(y[i] @ y[i]))
            is_first[i] = False
        V = np.eye(d) - np.multiply.outer(s[i], y[i]) / sy[i]
        inverse[i] = V @ inverse[i] @ V.T + np.multiply.outer(s[i], s[i]) / sy[i]
    return inverse, is_first
