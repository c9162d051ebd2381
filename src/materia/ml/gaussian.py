"""The engine's Gaussian process as a model of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from materia.engine.surrogates.evidence import Hyperparameters
from materia.engine.surrogates.gp import GaussianProcess, fit
from materia.engine.threads import single_threaded
from materia.errors import DataError
from materia.ml.ensemble import Answer
from materia.ml.schema import Schema, Task
from materia.ml.values import Allowed

FloatArray = NDArray[np.float64]

MAX_ROWS = 2000
_CHUNK = 4096


class GaussianModel:
    """A posterior over raw features; missing values are taken to be the median.

    Args:
        X: Encoded features, (n, d), NaN where missing.
        y: Target, (n,).
        hyperparameters: Lengthscales in units of the features' ranges.
        categorical: Columns of X that are codes.
    """

    TASKS: ClassVar[tuple[Task, ...]] = ("regression",)
    PARAMS: ClassVar[Mapping[str, Allowed]] = {}

    @single_threaded
    def __init__(
        self,
        X: FloatArray,
        y: FloatArray,
        hyperparameters: Hyperparameters,
        categorical: tuple[int, ...],
    ) -> None:
        self._X, self._y = X, y
        self._ranges = _ranges(X, categorical)
        self._process = GaussianProcess(
            _scaled(X, self._ranges),
            y,
            np.full(len(y), np.nan),
            hyperparameters,
            categorical,
        )

    @classmethod
    def learn(
        cls,
        X: FloatArray,
        y: FloatArray,
        schema: Schema,
        params: Mapping[str, Any],
        seed: int,
        threads: int,
    ) -> GaussianModel:
        """Return the model of encoded rows; nothing in it is random or left to be set."""
        return cls.fit(X, y, schema.categorical)

    def answer(self, X: FloatArray) -> Answer:
        """Return what the model says of rows X, (n, d)."""
        return Answer(*self.predict(X))

    @classmethod
    @single_threaded
    def fit(cls, X: FloatArray, y: FloatArray, categorical: tuple[int, ...]) -> GaussianModel:
        """Return the model with the most probable hyper-parameters.

        Raises:
            DataError: There are too many rows; time and memory grow with their cube and square.
        """
        if len(y) > MAX_ROWS:
            raise DataError(
                f"'gp' learns from at most {MAX_ROWS} rows, not {len(y)}",
                "raise num_partitions, or use another estimator",
            )
        scaled = _scaled(X, _ranges(X, categorical))
        found = fit(scaled, y, np.full(len(y), np.nan), categorical)
        return cls(X, y, found, categorical)

    @single_threaded
    def predict(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation of the noise-free target, each (n,)."""
        # A matrix of rows asked times rows learnt would not fit in memory for long tables.
        blocks = [
            self._process.predict(_scaled(X[i : i + _CHUNK], self._ranges))
            for i in range(0, len(X), _CHUNK)
        ]
        if not blocks:
            return np.zeros(0), np.zeros(0)
        means, stds = zip(*blocks, strict=True)
        return np.concatenate(means), np.concatenate(stds)

    def to_data(self) -> dict[str, Any]:
        """Return arrays and lists that `from_data` rebuilds the model from."""
        hyperparameters = self._process.hyperparameters
        return {
            "X": self._X,
            "y": self._y,
            "lengthscales": hyperparameters.lengthscales,
            "noise": np.array([hyperparameters.noise]),
            "signal": np.array([hyperparameters.signal]),
            "smoothness": np.array([hyperparameters.smoothness]),
            "categorical": np.array(self._process.categorical, dtype=np.int64),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> GaussianModel:
        """Return the model that `to_data` described."""
        found = Hyperparameters(data["lengthscales"], float(data["noise"][0]))
        # Models that were stored before these were fitted do not have them.
        if "signal" in data:
            signal, smoothness = float(data["signal"][0]), float(data["smoothness"][0])
            found = replace(found, signal=signal, smoothness=smoothness)
        return cls(data["X"], data["y"], found, tuple(data["categorical"].tolist()))


_Ranges = tuple[FloatArray, FloatArray, FloatArray]


def _scaled(X: FloatArray, ranges: _Ranges) -> FloatArray:
    middle, low, width = ranges
    return (np.where(np.isnan(X), middle, X) - low) / width


def _ranges(X: FloatArray, categorical: tuple[int, ...]) -> _Ranges:
    """Return what stands for a missing value, lowest value and width of each column, (d,)."""
    known = np.where(np.isnan(X).all(axis=0), 0.0, X)
    middle = np.nanmedian(known, axis=0)
    low, width = np.nanmin(known, axis=0), np.ptp(np.where(np.isnan(known), middle, known), axis=0)
    width = np.where(width > 0.0, width, 1.0)
    codes = list(categorical)
    # A missing category is a level of its own; codes stay as they are.
    middle[codes], low[codes], width[codes] = -1.0, 0.0, 1.0
    return middle, low, width
