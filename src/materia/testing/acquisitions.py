"""What every acquisition function holds to. Derive a test class and run pytest:

from materia.testing.acquisitions import AcquisitionSuite

class TestMine(AcquisitionSuite):
    def acquisition(self, surrogate, Y):
        return Mine(surrogate, Y.min())
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from materia.engine.surrogates.independent import IndependentProcesses, samples
from materia.engine.surrogates.kinds import kind_of

FloatArray = NDArray[np.float64]
Acquisition = Callable[[FloatArray], FloatArray]


class AcquisitionSuite:
    """Tests of one acquisition function.

    Attributes:
        m: Number of objectives.
        n_observed: Observations that the surrogate is fitted to.
    """

    m: int = 1
    n_observed: int = 14

    def acquisition(self, surrogate: IndependentProcesses, Y: FloatArray) -> Acquisition:
        """Return the function under test; the same arguments must give the same function.

        Args:
            surrogate: Of m objectives over the unit square.
            Y: Observed outcomes, minimised, (n, m).
        """
        raise NotImplementedError

    def outcomes(self, X: FloatArray) -> FloatArray:
        """Return minimised outcomes (n, m) between 0 and about 2 of points (n, 2)."""
        centres = np.array([[0.3, 0.7], [0.8, 0.2], [0.1, 0.1], [0.9, 0.9], [0.5, 0.2]])
        square = ((X[:, None] - centres[: self.m]) ** 2).sum(axis=2)
        return np.asarray(square + 0.1 * np.sin(6.0 * X[:, :1]))

    def observed(self) -> tuple[FloatArray, FloatArray]:
        """Return observed points (n, 2) and outcomes (n, m)."""
        X = np.random.default_rng(3).random((self.n_observed, 2))
        return X, self.outcomes(X)

    def fitted(self, X: FloatArray, Y: FloatArray) -> IndependentProcesses:
        """Return the surrogate of observations."""
        unknown, floors = np.full_like(Y, np.nan), np.full(self.m, np.inf)
        found, rng = samples(X, Y, unknown, (), floors), np.random.default_rng(0)
        return IndependentProcesses(tuple(kind_of("gp").fit(sample, rng) for sample in found))

    def _made(self) -> tuple[Acquisition, FloatArray]:
        X, Y = self.observed()
        return self.acquisition(self.fitted(X, Y), Y), np.random.default_rng(4).random((60, 2))

    def test_it_gives_one_number_for_every_point(self) -> None:
        acquisition, X = self._made()
        values = acquisition(X)
        assert values.shape == (60,)
        assert not np.isnan(values).any() and not np.any(values == np.inf)

    def test_its_arguments_stay_as_they_are(self) -> None:
        X, Y = self.observed()
        surrogate = self.fitted(X, Y)
        where = np.random.default_rng(4).random((60, 2))
        before = copy.deepcopy((X, Y, where, surrogate.posterior(where)))
        self.acquisition(surrogate, Y)(where)
        after = (X, Y, where, surrogate.posterior(where))
        for old, new in zip(before[:3], after[:3], strict=True):
            assert np.array_equal(old, new)
        assert all(np.array_equal(a, b) for a, b in zip(before[3], after[3], strict=True))

    def test_a_point_is_judged_alike_alone_and_among_others(self) -> None:
        acquisition, X = self._made()
        values = acquisition(X)
        order = np.random.default_rng(1).permutation(len(X))
        close = {"rtol": 1e-6, "atol": 1e-8}
        assert np.allclose(acquisition(X[order]), values[order], **close)
        assert np.allclose([acquisition(X[[i]])[0] for i in range(5)], values[:5], **close)

    def test_it_gives_the_same_again(self) -> None:
        (one, X), (other, _) = self._made(), self._made()
        values = one(X)
        assert np.array_equal(values, one(X)) and np.array_equal(values, other(X))

    def test_it_does_not_depend_on_the_order_of_observations(self) -> None:
        X, Y = self.observed()
        surrogate = self.fitted(X, Y)
        where = np.random.default_rng(4).random((60, 2))
        values = self.acquisition(surrogate, Y)(where)
        turned = self.acquisition(surrogate, Y[::-1].copy())(where)
        assert np.allclose(turned, values, rtol=1e-6, atol=1e-8)

    def test_its_choices_are_better_than_random_ones(self) -> None:
        X, Y = self.observed()
        where = np.random.default_rng(6).random((400, 2))
        for _ in range(4):
            best = where[[int(np.argmax(self.acquisition(self.fitted(X, Y), Y)(where)))]]
            X, Y = np.vstack([X, best]), np.vstack([Y, self.outcomes(best)])
        chosen, usual = Y[self.n_observed :], self.outcomes(where)
        assert np.median(chosen.sum(axis=1)) < np.median(usual.sum(axis=1))
