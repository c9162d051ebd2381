import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materia.engine.surrogates import evidence, gp, independent
from materia.engine.surrogates.evidence import Hyperparameters, LogPosterior
from materia.engine.surrogates.gp import GaussianProcess
from materia.engine.surrogates.kernels import ANALYTIC, ROUGH, SMOOTH
from materia.engine.surrogates.warping import Warp, compression

pytestmark = pytest.mark.filterwarnings("error")


def points(n, d, seed=0):
    return np.random.default_rng(seed).random((n, d))


def unknown(n):
    return np.full(n, np.nan)


def fitted(X, y, sem=None, categorical=(), floor=math.inf):
    sem = unknown(len(y)) if sem is None else sem
    return GaussianProcess(X, y, sem, gp.fit(X, y, sem, categorical, floor), categorical)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(2, 25), st.booleans(), st.integers(0, 10**6))
def test_the_gradient_agrees_with_finite_differences(d, n, has_errors, seed):
    rng = np.random.default_rng(seed)
    X = rng.random((n, d))
    X[:, -1] = np.rint(2 * X[:, -1]) / 2
    sem = np.where(rng.random(n) < 0.5, 0.1, np.nan) if has_errors else unknown(n)
    smoothness = (ROUGH, SMOOTH, ANALYTIC)[seed % 3]
    posterior = LogPosterior(X, rng.standard_normal(n), sem, (d - 1,), smoothness)
    others = [rng.normal(-5, 1), rng.normal(0, 1), rng.normal(-0.5, 0.5)]
    theta = np.append(rng.normal(-0.5, 0.7, d), others)
    _, gradient = posterior(theta)
    for j in range(d + 3):
        step = np.zeros(d + 3)
        step[j] = 1e-5
        numeric = (posterior(theta + step)[0] - posterior(theta - step)[0]) / 2e-5
        assert gradient[j] == pytest.approx(numeric, rel=2e-4, abs=2e-4)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 4), st.integers(3, 20), st.integers(0, 10**6))
def test_leave_one_out_equals_actual_refits(d, n, seed):
    rng = np.random.default_rng(seed)
    X, y = rng.random((n, d)), rng.standard_normal(n) * 3 + 5
    sem = np.where(rng.random(n) < 0.3, 0.5, np.nan)
    parameters = Hyperparameters(rng.uniform(0.2, 2.0, d), 0.01)
    process = GaussianProcess(X, y, sem, parameters)
    mean, std = process.leave_one_out()
    location, scale = evidence.standard(y)
    for i in range(n):
        others = np.arange(n) != i
        refit = GaussianProcess(
            X[others], y[others], sem[others], parameters, standardisation=(location, scale)
        )
        expected, spread = refit.posterior(X[i : i + 1])
        noise = sem[i] ** 2 if not np.isnan(sem[i]) else 0.01 * scale**2
        assert mean[i] == pytest.approx(expected[0], rel=1e-6, abs=1e-8)
        assert std[i] == pytest.approx(math.sqrt(spread[0] ** 2 + noise), rel=1e-6)


def test_the_posterior_agrees_with_the_textbook_formula():
    X, y = points(12, 2), np.sin(6 * points(12, 2)[:, 0])
    process = GaussianProcess(X, y, unknown(12), Hyperparameters(np.array([0.4, 0.9]), 1e-3))
    new = points(5, 2, seed=1)

    def kernel(A, B):
        r = np.sqrt(np.sum(((A[:, None] - B[None]) / [0.4, 0.9]) ** 2, axis=2))
        s = math.sqrt(5) * r
        return (1 + s + s**2 / 3) * np.exp(-s) + 1.0

    location, scale = y.mean(), y.std()
    K = kernel(X, X) + 1e-3 * np.eye(12)
    gain = kernel(new, X) @ np.linalg.inv(K)
    mean = location + scale * gain @ ((y - location) / scale)
    variance = 2.0 - np.sum(gain * kernel(new, X), axis=1)
    found_mean, found_std = process.posterior(new)
    assert found_mean == pytest.approx(mean, rel=1e-9)
    assert found_std == pytest.approx(scale * np.sqrt(variance), rel=1e-7)


