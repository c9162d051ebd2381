"""Which acquisition function a batch is chosen by, and how each of its points sees the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from materia.engine.acquisition.expected_improvement import ExpectedImprovement
from materia.engine.acquisition.hypervolume_improvement import HypervolumeImprovement
from materia.engine.acquisition.noisy import NoisyExpectedImprovement, NoisyHypervolumeImprovement
from materia.engine.acquisition.optimism import Optimism, confidence_bound, width_of_bound
from materia.engine.acquisition.probability import ProbabilityOfImprovement
from materia.engine.acquisition.scalarised import ScalarisedImprovement
from materia.engine.objectives import Objectives
from materia.engine.pareto import foremost, is_non_dominated
from materia.engine.surrogates.independent import IndependentProcesses
from materia.engine.surrogates.paths import Imagined, Paths, can_be_drawn

FloatArray = NDArray[np.float64]
Acquisition = Callable[[FloatArray], FloatArray]

PLAIN = {"noisy_ei": "ei", "noisy_ehvi": "ehvi", "thompson": "ei"}
"""What stands in for an acquisition that needs draws of the surrogate, where there are none."""

# From this variance of an observation on, in standardised units, it is not taken for the truth:
# three times what is found where the observations cannot tell.
NOISY = 0.001
MANY = 4
"""From so many objectives on the hypervolume is no good guide to a first few points."""
_N_VERSIONS = 16
# Of more measured points the best ones are imagined.
_MAX_IMAGINED = 300
# How much better than the best a point shall be, as a share of the spread of the outcomes.
_CLEARLY = 0.01


def chosen(declared: str, surrogate: IndependentProcesses) -> str:
    """Return the name of the acquisition function for a declared one, which may be "auto".

    One objective is sought by `ei`, which gained next to nothing from its noisy form and lost much
    on measured tables (docs/decisions/noisy-acquisitions.md). Two and three are sought by `ehvi`,
    or by its noisy form where the surrogate found so much noise; more by `parego`
    (docs/decisions/many-objectives.md).
    """
    name = declared
    if declared == "auto" and len(surrogate.processes) == 1:
        name = "ei"
    elif declared == "auto" and len(surrogate.processes) >= MANY:
        name = "parego"
    elif declared == "auto":
        name = "noisy_ehvi" if surrogate.noise > NOISY else "ehvi"
    return PLAIN.get(name, name) if not can_be_drawn(surrogate) else name


@dataclass(frozen=True)
class Choice:
    """An acquisition function for the points of one batch.

    Attributes:
        name: Of the acquisition function, as from `chosen`.
        objectives: What is sought.
        surrogate: Without any belief.
        reference_point: In `Y`, (m,).
        n_observed: Number of observations.
        rng: Draws paths and weights.
    """

    name: str
    objectives: Objectives
    surrogate: IndependentProcesses
    reference_point: FloatArray
    n_observed: int
    rng: np.random.Generator

    def improvement(
        self, believed: IndependentProcesses, points: FloatArray, turned: FloatArray
    ) -> Acquisition | None:
        """Return the acquisition function for the next point; None where nothing can be improved.

        Args:
            believed: Surrogate that takes what is under evaluation for known.
            points: Measured ones, those under evaluation, and the batch so far, (k, d).
            turned: Their turned outcomes, denoised or believed, (k, m).
        """
        objectives = self.objectives
        rows = np.flatnonzero(objectives.is_feasible(objectives.measured(turned)))
        Y = objectives.fold(turned[rows])
        folded = objectives.folded
        if objectives.m == 1:
            return self._single(believed, points[rows], Y) if len(Y) else None
        if self.name == "noisy_ehvi" and len(rows):
            kept = rows[foremost(Y, _MAX_IMAGINED)]
            imagined, values = self._imagined(points[kept])
            return NoisyHypervolumeImprovement(imagined, values, self.reference_point, folded)
        front = Y[is_non_dominated(Y)]
        if self.name == "parego":
            weights = np.maximum(self.rng.dirichlet(np.ones(objectives.m)), 0.01)
            return ScalarisedImprovement(believed, front, self.reference_point, weights, folded)
        return HypervolumeImprovement(believed, front, self.reference_point, folded)

    def _single(
        self, believed: IndependentProcesses, points: FloatArray, Y: FloatArray
    ) -> Acquisition:
        (folded,) = self.objectives.folded
        if self.name == "noisy_ei":
            imagined, values = self._imagined(points[foremost(Y, _MAX_IMAGINED)])
            return NoisyExpectedImprovement(imagined, values, folded=folded)
        best = believed.warped_best(Y)
        if self.name == "pi":
            return ProbabilityOfImprovement(believed, best - _CLEARLY * self._spread, folded)
        if self.name == "ucb":
            width = width_of_bound(points.shape[1], self.n_observed)
            hopeful = confidence_bound(believed, width, folded=folded)
            return Optimism(hopeful, best, self._spread)
        if self.name == "thompson":
            draw = Paths(self.surrogate, 1, self.rng)
            return Optimism(lambda X: self._fold(draw(X))[:, 0, 0], best, self._spread)
        return ExpectedImprovement(believed, best, folded)

    def _imagined(self, points: FloatArray) -> tuple[Imagined, FloatArray]:
        """Return the posteriors of all versions, and their values at the points, (k, m, s)."""
        values = self._versions(points)
        return Imagined(self.surrogate, points, values), self._fold(values)

    def _fold(self, values: FloatArray) -> FloatArray:
        return np.where(np.array(self.objectives.folded)[:, None], np.abs(values), values)

    @cached_property
    def _versions(self) -> Paths:
        return Paths(self.surrogate, _N_VERSIONS, self.rng)

    @cached_property
    def _spread(self) -> float:
        """Spread of the outcomes on the scale of `posterior`, above 0."""
        spread = float(np.std(self.surrogate.processes[0].y))
        return spread if spread > 0 else 1.0
