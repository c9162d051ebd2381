"""What a Pareto front leaves to be gained, as disjoint boxes for any number of objectives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# Of three to five objectives, 60 points on the front leave about 400, 2000 and 14 000 boxes.
MAX_BOXES = 10_000
_KEPT = 0.9


def non_dominated_boxes(
    front: FloatArray, reference_point: FloatArray, max_boxes: int = MAX_BOXES
) -> tuple[FloatArray, FloatArray]:
    """Return lower and upper corners, each (b, m), of boxes that cover what nothing dominates.

    The boxes are disjoint, lie below the reference point, are open downwards (-inf), and together
    hold exactly the points that no point of the front dominates. Where that takes too many boxes,
    the points of the front that add least to the hypervolume are left out.

    Args:
        front: Minimised outcomes, (k, m), k >= 0; those not below the reference point count
            nothing.
        reference_point: (m,).
        max_boxes: Bounds memory and time.
    """
    inside = np.unique(front[np.all(front < reference_point, axis=1)], axis=0)
    while (boxes := _swept(inside, reference_point, max_boxes)) is None:
        inside = _most_contributing(inside, reference_point)
    return boxes


def _most_contributing(front: FloatArray, reference_point: FloatArray) -> FloatArray:
    import moocore

    contributions = moocore.hv_contributions(front, ref=reference_point)
    order = np.argsort(-contributions, kind="stable")
    return front[np.sort(order[: max(1, int(_KEPT * len(front)))])]


def _swept(
    front: FloatArray, reference_point: FloatArray, max_boxes: int
) -> tuple[FloatArray, FloatArray] | None:
    """Return the boxes, or None when there are too many.

    A sweep along the last objective: each point ends the boxes above it there, and what it leaves
    of each in the other objectives goes on as up to m - 1 disjoint boxes.
    """
    m = len(reference_point)
    low, high = np.full((1, m), -np.inf), reference_point[None].astype(np.float64)
    ended: list[tuple[FloatArray, FloatArray]] = []
    n_ended = 0
    for y in front[np.argsort(front[:, -1], kind="stable")]:
        is_hit = np.all(y[:-1] < high[:, :-1], axis=1)
        part_low, part_high = low[is_hit].copy(), high[is_hit]
        below = part_high.copy()
        below[:, -1] = y[-1]
        is_thick = part_low[:, -1] < y[-1]
        ended.append((part_low[is_thick], below[is_thick]))
        n_ended += int(is_thick.sum())
        part_low[:, -1] = y[-1]
        lows, highs = [low[~is_hit]], [high[~is_hit]]
        for j in range(m - 1):
            is_cut = part_low[:, j] < y[j]
            piece = part_high[is_cut].copy()
            piece[:, j] = y[j]
            lows.append(part_low[is_cut].copy())
            highs.append(piece)
            part_low[:, j] = np.maximum(part_low[:, j], y[j])
        low, high = np.vstack(lows), np.vstack(highs)
        if n_ended + len(low) > max_boxes and len(front) > 1:
            return None
    ended.append((low, high))
    return np.vstack([e[0] for e in ended]), np.vstack([e[1] for e in ended])
