import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from materia.engine.acquisition import hypervolume_improvement
from materia.engine.acquisition.expected_improvement import (
    ExpectedImprovement,
    log_h,
    log_shortfall,
)
from materia.engine.acquisition.hypervolume_improvement import HypervolumeImprovement
from materia.engine.pareto import hypervolume, is_non_dominated

pytestmark = pytest.mark.filterwarnings("error")


class Fixed:
    """A surrogate whose posterior is the same everywhere."""

    def __init__(self, mean, std):
        self.mean, self.std = np.atleast_1d(mean).astype(float), np.atleast_1d(std).astype(float)

    def posterior(self, X):
        shape = (len(X), len(self.mean))
        return np.broadcast_to(self.mean, shape), np.broadcast_to(self.std, shape)


HERE = np.zeros((1, 1))


def test_expected_improvement_agrees_with_monte_carlo():
    draws = np.random.default_rng(0).standard_normal(2_000_000)
    for mean, std, best in [(1.0, 0.5, 0.8), (0.0, 2.0, 0.5), (3.0, 1.0, 1.0)]:
        expected = np.maximum(best - (mean + std * draws), 0).mean()
        found = ExpectedImprovement(Fixed(mean, std), best)(HERE)[0]
        assert math.exp(found) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("z", [-5.0, -10.0, -35.0, -300.0, -2e3, -1e4, -1e6, -1e8])
def test_deep_tails_follow_the_asymptotic_series(z):
    series = 1.0 - 3.0 / z**2 + 15.0 / z**4 - 105.0 / z**6 if abs(z) > 99 else None
    if series is None:
        value, _ = integrate.quad(
            lambda t: -t * math.exp(-0.5 * (z + t) ** 2 + 0.5 * z * z), -40, 0, epsrel=1e-12
        )
        bracket = math.log(value)
    else:
        bracket = math.log(series) - 2 * math.log(-z)
    expected = -0.5 * z * z - 0.5 * math.log(2 * math.pi) + bracket
    assert log_h(np.array([z]))[0] == pytest.approx(expected, rel=1e-9)


def test_the_logarithm_is_smooth_where_its_formulas_meet():
    for joint in (-1.0, -1e3, -1e5):
        z = joint * (1 + np.linspace(-1e-4, 1e-4, 201))
        value = log_h(np.sort(z))
        slopes = np.diff(value) / np.diff(np.sort(z))
        assert np.all(np.diff(value) > 0)
        assert slopes == pytest.approx(np.full(200, slopes.mean()), rel=1e-3)


