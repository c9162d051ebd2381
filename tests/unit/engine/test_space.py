import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaces import (
    categorical,
    composition,
    continuous,
    define,
    faults,
    integer,
    parameter_lists,
)

from materia.engine.space import SearchSpace
from materia.errors import DataError, InfeasibleError

pytestmark = pytest.mark.filterwarnings("error")


@settings(max_examples=60, deadline=None)
@given(parameter_lists(), st.integers(0, 2**32))
def test_any_point_of_the_cube_decodes_to_an_allowed_point_and_back(parameters, seed):
    definition = define(parameters)
    space = SearchSpace(definition)
    X = np.random.default_rng(seed).uniform(-0.3, 1.3, (20, space.d))
    params = space.decode(X)
    assert [faults(definition, p) for p in params] == [[]] * 20
    assert all(space.contains(p) for p in params)
    encoded = space.encode(params)
    assert np.allclose(encoded, space.snap(X), atol=1e-9)
    assert encoded.min() >= -1e-9 and encoded.max() <= 1 + 1e-9
    for before, after in zip(params, space.decode(encoded), strict=True):
        for name, value in before.items():
            if isinstance(value, float):
                assert after[name] == pytest.approx(value, rel=1e-9, abs=1e-9)
            else:
                assert after[name] == value


@settings(max_examples=60, deadline=None)
@given(parameter_lists(), st.integers(0, 2**32))
def test_quasi_random_numbers_become_allowed_points(parameters, seed):
    definition = define(parameters)
    space = SearchSpace(definition)
    X = space.sample(np.random.default_rng(seed).random((50, space.n_uniform)))
    X = X[~np.isnan(X).any(axis=1)]
    assert np.allclose(space.snap(X), X, atol=1e-9)


def test_columns_follow_the_declared_scale():
    space = SearchSpace(
        define([continuous("a", 1e-3, 10.0, log_scale=True), integer("k", 2, 10, step=4)])
    )
    middle = space.encode([{"a": 0.1, "k": 6}])
    assert middle[0].tolist() == pytest.approx([0.5, 0.5])
    assert space.decode(np.array([[0.5, 0.6]]))[0] == {"a": pytest.approx(0.1), "k": 6}


@settings(max_examples=300, deadline=None)
@given(st.floats(1e-6, 1e3), st.floats(1e-3, 1e6), st.booleans())
def test_the_ends_of_a_column_are_exactly_the_bounds(low, width, log_scale):
    space = SearchSpace(define([continuous("x", low, low + width, log_scale=log_scale)]))
    ends = np.array([[0.0], [1.0]])
    assert [p["x"] for p in space.decode(ends)] == [low, low + width]
    assert space.values(ends)["x"].tolist() == [low, low + width]


def test_the_upper_bound_of_a_logarithmic_scale_is_reached():
    parameters = [continuous("x", 1.0, 20.0, log_scale=True), integer("k", 3, 20, log_scale=True)]
    space = SearchSpace(define(parameters, ["k <= 20"]))
    assert space.decode(np.ones((1, 2))) == [{"x": 20.0, "k": 20}]
    assert space.decode(space.encode([{"x": 20.0, "k": 20}])) == [{"x": 20.0, "k": 20}]
    assert space.values(np.ones((1, 2)))["k"].tolist() == [20.0]


def test_an_integer_whose_upper_bound_is_off_its_steps_never_reaches_it():
    space = SearchSpace(define([integer("k", 1, 10, step=4)]))
    assert [p["k"] for p in space.decode(space.grid())] == [1, 5, 9]
    assert not space.contains({"k": 10})


def test_every_integer_gets_the_same_share():
    space = SearchSpace(define([integer("k", 0, 3)]))
    values = [p["k"] for p in space.decode(space.sample((np.arange(4000)[:, None] + 0.5) / 4000))]
    assert np.bincount(values).tolist() == [1000] * 4


def test_types_are_those_of_the_definition():
    space = SearchSpace(
        define([continuous("x"), integer("k", 0, 3), categorical("c", [1, 2.5, "a", True])])
    )
    for params in space.decode(np.random.default_rng(0).random((30, 3))):
        assert type(params["x"]) is float and type(params["k"]) is int
        assert any(params["c"] is choice for choice in [1, 2.5, "a", True]) or isinstance(
            params["c"], float
        )


