import numpy as np
import pytest
from scipy import stats
from spaces import composition, continuous, define

from materia.engine.constraints import Constraints
from materia.engine.sampling import Design
from materia.engine.sobol import sobol
from materia.engine.space import SearchSpace

pytestmark = pytest.mark.filterwarnings("error")


def space_of(parts, **more):
    return SearchSpace(define([composition(parts, **more)]))


def values_of(space, X):
    return np.array([list(params.values()) for params in space.decode(X)])


def test_samples_are_uniform_on_the_simplex():
    space = space_of({"a": None, "b": None, "c": None, "d": None})
    values = values_of(space, space.sample(sobol(0, 2048, space.n_uniform, seed=1)))
    # Marginals of the flat Dirichlet distribution are Beta(1, k - 1).
    for column in values.T:
        assert stats.kstest(column, stats.beta(1, 3).cdf).statistic < 0.02
    for i in range(4):
        for j in range(i):
            assert np.corrcoef(values[:, i], values[:, j])[0, 1] == pytest.approx(-1 / 3, abs=0.05)


def test_samples_are_uniform_between_part_bounds():
    definition = define([composition({"a": (0.1, 0.4), "b": (0.0, 0.5), "c": (0.2, 0.9)})])
    space = SearchSpace(definition)
    design = Design(space, Constraints(definition, space), seed=2)
    values = values_of(space, design.sample(2000))
    flat = np.random.default_rng(0).dirichlet([1, 1, 1], 200_000)
    inside = np.all((flat >= [0.1, 0.0, 0.2]) & (flat <= [0.4, 0.5, 0.9]), axis=1)
    for column, expected in zip(values.T, flat[inside].T, strict=True):
        assert stats.ks_2samp(column, expected).statistic < 0.03


def test_every_step_composition_gets_about_the_same_share():
    space = space_of({"a": None, "b": None, "c": None}, total=100.0, step=20.0)
    X = space.sample(sobol(0, 4096, 2, seed=4))
    values = values_of(space, X[~np.isnan(X).any(axis=1)])
    _, counts = np.unique(values, axis=0, return_counts=True)
    assert len(counts) == 21
    assert counts.min() > 0.9 * counts.mean() and counts.max() < 1.1 * counts.mean()


def test_sparse_samples_use_all_subsets_of_parts():
    space = space_of(dict.fromkeys("abcd"), max_nonzero=2)
    values = values_of(space, space.sample(sobol(0, 1024, space.n_uniform, seed=0)))
    supports, counts = np.unique(values > 0, axis=0, return_counts=True)
    assert len(supports) == 6 and np.all(supports.sum(axis=1) == 2)
    assert counts.min() > 0.7 * counts.mean()


def test_projection_gives_the_nearest_composition():
    low, high = np.array([0.0, 0.1, 0.0, 0.05]), np.array([0.5, 0.4, 1.0, 0.6])
    bounds = zip("abcd", zip(low, high, strict=True), strict=True)
    space = space_of(dict(bounds))
    rng = np.random.default_rng(3)
    X = rng.uniform(-1, 2, (40, 4))
    wanted = np.column_stack(list(space.values(X).values()))
    projected = values_of(space, X)
    candidates = low + rng.dirichlet(np.ones(4), 200_000) * (1 - low.sum())
    candidates = candidates[np.all(candidates <= high, axis=1)]
    for point, nearest in zip(wanted, projected, strict=True):
        best = np.min(np.sum((candidates - point) ** 2, axis=1))
        assert np.sum((nearest - point) ** 2) <= best + 1e-12


@pytest.mark.parametrize("total", [1.0, 100.0])
@pytest.mark.parametrize("n_steps", [3, 10, 1000])
def test_rounding_to_steps_keeps_the_sum_exact(total, n_steps):
    step = total / n_steps
    space = space_of({"a": (0.0, 0.7 * total), "b": None, "c": None}, total=total, step=step)
    values = values_of(space, np.random.default_rng(0).uniform(-0.2, 1.2, (300, 3)))
    assert np.abs(values.sum(axis=1) - total).max() < 1e-9
    assert np.abs(values / step - np.rint(values / step)).max() < 1e-6
    assert values[:, 0].max() <= 0.7 * total + 1e-9


def test_decimal_steps_give_decimal_numbers():
    space = space_of({"a": None, "b": None, "c": None}, step=0.1)
    printed = {str(value) for value in values_of(space, space.grid()).ravel()}
    assert printed == {f"{k / 10:.1f}" for k in range(11)}


def test_a_sparse_composition_keeps_mandatory_parts_and_reaches_its_total():
    space = space_of(
        {"a": (0.1, 0.4), "b": (0.0, 0.3), "c": (0.0, 0.3), "d": (0.0, 0.8)}, max_nonzero=2
    )
    # By size alone b would be chosen beside a, but a and b cannot reach the total.
    values = values_of(space, np.array([[0.2, 1.0, 0.0, 0.1]]))[0]
    assert values[0] >= 0.1 and values[3] > 0 and np.count_nonzero(values) == 2
    assert values.sum() == pytest.approx(1.0, abs=1e-12)


def test_lengthscales_mean_the_same_for_major_and_minor_parts():
    space = space_of({"major": None, "minor": (0.0, 0.01)})
    X = space.encode([{"major": 0.99, "minor": 0.01}, {"major": 1.0, "minor": 0.0}])
    assert np.abs(X[0] - X[1]).tolist() == pytest.approx([1.0, 1.0])


def test_a_hundred_parts_work():
    parts = {f"p{i}": None for i in range(100)}
    space = SearchSpace(define([composition(parts, max_nonzero=5), continuous("x")]))
    params = space.decode(space.sample(sobol(0, 64, space.n_uniform, seed=0)))
    assert all(space.contains(p) for p in params)
