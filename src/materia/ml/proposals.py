"""Trials that the engine of campaigns proposes from the scores of earlier ones.

Numbers of a list are neighbours in their order, other values of a list are not; ranges are
continuous or whole, logarithmic where they say so. Which trials come follows from the ranges, the
seed and the scores told: batches have one size on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from materia.errors import StateError
from materia.ml.grid import Trial
from materia.ml.ranges import Range

BATCH = 4

Choices = Sequence[Any]


class Proposals:
    """A search that has begun.

    Args:
        space: Values or a range for each name, as `grid.space` returns them.
        n: Trials to propose; fewer where there are no more different ones.
        seed: Decides every random choice.
    """

    def __init__(self, space: Mapping[str, Choices | Range], n: int, seed: int) -> None:
        self._space = space
        # Names and values of the trials need not be words of a definition.
        self._free = {
            f"p{i}": name
            for i, (name, found) in enumerate(space.items())
            if isinstance(found, Range) or len(found) > 1
        }
        self._asked: list[str] | None = None
        # Here, because every process that scores trials loads this file.
        from materia.engine.campaign import Campaign

        self._campaign = Campaign.from_dict(self._definition(n, seed)) if self._free else None

    def ask(self) -> list[Trial]:
        """Return the next trials, none when the search has ended."""
        if self._campaign is None:
            is_first, self._asked = self._asked is None, []
            return [self._trial({})] if is_first else []
        size = self._campaign.next_batch_size()
        try:
            found = self._campaign.ask(size) if size else []
        except StateError:  # all points of a finite space were asked
            found = []
        self._asked = [candidate.id for candidate in found]
        return [self._trial(candidate.params) for candidate in found]

    def tell(self, scores: Sequence[float | None]) -> None:
        """Take in the scores of the trials asked last, None for one that failed."""
        if self._campaign is not None:
            self._campaign.tell(
                {
                    name: None if score is None else {"score": score}
                    for name, score in zip(self._asked or [], scores, strict=True)
                }
            )

    def _definition(self, n: int, seed: int) -> dict[str, Any]:
        return {
            "name": "hyper-parameters",
            "parameters": [
                _parameter(place, self._space[name]) for place, name in self._free.items()
            ],
            "objectives": [{"name": "score", "direction": "maximize"}],
            "optimizer": {"budget": n, "batch_size": BATCH, "seed": seed},
        }

    def _trial(self, params: Mapping[str, Any]) -> Trial:
        chosen = {self._free[place]: value for place, value in params.items()}
        trial: Trial = {}
        for name, found in self._space.items():
            if isinstance(found, Range):
                trial[name] = chosen[name]
            else:
                trial[name] = found[int(chosen.get(name, 0))]
        return trial


def _parameter(place: str, found: Choices | Range) -> dict[str, Any]:
    if isinstance(found, Range):
        return {
            "name": place,
            "type": "integer" if found.is_whole else "continuous",
            "bounds": [found.low, found.high],
            "log_scale": found.is_log,
        }
    is_ordered = all(isinstance(v, int | float) and not isinstance(v, bool) for v in found)
    order = sorted(range(len(found)), key=found.__getitem__) if is_ordered else range(len(found))
    choices = [str(i) for i in order]
    return {"name": place, "type": "categorical", "choices": choices, "ordered": is_ordered}
