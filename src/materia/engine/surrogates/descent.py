"""Descent to a minimum within bounds by BFGS steps, which may know the curvature beforehand.

A function of ten variables whose value costs a millisecond leaves no time for an optimiser's own
bookkeeping; and where a similar function was minimised before, its curvature saves most of the
steps. J. Nocedal, S. J. Wright, "Numerical optimization" (2006), eq. 6.19; step lengths satisfy the
weak Wolfe conditions by bisection (A. S. Lewis, M. L. Overton, Math. Program. 141, 2013).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Function = Callable[[FloatArray], tuple[float, FloatArray]]

# Shares of the slope that a step must gain at least, and may leave at most.
_GAIN, _LEFT = 1e-4, 0.9
_MAX_TRIALS, _MAX_STEP = 12, 2.0


@dataclass(frozen=True)
class Bottom:
    """Where a descent ended.

    Attributes:
        x: The point, (k,).
        value: There.
        curvature: Estimate of the second derivatives, (k, k); None where no step was taken.
    """

    x: FloatArray
    value: float
    curvature: FloatArray | None


def descend(
    function: Function,
    start: FloatArray,
    low: FloatArray,
    high: FloatArray,
    curvature: FloatArray | None = None,
    *,
    max_steps: int,
    tolerance: float,
) -> Bottom:
    """Return the minimum that is reached from a point.

    Args:
        function: Value and gradient (k,) at a point (k,).
        start: (k,).
        low: Least coordinates, (k,).
        high: Greatest coordinates, (k,).
        curvature: Guess of the second derivatives, (k, k), positive definite; None if unknown.
        max_steps: Each costs one call of the function, and seldom more.
        tolerance: Ends when a step promises less than this, or gains less than a tenth of it.
    """
    x, B = np.clip(start, low, high), curvature
    value, slope = function(x)
    for _ in range(max_steps):
        step = _step(x, slope, low, high, B)
        if B is not None and -0.5 * float(step @ slope) < tolerance:
            break
        found = _along(function, x, value, slope, step, low, high)
        if found is None:
            break
        moved, before, turned = found[0] - x, value, found[2] - slope
        x, value, slope = found
        B = _learnt(B, moved, turned)
        if before - value < 0.1 * tolerance:
            break
    return Bottom(x, value, B)


def _step(
    x: FloatArray, slope: FloatArray, low: FloatArray, high: FloatArray, B: FloatArray | None
) -> FloatArray:
    """Return the step to the minimum of the quadratic model along all that is free to move."""
    is_held = ((x <= low) & (slope > 0.0)) | ((x >= high) & (slope < 0.0))
    free = np.flatnonzero(~is_held)
    step = np.zeros_like(x)
    steepest = -slope[free] / max(1.0, float(np.sum(np.abs(slope[free]))))
    try:
        step[free] = steepest if B is None else np.linalg.solve(B[np.ix_(free, free)], -slope[free])
    except np.linalg.LinAlgError:
        step[free] = steepest
    return step * min(1.0, _MAX_STEP / max(float(np.max(np.abs(step))), 1e-300))


def _along(
    function: Function,
    x: FloatArray,
    value: float,
    slope: FloatArray,
    step: FloatArray,
    low: FloatArray,
    high: FloatArray,
) -> tuple[FloatArray, float, FloatArray] | None:
    """Return point, value and gradient a good length along a step, or None where none is lower."""
    shortest, longest, share = 0.0, np.inf, 1.0
    best: tuple[FloatArray, float, FloatArray] | None = None
    for _ in range(_MAX_TRIALS):
        there = np.clip(x + share * step, low, high)
        fall = float(slope @ (there - x))
        found, its_slope = function(there)
        if not found <= value + _GAIN * fall or fall >= 0.0:
            if best is not None:
                return best
            longest = share
            # The parabola through value, slope and what was found.
            rise = found - value - fall
            guess = -0.5 * fall / rise if np.isfinite(rise) and rise > 0.0 else 0.5
            share = shortest + (longest - shortest) * min(max(guess, 0.1), 0.5)
            continue
        best = there, found, its_slope
        if float(its_slope @ (there - x)) >= _LEFT * fall:
            return best
        shortest = share
        share = 0.5 * (shortest + longest) if np.isfinite(longest) else 4.0 * share
    return best


def _learnt(B: FloatArray | None, s: FloatArray, y: FloatArray) -> FloatArray | None:
    """Return the curvature after a step s (k,) that changed the gradient by y (k,)."""
    sy = float(s @ y)
    if not sy > 1e-10 * float(np.linalg.norm(s) * np.linalg.norm(y)):
        return B
    if B is None:
        B = np.eye(len(s)) * (float(y @ y) / sy)
    Bs = B @ s
    return np.asarray(B + np.multiply.outer(y, y) / sy - np.multiply.outer(Bs, Bs) / float(s @ Bs))
