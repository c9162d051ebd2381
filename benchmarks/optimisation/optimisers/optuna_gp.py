"""Optuna's Gaussian-process sampler as it comes."""

from __future__ import annotations

import optuna
from declaration import Declaration

from optimisers._optuna import PACKAGES, Study

__all__ = ["PACKAGES", "Optimiser"]


class Optimiser(Study):
    """Log expected (hypervolume) improvement on a Matérn kernel."""

    def __init__(self, declared: Declaration) -> None:
        sampler = optuna.samplers.GPSampler(
            seed=declared.seed,
            n_startup_trials=min(10, declared.n_start),
            deterministic_objective=not (declared.is_noisy or declared.pool),
        )
        super().__init__(declared, sampler)
