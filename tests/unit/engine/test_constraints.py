import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from spaces import composition, continuous, define, integer

from materia.engine.constraints import Constraints
from materia.engine.relations import Relation, differentiate
from materia.engine.sampling import Design, feasible_fraction
from materia.engine.space import SearchSpace
from materia.errors import DefinitionError, InfeasibleError
from materia.mdl.expression import parse

pytestmark = pytest.mark.filterwarnings("error")


def built(definition):
    space = SearchSpace(definition)
    return space, Constraints(definition, space)


def design(definition, n, seed=0):
    space, constraints = built(definition)
    return space, constraints, Design(space, constraints, seed).sample(n)


def test_violation_is_in_the_units_of_the_user():
    _, constraints = built(define([continuous("a", 0, 10), continuous("b")], ["a + b <= 3"]))
    V = constraints.violation(np.array([[0.5, 1.0], [0.1, 0.5]]))
    assert V[:, 0].tolist() == pytest.approx([3.0, -1.5])


def test_an_undefined_constraint_counts_as_broken():
    _, constraints = built(define([continuous("a", 0, 1)], ["a / a <= 2"]))
    assert constraints.is_feasible(np.array([[0.0], [0.5]])).tolist() == [False, True]


def test_a_name_that_is_no_parameter_is_refused():
    with pytest.raises(DefinitionError, match="unknown names b"):
        built(define([continuous("a")], ["a + b <= 1"]))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_gradients_agree_with_finite_differences(seed):
    rng = np.random.default_rng(seed)
    node = parse("(2*a - b/(1 + c)) * (c - 3) / (a + 0.5) - -b*c").left
    names = {"a": 0, "b": 1, "c": 2}
    x = rng.uniform(0.1, 2.0, (1, 3))

    def value(x):
        return differentiate(node, {n: x[:, j] for n, j in names.items()}, names)

    _, gradient = value(x)
    for j in range(3):
        step = np.zeros(3)
        step[j] = 1e-6
        numeric = (value(x + step)[0] - value(x - step)[0]) / 2e-6
        assert gradient[0, j] == pytest.approx(numeric[0], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "2*a - (k + 1)/4 <= 3*(p - 0.5)",
        "-(a + k)*0.5 >= p/(2*2)",
        "a*k <= p + 1",
        "a/p < k",
        "b + a > 0.3",
        "a + k == 2 - p",
    ],
)
def test_residuals_and_gradients_are_those_of_the_violation(text):
    definition = define(
        [
            continuous("a", -2, 3),
            continuous("b", 0.01, 100, log_scale=True),
            integer("k", 1, 9),
            composition({"p": (0.1, 0.8), "q": None}),
        ],
        [text],
    )
    space, constraints = built(definition)
    relation = Relation(text, space)
    X = np.random.default_rng(0).uniform(0.05, 0.95, (40, space.d))
    residual, gradient = relation.linearise(X)
    amount = np.abs(residual) if relation.is_equation else residual
    assert constraints.violation(X)[:, 0] == pytest.approx(amount, abs=1e-7)
    for j in range(space.d):
        step = np.zeros(space.d)
        step[j] = 1e-6
        numeric = (relation.linearise(X + step)[0] - relation.linearise(X - step)[0]) / 2e-6
        assert gradient[:, j] == pytest.approx(numeric, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(
    ("parameters", "constraints"),
    [
        ([continuous("a"), continuous("b"), continuous("c")], ["a + b + c == 1"]),
        ([continuous("a"), continuous("b")], ["a*a + b*b == 0.5", "a >= b"]),
        ([continuous("a", 1e-3, 10, log_scale=True), continuous("b")], ["a*b <= 0.001"]),
        ([integer(n, 0, 20) for n in "abcd"], ["a + b + c + d == 7", "a >= 2*b"]),
        ([integer("k", 0, 9), continuous("x", 0, 10)], ["k + x == 8.5"]),
        ([composition(dict.fromkeys("abc")), continuous("x")], ["a <= 0.02", "x >= b"]),
        ([composition(dict.fromkeys("abcd"), total=100, step=5)], ["a + b <= 5", "c >= 2*d"]),
        ([composition(dict.fromkeys("abcd"), max_nonzero=2)], ["a - b >= 0.3"]),
        ([continuous(n) for n in "abcdefgh"], ["a+b+c+d+e+f+g+h < 0.1"]),
    ],
)
def test_designs_satisfy_constraints_that_random_points_hardly_ever_do(parameters, constraints):
    definition = define(parameters, constraints)
    space, built_constraints, X = design(definition, 100)
    for params in space.decode(X):
        assert space.contains(params)
        assert built_constraints.broken(params) == []
    assert len(np.unique(X.round(9), axis=0)) >= 9


def test_a_thin_corner_is_filled_uniformly():
    definition = define([continuous(n) for n in "abcdef"], ["a + b + c + d + e + f <= 0.3"])
    _, _, X = design(definition, 1500)
    # A corner simplex is the flat Dirichlet distribution with a seventh part left out.
    assert stats.kstest(X.sum(axis=1) / 0.3, stats.beta(6, 1).cdf).statistic < 0.05
    for column in X.T:
        assert stats.kstest(column / 0.3, stats.beta(1, 6).cdf).statistic < 0.06


def test_an_equation_is_filled_uniformly():
    definition = define([continuous(n) for n in "abc"], ["a + b + c == 1"])
    _, _, X = design(definition, 1500)
    for column in X.T:
        assert stats.kstest(column, stats.beta(1, 2).cdf).statistic < 0.05


def test_the_design_of_a_seed_is_a_fixed_sequence():
    definition = define([continuous("a"), continuous("b")], ["a + b <= 0.8"])
    _, _, long = design(definition, 90, seed=7)
    _, _, short = design(definition, 30, seed=7)
    _, _, other = design(definition, 30, seed=8)
    assert np.array_equal(long[:30], short)
    assert not np.any(short == other)


def test_repair_leaves_feasible_points_alone_and_never_touches_its_argument():
    definition = define([continuous("a"), continuous("b")], ["a + b <= 1"])
    _, constraints = built(definition)
    X = np.array([[0.2, 0.3], [0.9, 0.9]])
    before = X.copy()
    repaired = constraints.repair(X)
    assert np.array_equal(X, before)
    assert np.array_equal(repaired[0], X[0])
    assert repaired[1].tolist() == pytest.approx([0.5, 0.5], abs=1e-6)


def test_a_strict_constraint_excludes_equality():
    definition = define([integer("a", 0, 5), integer("b", 0, 5)], ["a < b"])
    space, constraints, X = design(definition, 60)
    assert all(p["a"] < p["b"] for p in space.decode(X))
    assert constraints.broken({"a": 2, "b": 2}) == ["a < b"]


def test_the_feasible_fraction_is_that_of_the_volume():
    definition = define([continuous("a"), continuous("b")], ["a + b <= 0.5"])
    assert feasible_fraction(definition, 4096) == pytest.approx(0.125, abs=0.002)


def test_a_fraction_of_zero_is_not_yet_infeasible():
    assert feasible_fraction(define([continuous("a"), continuous("b")], ["a == b"]), 512) == 0.0


def test_a_space_without_any_feasible_point_is_reported():
    definition = define([continuous("a"), continuous("b")], ["a + b >= 3"])
    with pytest.raises(InfeasibleError, match="no point of the search space"):
        feasible_fraction(definition, 512)
