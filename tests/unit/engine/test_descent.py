import numpy as np
import pytest

from materia.engine.surrogates.descent import descend

pytestmark = pytest.mark.filterwarnings("error")


class Counted:
    """A function that knows how often it was called."""

    def __init__(self, function):
        self.function, self.n_calls = function, 0

    def __call__(self, x):
        self.n_calls += 1
        return self.function(x)


def bowl(x):
    steepness = np.array([1.0, 30.0, 200.0])
    return 0.5 * float(steepness @ (x - 0.3) ** 2), steepness * (x - 0.3)


def rosenbrock(x):
    a, b = x
    value = 100 * (b - a * a) ** 2 + (1 - a) ** 2
    return float(value), np.array([-400 * a * (b - a * a) - 2 * (1 - a), 200 * (b - a * a)])


def bottom(function, start, bound=5.0, curvature=None, tolerance=1e-12):
    start = np.array(start, dtype=float)
    limits = np.full(len(start), -bound), np.full(len(start), bound)
    return descend(function, start, *limits, curvature, max_steps=200, tolerance=tolerance)


def test_a_bent_valley_is_followed_to_its_end():
    found = bottom(rosenbrock, [-1.2, 1.0])
    assert found.x == pytest.approx([1.0, 1.0], abs=1e-4)


def test_curvature_that_is_known_beforehand_saves_the_steps():
    blind, knowing = Counted(bowl), Counted(bowl)
    learnt = bottom(blind, [2.0, -1.0, 1.0])
    found = bottom(knowing, [2.0, -1.0, 1.0], curvature=np.diag([1.0, 30.0, 200.0]))
    assert learnt.x == pytest.approx([0.3] * 3, abs=1e-5)
    assert found.x == pytest.approx([0.3] * 3, abs=1e-9)
    assert knowing.n_calls <= 3 < blind.n_calls


def test_nothing_leaves_the_bounds_and_the_rest_moves_on_along_them():
    found = bottom(rosenbrock, [-0.4, 0.3], bound=0.5)
    assert found.x == pytest.approx([0.5, 0.25], abs=1e-4)


def test_it_stays_where_nothing_is_gained_or_where_the_function_fails_all_around():
    flat = bottom(lambda x: (0.0, np.zeros(2)), [0.1, 0.2])
    assert np.array_equal(flat.x, [0.1, 0.2]) and flat.curvature is None

    def failing(x):
        is_start = bool(np.all(x == 0.0))
        return (1.0, np.ones(2)) if is_start else (1e25, np.zeros(2))

    assert bottom(failing, [0.0, 0.0]).value == 1.0
