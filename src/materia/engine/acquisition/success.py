"""The chance that an evaluation succeeds, where some have failed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from materia.engine.surrogates.evidence import Hyperparameters
from materia.engine.surrogates.gp import GaussianProcess
from materia.engine.surrogates.independent import IndependentProcesses

FloatArray = NDArray[np.float64]

_NOISE, _SHARPNESS = 0.05, 0.15


class Success:
    """Log chance of success, low around failures that no success lies close to.

    A regression on success (1) and failure (0) around a common mean, with the shortest lengthscale
    that the surrogates found for each column; a regression of 1/2 is an even chance.

    Args:
        measured: Points with an outcome, (n, d).
        failed: Points whose evaluation failed, (f, d).
        like: Surrogates whose lengthscales are used.
    """

    def __init__(
        self, measured: FloatArray, failed: FloatArray, like: IndependentProcesses
    ) -> None:
        X = np.vstack([measured, failed])
        self._process = GaussianProcess.centred(
            X,
            np.append(np.zeros(len(measured)), -np.ones(len(failed))),
            Hyperparameters(np.clip(like.lengthscales, 0.05, 1.0), _NOISE),
            like.categorical,
        )

    @classmethod
    def of(
        cls, measured: FloatArray, failed: FloatArray, like: IndependentProcesses
    ) -> Success | None:
        """Return the chance of success, or None where nothing failed."""
        return cls(measured, failed, like) if len(failed) else None

    def __call__(self, X: FloatArray) -> FloatArray:
        """Return the log chance of success of each point, (n,)."""
        from scipy.special import log_ndtr

        return np.asarray(log_ndtr((0.5 + self._process.posterior(X)[0]) / _SHARPNESS))
