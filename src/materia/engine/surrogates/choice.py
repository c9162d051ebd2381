"""Which kind of surrogate models an outcome, when the definition leaves it open.

The Gaussian process stays unless the evidence against it is clear: its left-out predictions are
poor, and those of a random forest are better by more than chance explains. The rule is part of
docs/definition.md. (An ensemble of networks costs ten times a forest and is seldom clearly better
than both: it must be asked for.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from materia.engine.diagnostics import log_density, quality
from materia.engine.surrogates.kinds import kind_of
from materia.engine.surrogates.model import Model, Sample

AUTO, DEFAULT = "auto", "gp"
ALTERNATIVES = ("random_forest",)

MIN_OBSERVATIONS = 40
POOR_R2 = 0.5
"""Others are tried from so many observations on, where less variance than this is explained."""
MIN_GAIN = 0.05
MIN_ERRORS = 2.0
"""Another kind must gain so much log density per observation, and so many standard errors of it."""


@dataclass(frozen=True)
class Chosen:
    """A model, and why it is of its kind.

    Attributes:
        kind: Name of the kind.
        model: The fitted model.
        compared: Mean log density of left-out observations by kind; empty if only one was tried.
    """

    kind: str
    model: Model
    compared: dict[str, float] = field(default_factory=dict)


def choose(name: str, sample: Sample, rng: np.random.Generator) -> Chosen:
    """Return the model of a sample by the named kind, or by the best one for `auto`.

    Args:
        name: As in the definition.
        sample: What was observed of one outcome.
        rng: Spawns one generator per kind.
    """
    streams = rng.spawn(1 + len(ALTERNATIVES))
    if name != AUTO:
        return Chosen(name, kind_of(name).fit(sample, streams[0]))
    model = kind_of(DEFAULT).fit(sample, streams[0])
    if not _is_poor(model):
        return Chosen(DEFAULT, model)
    tried = {DEFAULT: model}
    for other, stream in zip(ALTERNATIVES, streams[1:], strict=True):
        tried[other] = kind_of(other).fit(sample, stream)
    densities = {kind: log_density(model) for kind, model in tried.items()}
    compared = {kind: float(np.mean(values)) for kind, values in densities.items()}
    best = max(compared, key=lambda kind: compared[kind])
    gain = densities[best] - densities[DEFAULT]
    error = float(np.std(gain)) / math.sqrt(len(gain))
    is_clear = float(np.mean(gain)) > max(MIN_GAIN, MIN_ERRORS * error)
    chosen = best if is_clear else DEFAULT
    return Chosen(chosen, tried[chosen], compared)


def _is_poor(model: Model) -> bool:
    if len(model.y) < MIN_OBSERVATIONS:
        return False
    mean, std = model.leave_one_out()
    return quality(model.warp(model.y), mean, std)["r2"] < POOR_R2
