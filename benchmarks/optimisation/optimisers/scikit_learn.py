"""scikit-learn's Gaussian process regression; predicts only.

Its prior is a constant times Matérn 5/2 with one lengthscale per input, plus white noise, on
standardised outcomes; one start of its own optimiser, as it comes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from declaration import Declaration, Point
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

PACKAGES = ("scikit-learn",)


class Optimiser:
    """One regression of one outcome."""

    def __init__(self, declared: Declaration) -> None:
        self._declared = declared
        self._points: list[Point] = []
        self._outcomes: list[float] = []
        self._fitted: GaussianProcessRegressor | None = None

    def tell(self, points: list[Point], outcomes: list[list[float]]) -> None:
        """Take in what came out."""
        self._points += points
        self._outcomes += [row[0] for row in outcomes]
        self._fitted = None

    def predict(self, points: list[Point]) -> tuple[Any, Any]:
        """Return the posterior without noise."""
        if self._fitted is None:
            smooth = ConstantKernel(1.0) * Matern([0.5] * self._declared.d, nu=2.5)
            self._fitted = GaussianProcessRegressor(
                smooth + WhiteKernel(0.01), normalize_y=True
            ).fit(self._declared.encode(self._points), np.array(self._outcomes))
        mean, std = self._fitted.predict(self._declared.encode(points), return_std=True)
        noise = self._fitted.kernel_.k2.noise_level * np.std(self._outcomes) ** 2
        std = np.sqrt(np.maximum(std**2 - noise, 1e-12))
        return mean[:, None].tolist(), std[:, None].tolist()
