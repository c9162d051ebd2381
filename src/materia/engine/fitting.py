"""From observations to a fitted surrogate, and its form as plain data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine.diagnostics import log_density, quality, rmse
from materia.engine.objectives import Objectives
from materia.engine.observations import Observations
from materia.engine.space import SearchSpace
from materia.engine.standing import reference_point
from materia.engine.surrogates.choice import AUTO, DEFAULT, Chosen, choose
from materia.engine.surrogates.independent import IndependentProcesses, samples
from materia.engine.surrogates.kinds import kind_of
from materia.engine.surrogates.model import Kind, Model, Sample
from materia.mdl.definition import Optimizer

FloatArray = NDArray[np.float64]

FORMAT = 2


def kind_declared(optimizer: Optimizer) -> Kind:
    """Return the kind of surrogate to begin with.

    Raises:
        StateError: It is not installed.
    """
    return kind_of(DEFAULT if optimizer.surrogate == AUTO else optimizer.surrogate)


@dataclass(frozen=True)
class SurrogateFit:
    """A fitted surrogate as plain data.

    Attributes:
        quality: Leave-one-out figures per objective: r2, coverage_95 and rank_correlation on the
            scale that the surrogate models (bad outcomes compressed where it does so), rmse in the
            user's unit, log_density per observation, n, and the kind of `surrogate`. Where several
            kinds were tried, `log_density_<kind>` says how good each was.
        arrays: Observations and what was learnt of each objective, enough to rebuild the posterior.
        meta: JSON-able description, with a digest of the observations it belongs to.
    """

    quality: dict[str, dict[str, float | str]]
    arrays: dict[str, FloatArray]
    meta: dict[str, Any]


@dataclass(frozen=True)
class Fitted:
    """Fitted models with the observations they belong to.

    Attributes:
        digest: Of everything that the fit depends on.
        chosen: One model per objective, and why it is of its kind.
        surrogate: The posterior of the turned outcomes.
    """

    digest: str
    chosen: tuple[Chosen, ...]
    surrogate: IndependentProcesses


@dataclass(frozen=True)
class Fitting:
    """Everything that a fit depends on.

    Attributes:
        X: Observed points, (n, d).
        turned: Turned outcomes, (n, m), NaN where not known.
        errors: Standard errors, (n, m), NaN where not stated.
        pivot_floors: Turned outcomes above which nothing counts any more, (m,).
        categorical: Columns of X without an order.
        kind: Name of the surrogate in the definition.
        seed: Of the campaign, for kinds that draw numbers.
        device: Of PyTorch, for fits; None is NumPy. Not part of the digest: whoever stored a fit
            goes on with it.
    """

    X: FloatArray
    turned: FloatArray
    errors: FloatArray
    pivot_floors: FloatArray
    categorical: tuple[int, ...]
    kind: str = AUTO
    seed: int = 0
    device: str | None = None

    @classmethod
    def of(
        cls,
        observed: Observations,
        space: SearchSpace,
        objectives: Objectives,
        optimizer: Optimizer,
    ) -> Fitting | None:
        """Return what to fit, or None while some objective has no observation at all."""
        if len(observed) == 0 or np.isnan(observed.outcomes).all(axis=0).any():
            return None
        cap = kind_declared(optimizer).max_observations
        rows = _selected(objectives.minimised(observed.outcomes), cap)
        is_single = objectives.m == 1
        floors = np.array([-np.inf]) if is_single else reference_point(observed, objectives)
        return cls(
            observed.X[rows],
            objectives.turned(observed.outcomes[rows]),
            observed.errors[rows],
            np.where(objectives.folded, np.inf, floors),
            space.categorical,
            optimizer.surrogate,
            optimizer.seed,
        )

    @property
    def digest(self) -> str:
        """Return a fingerprint of all inputs of the fit."""
        parts = (self.X, self.turned, self.errors, self.pivot_floors)
        content = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
        label = f"{FORMAT} {self.kind} {self.seed} {self.categorical}"
        return hashlib.sha256(label.encode() + content).hexdigest()

    @property
    def _samples(self) -> list[Sample]:
        found = samples(self.X, self.turned, self.errors, self.categorical, self.pivot_floors)
        return [replace(sample, device=self.device) for sample in found]

    def fit(self, known: Fitted | None) -> Fitted:
        """Return the fitted surrogate, `known` itself if it belongs here."""
        digest = self.digest
        if known is not None and known.digest == digest:
            return known
        chosen = [
            choose(self.kind, sample, np.random.default_rng([self.seed, j]))
            for j, sample in enumerate(self._samples)
        ]
        return self._fitted(digest, chosen)

    def restore(self, arrays: Mapping[str, Any], kinds: Sequence[Mapping[str, Any]]) -> Fitted:
        """Return the surrogate that was fitted to the same, from the arrays of all models."""
        chosen = []
        for j, (sample, entry) in enumerate(zip(self._samples, kinds, strict=True)):
            prefix = f"{j}."
            own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
            model = kind_of(entry["kind"]).restore(sample, own)
            chosen.append(Chosen(entry["kind"], model, dict(entry["compared"])))
        return self._fitted(self.digest, chosen)

    def _fitted(self, digest: str, chosen: Sequence[Chosen]) -> Fitted:
        models = tuple(choice.model for choice in chosen)
        return Fitted(digest, tuple(chosen), IndependentProcesses(models, self.categorical))


def _selected(Y: FloatArray, cap: int) -> NDArray[np.intp]:
    """Return rows that take part, in order: all, or the better half of the cap plus a selection."""
    n = len(Y)
    if n <= cap:
        return np.arange(n)
    ranks = np.argsort(np.argsort(np.where(np.isnan(Y), np.inf, Y), axis=0), axis=0)
    order = np.argsort(ranks.min(axis=1) + 1e-6 * ranks.sum(axis=1), kind="stable")
    n_best = cap // 2
    others = order[n_best:]
    picked = np.linspace(0, len(others) - 1, cap - n_best).round().astype(np.intp)
    return np.sort(np.concatenate([order[:n_best], others[picked]]))


def as_data(
    fitted: Fitted, fitting: Fitting, space: SearchSpace, objectives: Objectives
) -> SurrogateFit:
    """Return a fitted surrogate as plain data, with its leave-one-out quality."""
    arrays = {"X": fitting.X, "turned": fitting.turned, "errors": fitting.errors}
    for j, choice in enumerate(fitted.chosen):
        arrays.update({f"{j}.{key}": value for key, value in choice.model.arrays().items()})
    meta = {
        "format": FORMAT,
        "observations": fitted.digest,
        "kinds": [
            {
                "kind": choice.kind,
                "version": kind_of(choice.kind).version,
                "compared": choice.compared,
            }
            for choice in fitted.chosen
        ],
        "objectives": list(objectives.names),
        "parameters": list(space.names),
        "categorical": [space.names[j] for j in space.categorical],
    }
    pairs = zip(objectives.names, fitted.chosen, strict=True)
    return SurrogateFit({name: _figures(choice) for name, choice in pairs}, arrays, meta)


def _figures(choice: Chosen) -> dict[str, float | str]:
    model: Model = choice.model
    mean, std = model.leave_one_out()
    in_units, _ = model.warp.invert(mean, std)
    return {
        "surrogate": choice.kind,
        **quality(model.warp(model.y), mean, std),
        "rmse": rmse(model.y, in_units),
        "log_density": float(np.mean(log_density(model))),
        **{f"log_density_{kind}": value for kind, value in choice.compared.items()},
    }


def from_data(
    arrays: Mapping[str, Any], meta: Mapping[str, Any], fitting: Fitting
) -> Fitted | None:
    """Return the surrogate that `as_data` described, or None if it belongs to other inputs."""
    if meta.get("format") != FORMAT or meta.get("observations") != fitting.digest:
        return None
    kinds = meta["kinds"]
    if any(kind_of(entry["kind"]).version != entry["version"] for entry in kinds):
        return None
    return fitting.restore(arrays, kinds)


def parity(
    surrogate: IndependentProcesses, objectives: Objectives
) -> dict[str, dict[str, list[float]]]:
    """Return leave-one-out predictions in the user's units.

    Returns:
        {objective: {"measured", "predicted", "std"}}, lists over the objective's observations.
    """
    result = {}
    for j, (name, process) in enumerate(zip(objectives.names, surrogate.processes, strict=True)):
        mean, std = process.warp.invert(*process.leave_one_out())
        pair = np.zeros((2, len(mean), objectives.m))
        pair[0, :, j], pair[1, :, j] = process.y, mean
        result[name] = {
            "measured": objectives.measured(pair[0])[:, j].tolist(),
            "predicted": objectives.measured(pair[1])[:, j].tolist(),
            "std": std.tolist(),
        }
    return result
