"""What the surrogate has learnt, for a report: which parameters matter, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from materia.errors import DataError, StateError
from materia.mdl.definition import CompositionParameter, Definition

MAX_SLICES = 4
"""Parameters that are drawn along, the most important ones."""

Importance = Mapping[str, Mapping[str, float]]
Slice = Mapping[str, Any]


@dataclass(frozen=True)
class Learnt:
    """What the surrogate has learnt.

    Attributes:
        importance: {objective: {parameter: total effect}}, as of `Campaign.importance`.
        slices: Predictions along parameters, as of `Campaign.slice`, the most important first.
    """

    importance: Importance
    slices: Sequence[Slice] = ()

    @classmethod
    def of(
        cls, definition: Definition, importance: Importance, along: Callable[[str], Slice]
    ) -> Learnt:
        """Return what is shown.

        Args:
            definition: Of the campaign.
            importance: Empty where there is no surrogate.
            along: Returns the slice along a key of `params` through the best point; called a few
                times.
        """
        slices: list[Slice] = []
        for name in _most_important(definition, importance):
            try:
                slices.append(along(name))
            except (DataError, StateError):
                continue  # It does not exist at the best point, or there is no best point.
            if len(slices) == MAX_SLICES:
                break
        return cls(importance, slices)


def _most_important(definition: Definition, importance: Importance) -> list[str]:
    """Return keys of `params`, those first that matter most for any objective."""
    effects: dict[str, float] = {}
    for effect_of in importance.values():
        for name, effect in effect_of.items():
            effects[name] = max(effect, effects.get(name, 0.0))
    parts = {
        parameter.name: [part.name for part in parameter.parts]
        for parameter in definition.parameters
        if isinstance(parameter, CompositionParameter)
    }
    ranked = sorted(effects, key=lambda name: -effects[name])
    return [key for name in ranked for key in parts.get(name, [name])]
