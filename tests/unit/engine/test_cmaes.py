import numpy as np
import pytest

from materia.engine.cmaes import maximise

pytestmark = pytest.mark.filterwarnings("error")


def clip(X):
    return np.clip(X, 0.0, 1.0)


def search(function, d, seed=0, n_runs=4, repair=clip, **more):
    starts = np.random.default_rng(100).random((n_runs, d))
    return maximise(function, repair, starts, np.random.default_rng(seed), **more)


def bowl(centre):
    return lambda X: -np.sum((X - centre) ** 2, axis=1)


@pytest.mark.parametrize("d", [1, 2, 6, 20, 50])
def test_every_run_finds_the_top_of_a_bowl(d):
    best, values = search(bowl(0.37), d, sigma=0.2, n_generations=200)
    assert np.abs(best - 0.37).max() < 0.05
    assert values == pytest.approx(bowl(0.37)(best))


def test_a_rotated_narrow_ridge_is_followed():
    rotation, _ = np.linalg.qr(np.random.default_rng(3).standard_normal((5, 5)))
    weights = np.array([1e4, 1e2, 1.0, 1.0, 1.0])

    def ridge(X):
        return -np.sum(weights * ((X - 0.5) @ rotation) ** 2, axis=1)

    _, values = search(ridge, 5, sigma=0.2, n_generations=300)
    assert values.max() > -1e-4


def test_a_corner_is_reached_exactly():
    best, _ = search(lambda X: X.sum(axis=1), 6, n_generations=100)
    assert np.all(best.max(axis=0) == 1.0)


def test_points_are_judged_as_they_come_out_of_repair():
    seen = []

    def tenths(X):
        return np.rint(clip(X) * 10) / 10

    def function(X):
        seen.append(X.copy())
        return bowl(0.6)(X)

    starts = tenths(np.random.default_rng(0).random((3, 4)))
    best, _ = maximise(function, tenths, starts, np.random.default_rng(0), n_generations=60)
    assert np.all(np.isin(np.vstack(seen), np.rint(np.arange(11)) / 10))
    assert np.all(best.round(1) == 0.6)


def test_the_same_generator_gives_the_same_search():
    first, second = (search(bowl(0.2), 3, seed=5) for _ in range(2))
    assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], search(bowl(0.2), 3, seed=6)[0])


def test_starts_are_not_touched_and_never_made_worse():
    starts = np.random.default_rng(2).random((5, 3))
    before = starts.copy()
    _, values = maximise(bowl(0.5), clip, starts, np.random.default_rng(0), n_generations=3)
    assert np.array_equal(starts, before)
    assert np.all(values >= bowl(0.5)(starts))


def test_a_function_that_is_minus_infinity_almost_everywhere_does_no_harm():
    def needle(X):
        return np.where(X[:, 0] > 0.999, X[:, 0], -np.inf)

    best, values = search(needle, 2, n_generations=30)
    assert np.all((best >= 0) & (best <= 1)) and not np.isnan(values).any()
