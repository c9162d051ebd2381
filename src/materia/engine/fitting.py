"""From observations to a fitted surrogate, and its form as plain data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine.diagnostics import quality, rmse
from materia.engine.objectives import Objectives
from materia.engine.observations import Observations
from materia.engine.space import SearchSpace
from materia.engine.standing import reference_point
from materia.engine.surrogates import independent
from materia.engine.surrogates.gp import Hyperparameters

FloatArray = NDArray[np.float64]

FORMAT = 1
KIND = "gp"
# The cost of a Gaussian process grows with the cube of its observations; of more than this many
# the best ones and an even selection of the others take part.
MAX_OBSERVATIONS = 1000


@dataclass(frozen=True)
class SurrogateFit:
    """A fitted surrogate as plain data.

    Attributes:
        quality: Leave-one-out figures per objective: r2 and coverage_95 on the scale that the
            surrogate models (bad outcomes compressed where it does so), rmse in the user's unit, n.
        arrays: Hyper-parameters and observations, enough to rebuild the posterior.
        meta: JSON-able description, with a digest of the observations it belongs to.
    """

    quality: dict[str, dict[str, float]]
    arrays: dict[str, FloatArray]
    meta: dict[str, Any]


@dataclass(frozen=True)
class Fitted:
    """Hyper-parameters with the observations they belong to.

    Attributes:
        digest: Of everything that the fit depends on.
        hyperparameters: One per objective.
        surrogate: The posterior of the turned outcomes.
    """

    digest: str
    hyperparameters: list[Hyperparameters]
    surrogate: independent.IndependentProcesses


@dataclass(frozen=True)
class Fitting:
    """Everything that a fit depends on.

    Attributes:
        X: Observed points, (n, d).
        turned: Turned outcomes, (n, m), NaN where not known.
        errors: Standard errors, (n, m), NaN where not stated.
        pivot_floors: Turned outcomes above which nothing counts any more, (m,).
        categorical: Columns of X without an order.
    """

    X: FloatArray
    turned: FloatArray
    errors: FloatArray
    pivot_floors: FloatArray
    categorical: tuple[int, ...]

    @classmethod
    def of(
        cls, observed: Observations, space: SearchSpace, objectives: Objectives
    ) -> Fitting | None:
        """Return what to fit, or None while some objective has no observation at all."""
        if len(observed) == 0 or np.isnan(observed.outcomes).all(axis=0).any():
            return None
        rows = _selected(objectives.minimised(observed.outcomes))
        is_single = objectives.m == 1
        floors = np.array([-np.inf]) if is_single else reference_point(observed, objectives)
        return cls(
            observed.X[rows],
            objectives.turned(observed.outcomes[rows]),
            observed.errors[rows],
            np.where(objectives.folded, np.inf, floors),
            space.categorical,
        )

    @property
    def digest(self) -> str:
        """Return a fingerprint of all inputs of the fit."""
        parts = (self.X, self.turned, self.errors, self.pivot_floors)
        content = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
        return hashlib.sha256(f"{KIND}{FORMAT}".encode() + content).hexdigest()

    def fit(self, known: Fitted | None) -> Fitted:
        """Return the fitted surrogate, with the hyper-parameters of `known` if they belong here."""
        digest = self.digest
        if known is not None and known.digest == digest:
            return known
        fitted = independent.fit_each(
            self.X, self.turned, self.errors, self.categorical, self.pivot_floors
        )
        return self.rebuild(digest, fitted)

    def rebuild(self, digest: str, hyperparameters: list[Hyperparameters]) -> Fitted:
        """Return the surrogate for given hyper-parameters."""
        surrogate = independent.build(
            self.X, self.turned, self.errors, hyperparameters, self.categorical
        )
        return Fitted(digest, hyperparameters, surrogate)


def _selected(Y: FloatArray) -> NDArray[np.intp]:
    """Return rows that take part, in order: all, or the better half of the cap plus a selection."""
    n = len(Y)
    if n <= MAX_OBSERVATIONS:
        return np.arange(n)
    ranks = np.argsort(np.argsort(np.where(np.isnan(Y), np.inf, Y), axis=0), axis=0)
    order = np.argsort(ranks.min(axis=1) + 1e-6 * ranks.sum(axis=1), kind="stable")
    n_best = MAX_OBSERVATIONS // 2
    others = order[n_best:]
    picked = np.linspace(0, len(others) - 1, MAX_OBSERVATIONS - n_best).round().astype(np.intp)
    return np.sort(np.concatenate([order[:n_best], others[picked]]))


def as_data(
    fitted: Fitted, fitting: Fitting, space: SearchSpace, objectives: Objectives
) -> SurrogateFit:
    """Return a fitted surrogate as plain data, with its leave-one-out quality."""
    arrays = {
        **independent.pack(fitted.hyperparameters),
        "X": fitting.X,
        "turned": fitting.turned,
        "errors": fitting.errors,
    }
    meta = {
        "surrogate": KIND,
        "format": FORMAT,
        "observations": fitted.digest,
        "objectives": list(objectives.names),
        "parameters": list(space.names),
        "categorical": [space.names[j] for j in space.categorical],
    }
    figures = {}
    for name, process in zip(objectives.names, fitted.surrogate.processes, strict=True):
        warp = process.hyperparameters.warp
        mean, std = process.leave_one_out()
        in_units, _ = warp.invert(mean, std)
        figures[name] = {
            **quality(warp(process.y), mean, std),
            "rmse": rmse(process.y, in_units),
        }
    return SurrogateFit(figures, arrays, meta)


def from_data(
    arrays: Mapping[str, Any], meta: Mapping[str, Any], fitting: Fitting
) -> Fitted | None:
    """Return the surrogate that `as_data` described, or None if it belongs to other inputs."""
    if meta.get("surrogate") != KIND or meta.get("observations") != fitting.digest:
        return None
    return fitting.rebuild(fitting.digest, independent.unpack(arrays))


def parity(
    surrogate: independent.IndependentProcesses, objectives: Objectives
) -> dict[str, dict[str, list[float]]]:
    """Return leave-one-out predictions in the user's units.

    Returns:
        {objective: {"measured", "predicted", "std"}}, lists over the objective's observations.
    """
    result = {}
    for j, (name, process) in enumerate(zip(objectives.names, surrogate.processes, strict=True)):
        mean, std = process.hyperparameters.warp.invert(*process.leave_one_out())
        pair = np.zeros((2, len(mean), objectives.m))
        pair[0, :, j], pair[1, :, j] = process.y, mean
        result[name] = {
            "measured": objectives.measured(pair[0])[:, j].tolist(),
            "predicted": objectives.measured(pair[1])[:, j].tolist(),
            "std": std.tolist(),
        }
    return result
