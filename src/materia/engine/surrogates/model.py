"""What every kind of surrogate is: fitted to a sample, it answers with a posterior.

A kind is one file beside this one and one line in the table of `kinds`. Kinds of other packages
are entry points of the group ``materia.surrogates``, named ``vendor.name``;
`materia.testing.surrogates` checks them. A kind that learns standardised outcomes and knows nothing
of beliefs, warps and scales is wrapped by `standardised.StandardisedKind`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from materia.engine.surrogates.warping import Warp

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """What was observed of one outcome.

    Attributes:
        X: Points in the unit cube, (n, d), n >= 1.
        y: Outcomes, (n,), minimised where a warp is allowed; any unit, finite.
        sem: Standard errors, (n,), NaN where the noise is to be inferred.
        categorical: Columns of X without an order.
        pivot_floor: Outcomes above it may be compressed; infinity forbids it.
        device: Of PyTorch, for kinds that can use one; None is NumPy.
    """

    X: FloatArray
    y: FloatArray
    sem: FloatArray
    categorical: tuple[int, ...] = ()
    pivot_floor: float = np.inf
    device: str | None = None


class Model(Protocol):
    """A fitted surrogate of one outcome. Nothing in it changes after it was made."""

    @property
    def y(self) -> FloatArray:
        """Observed outcomes, (n,), in the order and unit of the sample."""

    @property
    def warp(self) -> Warp:
        """How bad outcomes are compressed on the scale of `posterior`."""

    @property
    def noise(self) -> float:
        """Variance of an observation without a stated error, in standardised units."""

    @property
    def lengthscales(self) -> FloatArray:
        """Distance over which the outcome changes along each column of X, (d,)."""

    def posterior(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of the noise-free, warped outcome, each (n,)."""

    def predict(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of the noise-free outcome in its unit, each (n,)."""

    def believe(self, X: FloatArray) -> Model:
        """Return the model as if points (k, d) had come out at their means: less uncertain."""

    def leave_one_out(self) -> tuple[FloatArray, FloatArray]:
        """Return mean and std of each warped observation by what did not see it, each (n,).

        The std includes the noise of the observation.
        """

    def arrays(self) -> dict[str, FloatArray]:
        """Return what `Kind.restore` needs beside the sample; no objects, only numbers."""


class Kind(Protocol):
    """A way to model an outcome.

    Attributes:
        version: Changes whenever the same sample would give another model.
        max_observations: Of more than so many a selection takes part, so that cost stays bounded.
    """

    version: int
    max_observations: int

    def fit(self, sample: Sample, rng: np.random.Generator) -> Model:
        """Return the model of a sample; the same sample and state of `rng` give the same bits."""

    def restore(self, sample: Sample, arrays: Mapping[str, FloatArray]) -> Model:
        """Return the very model that was fitted to a sample, from its `arrays`."""
