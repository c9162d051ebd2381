import numpy as np
import pytest

from materia.engine.climbing import climb

pytestmark = pytest.mark.filterwarnings("error")


def rosenbrock(X):
    x, y = 3 * X[:, 0] - 1, 3 * X[:, 1] - 1
    return -(100 * (y - x**2) ** 2 + (1 - x) ** 2)


def climbed(function, starts, n_steps=40, columns=None):
    columns = np.arange(starts.shape[1]) if columns is None else columns
    return climb(function, starts, function(starts), columns, n_steps=n_steps)


def test_every_point_reaches_the_top_of_its_own_hill():
    def hills(X):
        return -np.min([np.sum((X - c) ** 2, axis=1) for c in (0.2, 0.8)], axis=0)

    ends, values = climbed(hills, np.array([[0.3, 0.25, 0.1], [0.7, 0.9, 0.95]]))
    assert ends[0] == pytest.approx([0.2] * 3, abs=1e-4)
    assert ends[1] == pytest.approx([0.8] * 3, abs=1e-4)
    assert values == pytest.approx(hills(ends), abs=1e-12)


def test_a_bent_ridge_is_followed():
    _, values = climbed(rosenbrock, np.array([[0.5, 0.1]]), n_steps=60)
    assert values[0] > -1e-3


def test_a_top_beyond_the_bounds_is_met_at_the_bound():
    def slope(X):
        return X[:, 0] - (X[:, 1] - 0.6) ** 2

    ends, _ = climbed(slope, np.array([[0.4, 0.1]]))
    assert ends[0] == pytest.approx([1.0, 0.6], abs=1e-4)


def test_nothing_moves_along_other_columns_and_nothing_ends_below_its_start():
    starts = np.random.default_rng(0).random((5, 4))

    def rough(X):
        return np.sum(np.sin(40 * X), axis=1)

    ends, values = climbed(rough, starts, columns=np.array([1, 3]))
    assert np.array_equal(ends[:, [0, 2]], starts[:, [0, 2]])
    assert np.all(values >= rough(starts)) and np.all((ends >= 0) & (ends <= 1))


def test_plateaus_and_infinite_values_are_left_as_they_are():
    starts = np.full((2, 3), 0.5)
    for flat in (np.zeros, lambda n: np.full(n, -np.inf)):
        ends, values = climbed(lambda X, flat=flat: flat(len(X)), starts)
        assert np.array_equal(ends, starts) and np.array_equal(values, flat(2))


def test_after_a_few_steps_only_the_best_go_on():
    looked_at = []

    def cones(X):
        looked_at.append(len(X))
        return np.max([h - np.sum((X - h) ** 2, axis=1) ** 0.55 for h in (0.2, 0.5, 0.8)], axis=0)

    starts = np.array([[0.25, 0.3], [0.45, 0.6], [0.7, 0.75]])
    values = cones(starts)
    ends, found = climb(cones, starts, values, np.arange(2), n_steps=12, n_kept=1)
    assert np.all(found >= values) and np.argmax(found) == 2
    assert ends[2] == pytest.approx([0.8, 0.8], abs=0.01)
    assert looked_at[1] == 3 * 2 and looked_at[-1] == 4
