import numpy as np
import pytest

from materia.engine.diagnostics import quality, rmse


def test_a_perfect_prediction_explains_everything():
    y = np.array([1.0, 2.0, 4.0])
    assert quality(y, y, np.ones(3)) == {"r2": 1.0, "coverage_95": 1.0, "n": 3}
    assert rmse(y, y) == 0.0


def test_predicting_the_mean_explains_nothing():
    y = np.array([1.0, 2.0, 6.0])
    assert quality(y, np.full(3, 3.0), np.ones(3))["r2"] == pytest.approx(0.0)
    assert rmse(y, np.full(3, 3.0)) == pytest.approx(np.std(y))


def test_a_constant_outcome_has_no_variance_to_explain():
    assert quality(np.ones(4), np.ones(4), np.ones(4))["r2"] == 0.0


def test_coverage_is_that_of_normal_intervals():
    rng = np.random.default_rng(0)
    y = rng.standard_normal(20_000)
    assert quality(y, np.zeros(20_000), np.ones(20_000))["coverage_95"] == pytest.approx(
        0.95, abs=0.01
    )
    assert quality(y, np.zeros(20_000), np.full(20_000, 0.5))["coverage_95"] < 0.7
