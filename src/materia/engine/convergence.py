"""When a campaign counts as converged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine.objectives import Objectives

FloatArray = NDArray[np.float64]


# How many standard deviations above the expected gain still count.
_SURE = 2.0


def reached(Y: FloatArray, objectives: Objectives) -> int | None:
    """Return the first row that is good enough in every objective that says what is, or None.

    Args:
        Y: Minimised outcomes that count, (n, m).
        objectives: With their `stop_at`.
    """
    declared = ~np.isnan(objectives.stop_at)
    if not declared.any():
        return None
    is_enough = np.all(Y[:, declared] <= objectives.stop_at[declared], axis=1)
    return int(np.argmax(is_enough)) if is_enough.any() else None


def advice(gain: Mapping[str, float], threshold: float, scale: float) -> str:
    """Return "stop" where the gain that is left is surely below the threshold, else "go on".

    Args:
        gain: Mean and std of the gain that the surrogate still expects.
        threshold: Share of the scale that counts as progress.
        scale: What a large gain is; 0 where there is none.
    """
    is_small = gain["mean"] + _SURE * gain["std"] < threshold * scale
    return "stop" if is_small else "go on"


def scale_of(reached: float, objectives: Objectives, initial: FloatArray) -> float:
    """Return the fixed scale that gains are compared with, 0 where there is none.

    Args:
        reached: Hypervolume of several objectives.
        objectives: What is optimised.
        initial: Outcomes of the initial design, (n, m), in the user's units.
    """
    if objectives.m > 1:
        return reached
    Y = objectives.minimised(initial[~np.isnan(initial).any(axis=1)])
    return float(np.ptp(Y)) if len(Y) else 0.0


def reason(
    trace: Sequence[dict[str, Any]],
    first: int,
    patience: int | None,
    threshold: float,
    objectives: Objectives,
    initial: FloatArray,
) -> str | None:
    """Return why the campaign has converged, or None.

    The gain of the last `patience` iterations together is compared with a fixed scale: the
    hypervolume reached, or for one objective the range of the initial design.

    Args:
        trace: As of `Standing.trace`, iterations that are answered in full.
        first: Last iteration of the initial design; gains count from there on.
        patience: Iterations looked back; None switches the rule off.
        threshold: Share of the scale that still counts as progress.
        objectives: What is optimised.
        initial: Outcomes of the initial design, (n, m), in the user's units.
    """
    if patience is None or len(trace) <= first:
        return None
    what = "hypervolume" if objectives.m > 1 else "best"
    raw = [entry[what] for entry in trace[first:]]
    if any(value is None for value in raw):
        return None
    values = [float(value) for value in raw]
    scale = scale_of(values[-1], objectives, initial)
    if objectives.m == 1:
        values = objectives.minimised(np.array(values)[:, None])[:, 0].tolist()
    if not stalled(values, patience, threshold, scale):
        return None
    named = "hypervolume" if objectives.m > 1 else f"best '{objectives.names[0]}'"
    return f"{patience} iterations moved the {named} by less than {threshold:g} of its scale"


def stalled(values: Sequence[float], patience: int, threshold: float, scale: float) -> bool:
    """Return whether the last `patience` steps together moved less than a share of the scale.

    Args:
        values: A series that only ever gets better, one value per iteration.
        patience: Number of iterations looked back.
        threshold: Share of the scale that still counts as progress.
        scale: What a large move is, in the unit of the values; a campaign without any scale (all
            outcomes equal, nothing below the reference point yet) has not stalled but not begun.
    """
    if len(values) <= patience or not scale > 0:
        return False
    return abs(values[-1] - values[-1 - patience]) < threshold * scale
