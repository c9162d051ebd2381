"""No optimiser: the start's own sequence goes on, or rows of the pool are drawn at random."""

from __future__ import annotations

from declaration import Declaration, Point
from start import points

PACKAGES = ("numpy",)


class Optimiser:
    """Knows the whole sequence from the beginning."""

    def __init__(self, declared: Declaration) -> None:
        self._points = points(declared, declared.budget)
        self._n = declared.n_start

    def tell(self, points: list[Point], outcomes: list[list[float]]) -> None:
        """Learn nothing."""

    def ask(self, n: int) -> list[Point]:
        """Return the next points."""
        self._n += n
        return self._points[self._n - n : self._n]

    def predict(self, points: list[Point]) -> None:
        """Predict nothing."""
