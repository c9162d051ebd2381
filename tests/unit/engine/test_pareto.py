import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materia.engine.pareto import hypervolume, is_non_dominated

pytestmark = pytest.mark.filterwarnings("error")


def brute_force_front(Y):
    rows = []
    for i, y in enumerate(Y):
        others = [z for j, z in enumerate(Y) if j != i and not np.isnan(z).any()]
        is_dominated = any(np.all(z <= y) and np.any(z < y) for z in others)
        rows.append(not np.isnan(y).any() and not is_dominated)
    return np.array(rows, dtype=bool)


def brute_force_volume(Y, reference):
    """Add up all cells of the grid that the points' coordinates span."""
    inside = Y[np.all(reference > Y, axis=1)]
    axes = [np.unique(np.append(inside[:, j], reference[j])) for j in range(Y.shape[1])]
    total = 0.0
    for corner in np.ndindex(*[len(axis) - 1 for axis in axes]):
        low = np.array([axis[c] for axis, c in zip(axes, corner, strict=True)])
        high = np.array([axis[c + 1] for axis, c in zip(axes, corner, strict=True)])
        if np.any(np.all(inside <= low, axis=1)):
            total += float(np.prod(high - low))
    return total


CLOUDS = st.integers(1, 4).flatmap(
    lambda m: st.lists(
        st.lists(
            st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.5, -1.0, math.nan, math.inf]),
            min_size=m,
            max_size=m,
        ),
        min_size=1,
        max_size=25,
    )
)


@settings(max_examples=200, deadline=None)
@given(CLOUDS)
def test_the_front_equals_brute_force_with_ties_copies_and_nan(rows):
    Y = np.array(rows)
    before = Y.copy()
    assert np.array_equal(is_non_dominated(Y), brute_force_front(Y))
    assert np.array_equal(Y, before, equal_nan=True)


@settings(max_examples=100, deadline=None)
@given(CLOUDS)
def test_the_hypervolume_equals_brute_force(rows):
    Y = np.array(rows)
    reference = np.full(Y.shape[1], 3.5)
    clean = Y[~np.isnan(Y).any(axis=1)]
    expected = brute_force_volume(clean, reference)
    assert hypervolume(Y, reference) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_large_clouds_agree_with_brute_force():
    rng = np.random.default_rng(0)
    for m in (1, 2, 3):
        Y = rng.random((2500, m)).round(2)
        Y[::100, 0] = np.inf
        expected = [not np.any(np.all(y >= Y, axis=1) & np.any(y > Y, axis=1)) for y in Y]
        assert is_non_dominated(Y).tolist() == expected


def test_the_hypervolume_agrees_with_monte_carlo():
    rng = np.random.default_rng(1)
    for m in (2, 3, 4):
        Y = rng.random((20, m))
        draws = rng.random((100_000, m))
        covered = np.zeros(len(draws), dtype=bool)
        for y in Y:
            covered |= np.all(y <= draws, axis=1)
        assert hypervolume(Y, np.ones(m)) == pytest.approx(covered.mean(), abs=0.01)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_another_point_never_lowers_the_hypervolume(seed):
    Y = np.random.default_rng(seed).normal(size=(12, 2))
    volumes = [hypervolume(Y[:n], np.array([0.5, 0.5])) for n in range(1, 13)]
    assert np.all(np.diff(volumes) >= 0)


def test_nothing_at_all_has_an_empty_front_and_no_volume():
    assert is_non_dominated(np.empty((0, 2))).tolist() == []
    assert hypervolume(np.empty((0, 2)), np.ones(2)) == 0.0
    assert hypervolume(np.full((3, 2), np.nan), np.ones(2)) == 0.0


def test_points_on_the_border_of_the_reference_count_nothing():
    assert hypervolume(np.array([[1.0, 0.0], [0.0, 1.0]]), np.ones(2)) == 0.0
