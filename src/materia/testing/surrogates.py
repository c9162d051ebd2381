"""What every kind of surrogate holds to. Derive a test class, name the kind, and run pytest:

from materia.testing.surrogates import SurrogateSuite

class TestMine(SurrogateSuite):
    kind = MINE
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from materia.engine.surrogates.model import Kind, Model, Sample

FloatArray = NDArray[np.float64]

_NOISE = 0.1


def smooth(X: FloatArray) -> FloatArray:
    """Return a smooth function of the first three columns of X (n, d), of deviation about 1."""
    waves = np.sin(4.0 * X[:, 0]) + 2.0 * (X[:, 1] - 0.3) ** 2 + X[:, 0] * X[:, 2]
    return np.asarray(2.0 * waves)


def smooth_sample(n: int = 80, d: int = 4, seed: int = 0, noise: float = _NOISE) -> Sample:
    """Return n noisy observations of `smooth`."""
    rng = np.random.default_rng(seed)
    X = rng.random((n, d))
    y = smooth(X) + noise * rng.standard_normal(n)
    return Sample(X, y, np.full(n, np.nan))


def odd_samples() -> dict[str, Sample]:
    """Return samples that laboratories produce and textbooks leave out, by name."""
    rng = np.random.default_rng(5)
    X, unknown = rng.random((12, 3)), np.full(12, np.nan)
    wide = rng.random((15, 100))
    outcomes = {
        "constant": np.zeros(12),
        "large and constant": np.full(12, 1e9),
        "constant but for rounding": np.full(12, 0.1) + 1e-17,
        "an outlier of a million": np.append(np.sin(9.0 * X[:11, 0]), 1e6),
        "an outlier at the limit": np.append(np.arange(11.0), 1e100),
        "tiny": np.arange(12.0) * 1e-200,
        "two values": np.arange(12.0) % 2,
    }
    found = {name: Sample(X, y, unknown, (), -np.inf) for name, y in outcomes.items()}
    found["one observation"] = Sample(X[:1], np.array([2.0]), unknown[:1])
    found["two observations"] = Sample(X[:2], np.array([2.0, 3.0]), unknown[:2])
    found["copies of one point"] = Sample(np.full((12, 3), 0.3), np.arange(12.0), unknown)
    found["copies of one observation"] = Sample(np.full((12, 3), 0.3), np.full(12, 2.0), unknown)
    found["a hundred parameters"] = Sample(wide, wide[:, 0], np.full(15, np.nan))
    found["exact errors"] = Sample(X, X[:, 0], np.zeros(12))
    found["huge errors"] = Sample(X, X[:, 0], np.full(12, 1e6))
    found["only categories"] = Sample(
        np.rint(2.0 * X) / 2.0, np.arange(12.0), unknown, categorical=(0, 1, 2)
    )
    return found


class SurrogateSuite:
    """Tests of one kind of surrogate.

    Attributes:
        kind: What is tested.
    """

    kind: ClassVar[Kind]

    def fitted(self, sample: Sample, seed: int = 0) -> Model:
        """Return the model of a sample."""
        return self.kind.fit(sample, np.random.default_rng(seed))

    def test_the_same_sample_and_generator_give_the_same_bits(self) -> None:
        """Two processes that compute the same step agree."""
        sample, X = smooth_sample(), smooth_sample(seed=1).X
        one, other = self.fitted(sample), self.fitted(sample)
        assert _same(one.posterior(X), other.posterior(X))
        assert _same(one.leave_one_out(), other.leave_one_out())

    def test_a_restored_model_gives_the_same_bits(self) -> None:
        """A campaign that goes on from a checkpoint proposes the same candidates."""
        for sample in (smooth_sample(), odd_samples()["an outlier of a million"]):
            X = np.random.default_rng(1).random((40, sample.X.shape[1]))
            model = self.fitted(sample)
            stored = {key: value.copy() for key, value in model.arrays().items()}
            assert all(value.dtype == np.float64 for value in stored.values())
            again = self.kind.restore(sample, stored)
            assert _same(model.posterior(X), again.posterior(X))
            assert _same(model.leave_one_out(), again.leave_one_out())
            assert _same(model.believe(X[:2]).posterior(X), again.believe(X[:2]).posterior(X))
            assert (model.noise, model.warp) == (again.noise, again.warp)

    def test_arguments_are_never_changed(self) -> None:
        """Neither the sample nor the points asked are written to."""
        sample, X = smooth_sample(), smooth_sample(seed=1).X
        for array in (sample.X, sample.y, sample.sem, X):
            array.setflags(write=False)
        model = self.fitted(sample)
        model.believe(X[:3]).predict(X)
        model.leave_one_out()

    def test_the_order_of_observations_does_not_matter(self) -> None:
        """Results may arrive in any order."""
        sample, X = smooth_sample(), smooth_sample(seed=1).X
        order = np.random.default_rng(2).permutation(len(sample.y))
        shuffled = replace(sample, X=sample.X[order], y=sample.y[order], sem=sample.sem[order])
        one, other = self.fitted(sample), self.fitted(shuffled)
        tolerance = 0.02 * float(np.std(sample.y))
        for a, b in zip(one.posterior(X), other.posterior(X), strict=True):
            assert np.max(np.abs(a - b)) < tolerance
        for a, b in zip(one.leave_one_out(), other.leave_one_out(), strict=True):
            assert np.max(np.abs(a[order] - b)) < tolerance

    def test_the_unit_of_the_outcome_does_not_matter(self) -> None:
        """Standardisation is the kind's own affair; a power of two rounds nothing."""
        sample, X = smooth_sample(), smooth_sample(seed=1).X
        one, other = self.fitted(sample), self.fitted(replace(sample, y=1024.0 * sample.y))
        for a, b in zip(one.posterior(X), other.posterior(X), strict=True):
            assert np.allclose(1024.0 * a, b, rtol=1e-9, atol=0.0)

    def test_it_predicts_better_than_a_constant(self) -> None:
        """Learning pays, for the outcome and for the order of candidates."""
        X = smooth_sample(400, seed=3).X
        mean, _ = self.fitted(smooth_sample()).predict(X)
        truth = smooth(X)
        assert np.sqrt(np.mean((mean - truth) ** 2)) < 0.7 * np.std(truth)
        assert np.corrcoef(mean, truth)[0, 1] > 0.7

    def test_its_intervals_are_calibrated(self) -> None:
        """About 95 % of new points and of left-out observations lie in their 95 % interval."""
        X = smooth_sample(400, seed=3).X
        covered, left = [], []
        for seed in range(3):
            sample = smooth_sample(60 + 20 * seed, seed=seed)
            model = self.fitted(sample)
            mean, std = model.posterior(X)
            covered.append(np.abs(model.warp(smooth(X)) - mean) < 1.96 * std)
            mean, std = model.leave_one_out()
            left.append(np.abs(model.warp(sample.y) - mean) < 1.96 * std)
        assert 0.85 <= np.mean(np.concatenate(covered)) <= 1.0
        assert 0.85 <= np.mean(np.concatenate(left)) <= 1.0

    def test_predictions_of_left_out_observations_are_honest(self) -> None:
        """Their error is near that of new points, not near that of points already seen."""
        sample, new = smooth_sample(), smooth_sample(400, seed=3)
        model = self.fitted(sample)
        left = model.leave_one_out()[0] - model.warp(sample.y)
        unseen = model.posterior(new.X)[0] - model.warp(new.y)
        assert 0.6 < np.sqrt(np.mean(left**2)) / np.sqrt(np.mean(unseen**2)) < 1.7

    def test_a_belief_moves_no_mean_and_only_shrinks_uncertainty(self) -> None:
        """Batches spread out because what was just chosen is uncertain no more."""
        sample, X = smooth_sample(), smooth_sample(seed=1).X
        model = self.fitted(sample)
        believed = model.believe(X[:2]).believe(X[2:3])
        mean, std = model.posterior(X)
        mean_after, std_after = believed.posterior(X)
        assert np.allclose(mean, mean_after, rtol=1e-9, atol=1e-9)
        assert np.all(std_after <= std * (1.0 + 1e-6))
        assert np.all(std_after[:3] < 0.95 * std[:3])
        assert _same(model.posterior(X), (mean, std))

    def test_odd_samples_give_finite_answers_without_a_warning(self) -> None:
        """Constants, copies, outliers, one observation, many parameters: always an answer."""
        for name, sample in odd_samples().items():
            X = np.random.default_rng(1).random((40, sample.X.shape[1]))
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                model = self.fitted(sample)
                answers = [*model.posterior(X), *model.leave_one_out()]
                answers += [*model.predict(X), *model.believe(X[:3]).posterior(X)]
            assert all(np.all(np.isfinite(answer)) for answer in answers), name
            assert np.all(model.posterior(X)[1] > 0.0), name
            assert np.all(model.leave_one_out()[1] > 0.0), name
            assert len(model.leave_one_out()[0]) == len(sample.y), name
            assert np.isfinite(model.noise) and model.noise >= 0.0, name
            assert model.lengthscales.shape == (sample.X.shape[1],), name

    def test_a_category_that_was_never_observed_is_answered(self) -> None:
        """The space may hold choices that nobody has tried."""
        rng = np.random.default_rng(0)
        X = np.column_stack([rng.integers(0, 3, 40) / 3.0, rng.random(40)])
        y = np.array([0.0, 5.0, -5.0])[np.rint(3.0 * X[:, 0]).astype(np.intp)] + X[:, 1]
        model = self.fitted(Sample(X, y, np.full(40, np.nan), categorical=(0,)))
        mean, std = model.posterior(np.array([[0.0, 0.5], [1 / 3, 0.5], [2 / 3, 0.5], [1.0, 0.5]]))
        assert mean[2] < mean[0] < mean[1]
        assert np.all(np.isfinite(mean)) and np.all(std > 0.0)

    def test_no_points_give_no_answers(self) -> None:
        """An empty question has an empty answer."""
        mean, std = self.fitted(smooth_sample()).posterior(np.empty((0, 4)))
        assert mean.shape == std.shape == (0,)


def _same(a: tuple[FloatArray, FloatArray], b: tuple[FloatArray, FloatArray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