def test_believing_means_shrinks_uncertainty_as_if_observed_and_moves_no_mean():
    X, y = points(15, 3), points(15, 3)[:, 0] ** 2
    parameters = Hyperparameters(np.array([0.5, 0.6, 0.7]), 1e-4)
    process = GaussianProcess(X, y, unknown(15), parameters)
    new, test = points(4, 3, seed=1), points(30, 3, seed=2)
    believed = process.believe(new[:1]).believe(new[1:])
    together = GaussianProcess(
        np.vstack([X, new]),
        np.append(y, process.posterior(new)[0]),
        unknown(19),
        parameters,
        standardisation=evidence.standard(y),
    )
    assert believed.posterior(test)[0] == pytest.approx(process.posterior(test)[0], abs=1e-12)
    assert believed.posterior(test)[0] == pytest.approx(together.posterior(test)[0], abs=1e-7)
    assert believed.posterior(test)[1] == pytest.approx(together.posterior(test)[1], rel=1e-5)


def test_a_smooth_function_is_learnt_and_its_irrelevant_columns_recognised():
    X = points(60, 5)
    y = np.sin(5 * X[:, 1]) + X[:, 3] ** 2
    process = fitted(X, y)
    test = points(200, 5, seed=9)
    error = process.posterior(test)[0] - (np.sin(5 * test[:, 1]) + test[:, 3] ** 2)
    assert np.sqrt(np.mean(error**2)) < 0.02
    scales = process.hyperparameters.lengthscales
    assert scales[1] < scales[3] < min(scales[0], scales[2], scales[4])


def test_intervals_cover_what_they_promise():
    rng = np.random.default_rng(4)
    X = rng.random((80, 3))
    y = np.cos(4 * X[:, 0]) * X[:, 1] + 0.1 * rng.standard_normal(80)
    process = fitted(X, y)
    test = rng.random((500, 3))
    mean, std = process.posterior(test)
    z = (np.cos(4 * test[:, 0]) * test[:, 1] - mean) / std
    assert 0.85 < np.mean(np.abs(z) < 1.96) <= 1.0
    assert 0.05 < math.sqrt(process.hyperparameters.noise) * y.std() < 0.15


def test_stated_errors_weigh_observations():
    X = np.array([[0.2], [0.2], [0.8], [0.8]])
    y = np.array([0.0, 1.0, 0.0, 1.0])
    sem = np.array([0.01, 1.0, 1.0, 0.01])
    process = GaussianProcess(X, y, sem, Hyperparameters(np.array([0.3]), 1e-4))
    mean, _ = process.posterior(np.array([[0.2], [0.8]]))
    assert mean[0] < 0.02 and mean[1] > 0.98


def test_categories_have_no_order():
    rng = np.random.default_rng(0)
    level = rng.integers(0, 4, 60)
    X = np.column_stack([level / 3, rng.random(60)])
    y = np.array([0.0, 5.0, -5.0, 1.0])[level] + X[:, 1]
    process = fitted(X, y, categorical=(0,))
    order = np.array([2, 0, 3, 1])
    shuffled = np.column_stack([order[level] / 3, X[:, 1]])
    other = fitted(shuffled, y, categorical=(0,))
    test = np.column_stack([np.arange(4) / 3, np.full(4, 0.5)])
    test_shuffled = np.column_stack([order / 3, np.full(4, 0.5)])
    assert process.posterior(test)[0] == pytest.approx([0.5, 5.5, -4.5, 1.5], abs=0.05)
    assert other.posterior(test_shuffled)[0] == pytest.approx(process.posterior(test)[0], abs=1e-3)


