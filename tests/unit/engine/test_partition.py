import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materia.engine.pareto import hypervolume, is_non_dominated
from materia.engine.partition import MAX_BOXES, non_dominated_boxes

pytestmark = pytest.mark.filterwarnings("error")


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 5), st.integers(0, 14), st.integers(2, 9), st.integers(0, 2**31))
def test_boxes_are_disjoint_and_hold_exactly_what_nothing_dominates(m, n, n_levels, seed):
    rng = np.random.default_rng(seed)
    Y = rng.integers(0, n_levels, size=(n, m)).astype(float)  # many ties
    reference = np.full(m, n_levels - 1.5)
    low, high = non_dominated_boxes(Y, reference)
    points = rng.uniform(-1, n_levels, size=(200, m))
    holders = np.all((points[:, None] > low) & (points[:, None] < high), axis=2).sum(axis=1)
    is_dominated = np.all(Y[None] <= points[:, None], axis=2).any(axis=1)
    is_free = ~is_dominated & np.all(points < reference, axis=1)
    assert np.array_equal(holders, is_free.astype(int))
    volume = float(np.prod(high - np.maximum(low, -1.0), axis=1).sum())
    left = (n_levels - 0.5) ** m - hypervolume(Y, reference)
    assert volume == pytest.approx(left, rel=1e-12)


def test_their_number_is_bounded_by_leaving_out_what_adds_least():
    rng = np.random.default_rng(0)
    Y = np.abs(rng.standard_normal((200, 5)))
    Y /= np.linalg.norm(Y, axis=1)[:, None]
    reference = np.full(5, 1.1)
    low, high = non_dominated_boxes(Y, reference)
    assert len(low) <= MAX_BOXES
    left = 1.1**5 - hypervolume(Y, reference)
    volume = float(np.prod(high - np.maximum(low, 0.0), axis=1).sum())
    assert left <= volume < 1.15 * left
    assert is_non_dominated(Y).all()
