"""BoTorch as its tutorials use it: one Gaussian process per outcome, refitted before each batch.

qLogNEHVI for several objectives, LogEI for one without and qLogNEI with noise or an outcome
constraint; 4 restarts, 128 raw and 64 Monte Carlo samples. Mixed spaces: `MixedSingleTaskGP` and
`optimize_acqf_mixed_alternating`. Compositions: an equality constraint. Pools:
`optimize_acqf_discrete` over the rows that are left.
"""

from __future__ import annotations

from typing import Any

import torch
from botorch.acquisition import LogExpectedImprovement, qLogNoisyExpectedImprovement
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.objective import IdentityMCMultiOutputObjective
from botorch.acquisition.objective import GenericMCObjective
from botorch.fit import fit_gpytorch_mll
from botorch.models import MixedSingleTaskGP, ModelListGP, SingleTaskGP
from botorch.optim import optimize_acqf, optimize_acqf_discrete, optimize_acqf_mixed_alternating
from botorch.sampling.normal import SobolQMCNormalSampler
from declaration import Declaration, Point
from gpytorch.mlls import ExactMarginalLogLikelihood, SumMarginalLogLikelihood

PACKAGES = ("botorch", "gpytorch", "torch")
N_RESTARTS, N_RAW, N_SAMPLES = 4, 128, 64

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


class Optimiser:
    """All that was told, and a model that is fitted when it is needed."""

    def __init__(self, declared: Declaration) -> None:
        torch.manual_seed(declared.seed)
        self._declared = declared
        self._points: list[Point] = []
        self._outcomes: list[list[float]] = []
        self._model: ModelListGP | None = None
        self._seed = declared.seed
        parameters = declared.parameters
        self._cat_dims = {
            j: list(range(len(p.choices))) for j, p in enumerate(parameters) if p.choices
        }
        self._discrete_dims = {
            j: [(v - p.bounds[0]) / (p.bounds[1] - p.bounds[0]) for v in _whole(p.bounds)]
            for j, p in enumerate(parameters)
            if p.is_integer
        }

    def tell(self, points: list[Point], outcomes: list[list[float]]) -> None:
        """Take in what came out."""
        self._points += points
        self._outcomes += outcomes
        self._model = None

    def ask(self, n: int) -> list[Point]:
        """Return the next points."""
        model = self._fit()
        acquisition = self._acquisition(model)
        declared = self._declared
        if declared.pool is not None:
            measured = {tuple(point) for point in self._points}
            rows = [row for row in declared.pool if row not in measured]
            choices = torch.tensor(declared.encode(rows))
            X, _ = optimize_acqf_discrete(acquisition, q=n, choices=choices)
            index = [int(((choices - x) ** 2).sum(dim=1).argmin()) for x in X]
            return [list(rows[i]) for i in index]
        budget: dict[str, Any] = {"num_restarts": N_RESTARTS, "raw_samples": N_RAW}
        bounds = self._bounds()
        if self._cat_dims or self._discrete_dims:
            X, _ = optimize_acqf_mixed_alternating(
                acquisition,
                bounds,
                discrete_dims=self._discrete_dims,
                cat_dims=self._cat_dims,
                q=n,
                **budget,
            )
        else:
            X, _ = optimize_acqf(
                acquisition,
                bounds,
                q=n,
                sequential=n > 1,
                equality_constraints=self._total(),
                **budget,
            )
        return self._within_total(declared.decode(X.detach().numpy()))

    def predict(self, points: list[Point]) -> tuple[Any, Any]:
        """Return the posterior of the objectives without noise."""
        X = torch.tensor(self._declared.encode(points))
        model = self._fit()
        with torch.no_grad():
            posterior = model.posterior(X)
        m = self._declared.m
        mean, std = -posterior.mean[:, :m], posterior.variance.sqrt()[:, :m]
        return mean.tolist(), std.tolist()

    def _fit(self) -> ModelListGP:
        if self._model is None:
            X = torch.tensor(self._declared.encode(self._points))
            Y = torch.tensor(self._outcomes)
            m = self._declared.m
            Y[:, :m] *= -1  # BoTorch maximises; an outcome constraint stays feasible where <= 0
            models = [self._one(X, Y[:, j : j + 1]) for j in range(Y.shape[1])]
            if len(models) == 1:
                fit_gpytorch_mll(ExactMarginalLogLikelihood(models[0].likelihood, models[0]))
                self._model = models[0]
            else:
                self._model = ModelListGP(*models)
                fit_gpytorch_mll(SumMarginalLogLikelihood(self._model.likelihood, self._model))
        return self._model

    def _one(self, X: torch.Tensor, y: torch.Tensor) -> SingleTaskGP:
        if self._cat_dims:
            return MixedSingleTaskGP(X, y, cat_dims=list(self._cat_dims))
        return SingleTaskGP(X, y)

    def _acquisition(self, model: Any) -> Any:
        declared, m = self._declared, self._declared.m
        X = torch.tensor(declared.encode(self._points))
        constraints = [lambda Z: Z[..., -1]] if declared.outcome_constraint else None
        self._seed += 1
        sampler = SobolQMCNormalSampler(torch.Size([N_SAMPLES]), seed=self._seed)
        if m > 1:
            assert declared.reference_point is not None
            return qLogNoisyExpectedHypervolumeImprovement(
                model,
                ref_point=[-value for value in declared.reference_point],
                X_baseline=X,
                sampler=sampler,
                prune_baseline=True,
                objective=IdentityMCMultiOutputObjective(outcomes=list(range(m))),
                constraints=constraints,
            )
        if declared.is_noisy or constraints or declared.batch_size > 1:
            objective = GenericMCObjective(lambda Z, X=None: Z[..., 0])
            return qLogNoisyExpectedImprovement(
                model,
                X_baseline=X,
                sampler=sampler,
                prune_baseline=True,
                objective=objective,
                constraints=constraints,
            )
        return LogExpectedImprovement(model, best_f=-min(row[0] for row in self._outcomes))

    def _bounds(self) -> torch.Tensor:
        parameters = self._declared.parameters
        highest = [len(p.choices) - 1.0 if p.choices else 1.0 for p in parameters]
        return torch.tensor([[0.0] * len(highest), highest])

    def _total(self) -> list[tuple[torch.Tensor, torch.Tensor, float]] | None:
        declared = self._declared
        if declared.total is None:
            return None
        spans = [p.bounds[1] - p.bounds[0] for p in declared.parameters]
        rest = declared.total - sum(p.bounds[0] for p in declared.parameters)
        return [(torch.arange(declared.d), torch.tensor(spans), rest)]

    def _within_total(self, points: list[Point]) -> list[Point]:
        """Return points whose last digits are mended so that the parts sum to the total."""
        total = self._declared.total
        if total is None:
            return points
        return [[share * total / sum(point) for share in point] for point in points]


def _whole(bounds: tuple[float, float]) -> range:
    return range(int(bounds[0]), int(bounds[1]) + 1)
