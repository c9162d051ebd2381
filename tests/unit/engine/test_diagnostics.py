import numpy as np
import pytest

from materia.engine.diagnostics import log_density, quality, rank_correlation, rmse
from materia.engine.surrogates.evidence import Hyperparameters
from materia.engine.surrogates.gp import GaussianProcess
from materia.engine.surrogates.warping import Warp


def test_a_perfect_prediction_explains_everything():
    y = np.array([1.0, 2.0, 4.0])
    assert quality(y, y, np.ones(3)) == {
        "r2": 1.0,
        "coverage_95": 1.0,
        "rank_correlation": 1.0,
        "n": 3,
    }
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


def test_ranks_are_correlated_whatever_the_scale_and_ties_share_theirs():
    y = np.array([1.0, 2.0, 3.0, 4.0])
    assert rank_correlation(y, np.exp(y)) == pytest.approx(1.0)
    assert rank_correlation(y, -(y**3)) == pytest.approx(-1.0)
    assert rank_correlation(y, np.array([1.0, 1.0, 2.0, 2.0])) == pytest.approx(0.894427191)
    assert rank_correlation(y, np.ones(4)) == 0.0


def test_log_densities_compare_across_warps():
    y = np.exp(np.linspace(0.0, 6.0, 40))
    plain = GaussianProcess(
        y[:, None] / 400, y, np.full(40, np.nan), Hyperparameters(np.ones(1), 0.1)
    )
    mean, std = plain.leave_one_out()
    expected = -0.5 * ((y - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)
    assert log_density(plain) == pytest.approx(expected)
    bent = GaussianProcess(
        y[:, None] / 400, y, np.full(40, np.nan), Hyperparameters(np.ones(1), 0.1, Warp(5.0, 2.0))
    )
    mean, std = bent.leave_one_out()
    step = 1e-6 * y
    slope = (bent.warp(y + step) - bent.warp(y - step)) / (2 * step)
    expected = -0.5 * ((bent.warp(y) - mean) / std) ** 2 - np.log(std / slope)
    assert log_density(bent) == pytest.approx(expected - 0.5 * np.log(2 * np.pi), rel=1e-6)
