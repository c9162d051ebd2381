"""When a campaign counts as converged."""

from __future__ import annotations

from collections.abc import Sequence


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