def test_a_category_never_seen_is_more_uncertain_than_those_seen():
    X = np.array([[0.0], [0.5], [0.0], [0.5]])
    process = GaussianProcess(
        X, np.array([1.0, 2.0, 1.1, 2.1]), unknown(4), Hyperparameters(np.ones(1), 1e-4), (0,)
    )
    _, std = process.posterior(np.array([[0.0], [0.5], [1.0]]))
    assert std[2] > 3 * max(std[0], std[1])


@pytest.mark.parametrize(
    "y",
    [
        np.zeros(10),
        np.full(10, 1e9),
        np.full(10, 0.1) + 1e-17,
        np.append(np.zeros(9), 1e6),
        np.append(np.arange(9.0), 1e100),
        np.arange(10.0) * 1e-200,
    ],
)
def test_degenerate_outcomes_give_finite_posteriors(y):
    process = fitted(points(10, 3), y, floor=-math.inf)
    mean, std = process.predict(points(50, 3, seed=1))
    assert np.all(np.isfinite(mean)) and np.all(std > 0)
    assert np.all(np.isfinite(process.leave_one_out()[0]))


def test_one_observation_and_many_copies_of_one_give_finite_posteriors():
    for X in (np.full((1, 2), 0.3), np.full((20, 2), 0.3)):
        process = fitted(X, np.full(len(X), 2.0))
        mean, std = process.posterior(np.array([[0.3, 0.3], [0.9, 0.9]]))
        assert mean == pytest.approx([2.0, 2.0])
        assert std[0] < std[1]


def test_contradicting_copies_are_taken_for_noise():
    X = np.repeat(points(8, 2), 3, axis=0)
    y = np.repeat(np.arange(8.0), 3) + np.tile([-1.0, 0.0, 1.0], 8)
    assert fitted(X, y).hyperparameters.noise > 0.01


def test_many_observations_are_learnt_from():
    X = points(evidence._MANY + 100, 2)
    y = np.sin(5 * X[:, 0]) + X[:, 1]
    process = fitted(X, y)
    test = points(50, 2, seed=5)
    error = process.posterior(test)[0] - np.sin(5 * test[:, 0]) - test[:, 1]
    assert np.abs(error).max() < 0.01


def test_what_was_explored_before_changes_no_fit():
    X = points(50, 3)
    y = np.sin(4 * X[:, 0]) + X[:, 2]
    evidence._explored.cache_clear()
    alone = gp.fit(X, y, unknown(50))
    evidence._explored.cache_clear()
    for n in (5, 20, 45, 49):
        gp.fit(X[:n], y[:n], unknown(n))
    after = gp.fit(X, y, unknown(50))
    assert np.array_equal(alone.lengthscales, after.lengthscales)
    assert (alone.noise, alone.signal) == (after.noise, after.signal)


def test_exploration_begins_anew_when_the_observations_have_grown_by_a_fifth():
    counts = [evidence._checkpoint(n) for n in range(1, 500)]
    assert counts[:16] == list(range(1, 17))
    assert all(n / 1.3 <= count <= n for n, count in enumerate(counts, start=1))
    assert len(set(counts)) < 45


def test_the_smoothness_is_that_of_the_outcomes_and_their_variance_never_below_what_was_seen():
    X = points(80, 2)
    smooth = gp.fit(X, np.exp(np.sin(3 * X[:, 0]) + X[:, 1]), unknown(80))
    rough = gp.fit(X, np.abs(X[:, 0] - 0.5) + np.abs(X[:, 1] - 0.3), unknown(80))
    assert (smooth.smoothness, rough.smoothness) == (ANALYTIC, ROUGH)
    assert smooth.signal > 2.0
    white = gp.fit(X, np.random.default_rng(0).standard_normal(80), unknown(80))
    assert white.signal == 1.0 and white.noise > 0.3


