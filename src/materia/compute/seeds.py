"""Seeds of items, which depend on nothing but the item's place."""

from __future__ import annotations

import numpy as np

_STREAM = 0x3A1F


def seed_of(seed: int, index: int) -> int:
    """Return the seed of one item, the same for any number of processes, attempts and resumes.

    Args:
        seed: Seed of the whole computation, >= 0.
        index: Place of the item, from 0.

    Returns:
        An integer in [0, 2**32), which every numerical library accepts.
    """
    return int(np.random.SeedSequence([seed, index, _STREAM]).generate_state(1)[0])
