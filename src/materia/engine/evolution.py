"""The next points of a campaign without a surrogate: an initial design, then an evolution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from itertools import takewhile
from typing import Any

import numpy as np

from materia.engine import direct
from materia.engine.candidates import INITIAL_DESIGN, Addition
from materia.engine.objectives import Objectives
from materia.engine.reachable import Key, Params, Reachable, key_of
from materia.engine.replicates import Asked, merged


class Evolving:
    """Proposes points by replaying an evolution from what was told.

    Args:
        reachable: What may be asked.
        objectives: What is optimised.
        batch_size: Of the definition; a generation is no smaller.
    """

    def __init__(self, reachable: Reachable, objectives: Objectives, batch_size: int) -> None:
        self._reachable, self._objectives = reachable, objectives
        self._size = direct.population_size(reachable.space.d, objectives.m, batch_size)
        self._replayed: direct.Replayed | None = None

    def propose(
        self,
        n: int,
        n_design: int,
        asked: Sequence[Asked],
        additions: Sequence[Addition],
        taken: Set[Key],
        rng: np.random.Generator,
    ) -> list[tuple[Params, str]]:
        """Return up to n points with their sources.

        Args:
            n: How many.
            n_design: How many of them belong to the initial design.
            asked: Points so far, in the order of asking.
            additions: Points of the user's own.
            taken: Keys of points that are not asked again.
            rng: Source of all randomness.
        """
        designed = [point for point in asked if point.source not in direct.NAMES]
        evolved = [point for point in asked if point.source in direct.NAMES]
        answers = [(a.params, a.outcomes) for a in additions]
        start = self._told([*answers, *self._answers(filter(self._is_settled, designed))])
        points = self._reachable.design(n if len(start.X) == 0 else min(n, n_design), taken)
        found = [(params, INITIAL_DESIGN) for params in points]
        if len(points) < n:
            # Generations are learnt whole and in order: what comes after a gap waits.
            told = self._told(self._answers(takewhile(self._is_settled, evolved)))
            self._replayed = direct.replay(start, told, self._size, self._replayed)
            evolution, place = self._replayed.evolution, len(evolved) % self._size
            taken = taken | set(map(key_of, points))
            more = direct.proposed(evolution, self._reachable, n - len(points), place, taken, rng)
            found += [(params, evolution.name) for params in more]
        return found

    def _is_settled(self, point: Asked) -> bool:
        return point.is_settled(self._objectives.m)

    def _answers(self, points: Any) -> list[tuple[Params, Mapping[str, Any] | None]]:
        """Return params and outcomes (None: failed) of points."""
        chosen = list(points)
        means = merged(chosen, self._objectives).means.tolist()
        names = self._objectives.names
        return [
            (point.params, None if point.has_failed else dict(zip(names, row, strict=True)))
            for point, row in zip(chosen, means, strict=True)
        ]

    def _told(self, answers: Sequence[tuple[Params, Mapping[str, Any] | None]]) -> direct.Told:
        return direct.Told.of(answers, self._reachable.space, self._objectives)
