"""When a campaign counts as converged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine.objectives import Objectives

FloatArray = NDArray[np.float64]


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
    scale = values[-1]
    if objectives.m == 1:
        values = objectives.minimised(np.array(values)[:, None])[:, 0].tolist()
        Y = objectives.minimised(initial[~np.isnan(initial).any(axis=1)])
        scale = float(np.ptp(Y)) if len(Y) else 0.0
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
