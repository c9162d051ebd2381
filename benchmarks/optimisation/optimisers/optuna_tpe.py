"""Optuna's TPE sampler as it comes; running trials count as bad ones within a batch."""

from __future__ import annotations

import optuna
from declaration import Declaration

from optimisers._optuna import PACKAGES, Study

__all__ = ["PACKAGES", "Optimiser"]


class Optimiser(Study):
    """TPE."""

    def __init__(self, declared: Declaration) -> None:
        sampler = optuna.samplers.TPESampler(
            seed=declared.seed,
            constant_liar=True,
            n_startup_trials=min(10, declared.n_start),
        )
        super().__init__(declared, sampler)