def test_one_and_true_are_different_choices():
    space = SearchSpace(define([categorical("c", [1, True, "1"])]))
    assert space.encode([{"c": 1}, {"c": True}, {"c": "1"}])[:, 0].tolist() == [0.0, 0.5, 1.0]


def test_a_parameter_with_equal_bounds_is_constant():
    space = SearchSpace(define([continuous("a", 2.0, 2.0), integer("k", 5, 5), continuous("b")]))
    assert space.n_free == 1
    assert space.decode(np.ones((1, 3)))[0] == {"a": 2.0, "k": 5, "b": 1.0}
    assert np.all(np.isfinite(space.encode([{"a": 2.0, "k": 5, "b": 0.5}])))


def test_free_dimensions_and_size_are_counted():
    parts = {"p": None, "q": None, "r": None}
    assert SearchSpace(define([continuous("a"), composition(parts)])).n_free == 3
    finite = SearchSpace(define([integer("k", 1, 4), composition(parts, total=1.0, step=0.25)]))
    assert finite.size == 4 * math.comb(6, 2) == len(finite.grid())
    assert SearchSpace(define([continuous("a")])).size is None


def test_neighbours_differ_in_one_discrete_parameter_and_are_allowed():
    definition = define(
        [
            continuous("x"),
            integer("k", 0, 100, step=5),
            categorical("c", ["u", "v", "w"]),
            composition({"p": None, "q": None, "r": (0.0, 0.2)}, step=0.1),
        ]
    )
    space = SearchSpace(definition)
    here = {"x": 0.3, "k": 50, "c": "v", "p": 0.5, "q": 0.4, "r": 0.1}
    X = space.neighbours(space.encode([here])[0])
    near = space.decode(X)
    assert all(faults(definition, params) == [] for params in near)
    changed = [{name for name in here if params[name] != here[name]} for params in near]
    assert {"k"} in changed and {"c"} in changed and {"p", "q"} in changed
    assert all(len(names) == 1 or names <= {"p", "q", "r"} for names in changed)
    assert {45, 55} <= {params["k"] for params in near}
    assert {params["c"] for params in near} == {"u", "v", "w"}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"a": 1.0}, "missing k"),
        ({"a": 1.0, "k": 1, "z": 0}, "unknown z"),
        ({"a": "high", "k": 1}, "'a' is 'high'"),
        ({"a": float("nan"), "k": 1}, "'a' is nan"),
        ({"a": True, "k": 1}, "'a' is True"),
        ({"a": -1.0, "k": 1}, "logarithmic"),
    ],
)
def test_params_that_cannot_be_placed_are_refused_by_name(params, message):
    space = SearchSpace(define([continuous("a", 1.0, 2.0, log_scale=True), integer("k", 0, 3)]))
    with pytest.raises(DataError, match=message):
        space.encode([params])


def test_an_unknown_choice_is_refused_with_the_known_ones():
    space = SearchSpace(define([categorical("c", ["u", "v"])]))
    with pytest.raises(DataError, match=r"'w' is not one of \['u', 'v'\]"):
        space.encode([{"c": "w"}])


@pytest.mark.parametrize(
    ("parts", "more", "message"),
    [
        ({"p": (0.0, 0.3), "q": (0.0, 0.3)}, {}, "cannot sum to 1"),
        ({"p": (0.6, 1.0), "q": (0.6, 1.0)}, {}, "cannot sum to 1"),
        ({"p": (0.1, 1.0), "q": (0.1, 1.0)}, {"max_nonzero": 1}, "2 parts have lower bounds"),
        ({"p": None, "q": None}, {"step": 0.3}, "whole number of steps"),
        ({"p": (0.0, 0.4), "q": (0.0, 0.4), "r": (0.0, 0.4)}, {"max_nonzero": 2}, "cannot sum"),
    ],
)
def test_a_composition_that_cannot_close_is_refused(parts, more, message):
    with pytest.raises(InfeasibleError, match=message):
        SearchSpace(define([composition(parts, **more)]))