def test_draws_have_the_mean_and_the_covariance_of_the_posterior():
    X = points(12, 2)
    process = fitted(X, np.sin(5 * X[:, 0]) + X[:, 1])
    test = np.vstack([points(4, 2, seed=3), [[0.5, 0.5], [0.5, 0.501]]])
    drawn = process.drawn(test, 4000, np.random.default_rng(0))
    mean, std = process.posterior(test)
    assert drawn.mean(axis=1) == pytest.approx(mean, abs=4 * std.max() / math.sqrt(4000))
    assert drawn.std(axis=1) == pytest.approx(std, rel=0.06, abs=1e-3)
    assert np.corrcoef(drawn[4], drawn[5])[0, 1] > 0.99


def test_bad_outcomes_are_compressed_when_a_tail_hides_the_valley():
    X = points(40, 2)
    depth = np.sum((X - 0.4) ** 2, axis=1)
    y = np.exp(14 * depth)
    process = fitted(X, y, floor=-math.inf)
    assert not process.hyperparameters.warp.is_identity
    plain = fitted(X, y)
    test = 0.4 + 0.1 * (points(50, 2, seed=3) - 0.5)
    truth = np.exp(14 * np.sum((test - 0.4) ** 2, axis=1))
    warped_error = np.abs(process.predict(test)[0] - truth).max()
    assert warped_error < 0.2 * np.abs(plain.predict(test)[0] - truth).max()


def test_a_wave_without_a_tail_is_not_compressed():
    X = points(40, 2)
    process = fitted(X, np.sin(4 * X[:, 0]) + X[:, 1], floor=-math.inf)
    assert process.hyperparameters.warp.is_identity


@settings(max_examples=50, deadline=None)
@given(st.floats(-10, 10), st.floats(0.01, 10), st.lists(st.floats(-100, 1e6), min_size=1))
def test_a_warp_is_increasing_smooth_and_inverted(pivot, scale, values):
    warp, y = Warp(pivot, scale), np.sort(np.array(values))
    bent = warp(y)
    assert np.all(np.diff(bent) >= 0)
    assert np.array_equal(bent[y <= pivot], y[y <= pivot])
    back, std = warp.invert(bent, np.ones(len(y)))
    assert back == pytest.approx(y, rel=1e-9, abs=1e-9)
    assert std * warp.slope(y) == pytest.approx(np.ones(len(y)), rel=1e-9)


def test_nothing_is_compressed_below_the_floor_or_without_a_tail():
    y = np.append(np.arange(10.0), 1000.0)
    warp = compression(y, floor=8.0)
    assert warp is not None and warp.pivot == 8.0
    assert compression(y, floor=math.inf) is None
    assert compression(np.arange(11.0), floor=8.0) is None
    assert compression(y[:4], floor=-math.inf) is None


def test_outcomes_observed_at_different_points_are_modelled_one_by_one():
    X = points(20, 2)
    Y = np.column_stack([X[:, 0], X[:, 1]])
    Y[:5, 1] = np.nan
    sem = np.full_like(Y, np.nan)
    samples = independent.samples(X, Y, sem, (), np.full(2, np.inf))
    rng = np.random.default_rng(0)
    models = tuple(gp.KIND.fit(sample, rng) for sample in samples)
    surrogate = independent.IndependentProcesses(models)
    alone = fitted(X[5:], Y[5:, 1])
    test = points(10, 2, seed=8)
    assert surrogate.posterior(test)[0][:, 1] == pytest.approx(alone.posterior(test)[0], rel=1e-12)
    pairs = zip(samples, models, strict=True)
    restored = tuple(gp.KIND.restore(sample, model.arrays()) for sample, model in pairs)
    again = independent.IndependentProcesses(restored)
    assert np.array_equal(again.posterior(test)[0], surrogate.posterior(test)[0])
    assert np.array_equal(again.posterior(test)[1], surrogate.posterior(test)[1])