@settings(max_examples=60, deadline=None)
@given(st.floats(-3, 3), st.floats(0.05, 3), st.floats(0.01, 3))
def test_the_shortfall_of_an_absolute_value_agrees_with_quadrature(mean, std, threshold):
    def integrand(y):
        density = math.exp(-0.5 * ((y - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))
        return max(threshold - abs(y), 0.0) * density

    expected, _ = integrate.quad(integrand, -threshold, threshold, points=[0.0], epsabs=1e-14)
    found = log_shortfall(np.array([threshold]), np.array([mean]), np.array([std]), folded=True)
    assert math.exp(found[0]) == pytest.approx(expected, rel=1e-5, abs=1e-12)


def test_an_absolute_value_never_falls_below_zero():
    for threshold in (0.0, -1.0):
        found = log_shortfall(np.array([threshold]), np.zeros(1), np.ones(1), folded=True)
        assert found[0] == -math.inf


FRONT = np.array([[1.0, 4.0], [2.0, 2.5], [3.5, 1.0]])
REFERENCE = np.array([5.0, 5.0])


@pytest.mark.parametrize(
    ("mean", "std"),
    [([2.0, 2.0], [0.5, 0.7]), ([1.2, 3.0], [1.0, 0.2]), ([4.0, 4.0], [1.0, 1.0])],
)
@pytest.mark.parametrize("folded", [(False, False), (True, False), (True, True)])
def test_hypervolume_improvement_agrees_with_monte_carlo(mean, std, folded):
    rng = np.random.default_rng(1)
    draws = np.array(mean) + np.array(std) * rng.standard_normal((400_000, 2))
    Y = np.where(folded, np.abs(draws), draws)
    # The union of boxes has area: sum over strips of what lies below the front's staircase.
    edges = np.append(FRONT[:, 0], REFERENCE[0])
    tops = np.append(REFERENCE[1], FRONT[:, 1])
    starts = np.append(-np.inf, FRONT[:, 0])
    gain = np.zeros(len(Y))
    for low, high, top in zip(starts, edges, tops, strict=True):
        width = np.maximum(high - np.maximum(Y[:, 0], low), 0)
        gain += width * np.maximum(top - Y[:, 1], 0)
    before = hypervolume(FRONT, REFERENCE)
    checked = [hypervolume(np.vstack([FRONT, y]), REFERENCE) - before for y in Y[:200]]
    assert gain[:200] == pytest.approx(checked, abs=1e-9)
    acquisition = HypervolumeImprovement(Fixed(mean, std), FRONT, REFERENCE, folded)
    assert math.exp(acquisition(HERE)[0]) == pytest.approx(gain.mean(), rel=0.03)


def test_without_a_front_it_is_the_product_of_two_improvements():
    surrogate = Fixed([4.0, 6.0], [1.0, 2.0])
    acquisition = HypervolumeImprovement(surrogate, np.empty((0, 2)), REFERENCE)
    first = log_shortfall(REFERENCE[:1], np.array([4.0]), np.array([1.0]), folded=False)
    second = log_shortfall(REFERENCE[1:], np.array([6.0]), np.array([2.0]), folded=False)
    assert acquisition(HERE)[0] == pytest.approx(first[0] + second[0], rel=1e-12)


def test_a_certain_second_objective_turns_it_into_expected_improvement():
    # Height 2 below the reference, and the only front point at the same height.
    front = np.array([[2.0, 3.0]])
    acquisition = HypervolumeImprovement(Fixed([2.5, 3.0], [0.8, 1e-9]), front, REFERENCE)
    improvement = ExpectedImprovement(Fixed([2.5], [0.8]), 2.0)
    assert acquisition(HERE)[0] == pytest.approx(improvement(HERE)[0] + math.log(2.0), rel=1e-6)


def test_it_keeps_a_slope_far_behind_the_front():
    acquisition = [
        HypervolumeImprovement(Fixed([mean, mean], [0.01, 0.01]), FRONT, REFERENCE)(HERE)[0]
        for mean in (6.0, 7.0, 8.0, 50.0)
    ]
    assert np.all(np.isfinite(acquisition)) and np.all(np.diff(acquisition) < 0)


def test_front_points_beyond_the_reference_and_equal_ones_change_nothing():
    surrogate = Fixed([2.0, 2.0], [1.0, 1.0])
    plain = HypervolumeImprovement(surrogate, FRONT, REFERENCE)(HERE)[0]
    more = np.vstack([FRONT, FRONT[1], [0.5, 9.0], [9.0, 0.5]])
    assert HypervolumeImprovement(surrogate, more, REFERENCE)(HERE)[0] == pytest.approx(plain)


@pytest.mark.parametrize("m", [3, 4, 5])
@pytest.mark.parametrize("is_first_folded", [False, True])
def test_improvement_of_more_objectives_agrees_with_monte_carlo(m, is_first_folded):
    rng = np.random.default_rng(m)
    front = rng.uniform(0.3, 1.0, size=(9, m))
    front = front[is_non_dominated(front)]
    reference = np.full(m, 1.2)
    mean, std = rng.uniform(0.2, 0.7, size=m), rng.uniform(0.1, 0.4, size=m)
    folded = (is_first_folded,) + (False,) * (m - 1)
    Y = mean + std * rng.standard_normal((4000, m))
    Y = np.where(folded, np.abs(Y), Y)
    before = hypervolume(front, reference)
    gains = np.array([hypervolume(np.vstack([front, y]), reference) - before for y in Y])
    error = gains.std() / math.sqrt(len(gains))
    acquisition = HypervolumeImprovement(Fixed(mean, std), front, reference, folded)
    assert math.exp(acquisition(HERE)[0]) == pytest.approx(gains.mean(), abs=4 * error)


@pytest.mark.parametrize("m", [2, 3, 5])
def test_its_two_ways_of_summing_agree(m, monkeypatch):
    rng = np.random.default_rng(m)
    front = rng.uniform(0.0, 1.0, size=(12, m))
    acquisition = HypervolumeImprovement(
        Fixed(np.zeros(m), np.ones(m)), front[is_non_dominated(front)], np.full(m, 1.1)
    )
    mean = np.linspace(0.5, 12.0, 300)[:, None] * np.ones(m)
    std = np.full_like(mean, 0.3)
    values = acquisition.of(mean, std)
    assert np.all(np.isfinite(values)) and np.all(np.diff(values) < 0)
    assert values[0] > -10 and values[-1] < -1000
    monkeypatch.setattr(hypervolume_improvement, "_TINY", math.inf)
    assert acquisition.of(mean, std) == pytest.approx(values, rel=1e-9)


def test_it_looks_at_many_points_in_blocks():
    rng = np.random.default_rng(0)
    front = rng.uniform(0, 1, size=(200, 4))
    front = front[is_non_dominated(front)]
    acquisition = HypervolumeImprovement(Fixed([0.0] * 4, [1.0] * 4), front, np.full(4, 1.1))
    mean, std = rng.uniform(0, 1, size=(700, 4)), rng.uniform(0.01, 0.3, size=(700, 4))
    single = [acquisition.of(mean[[i]], std[[i]])[0] for i in range(0, 700, 97)]
    assert acquisition.of(mean, std)[::97] == pytest.approx(single, rel=1e-12)
