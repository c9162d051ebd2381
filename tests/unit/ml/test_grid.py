"""Which trials a grid means, in which order, and how many are too many."""

from __future__ import annotations

import itertools
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materia.errors import DefinitionError
from materia.ml.grid import expand, n_combinations


def test_three_by_three_by_three_is_twenty_seven() -> None:
    grid = {"n_estimators": [50, 100, 200], "max_depth": [5, 10, 20], "max_features": [1, 2, 3]}
    assert n_combinations(grid) == len(expand(grid)) == 27


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5),
        st.lists(st.integers(), min_size=1, max_size=4, unique=True),
        min_size=1,
        max_size=4,
    )
)
def test_a_grid_is_the_product_in_the_order_of_its_keys(grid: dict[str, list[int]]) -> None:
    expected = [dict(zip(grid, v, strict=True)) for v in itertools.product(*grid.values())]
    assert expand(grid) == expected


def test_a_list_of_trials_keeps_its_order() -> None:
    trials = [{"max_depth": 9}, {}, {"max_depth": 3, "n_estimators": 5}]
    assert expand(trials) == trials


@pytest.mark.parametrize("n_keys", [9, 90])
def test_a_grid_of_a_thousand_million_points_is_refused_before_it_is_made(n_keys: int) -> None:
    grid = {f"k{i}": list(range(10)) for i in range(n_keys)}
    tracemalloc.start()
    with pytest.raises(DefinitionError, match=r"= 10{9,} combinations are more than 10000"):
        expand(grid)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_draws_are_different_points_of_any_grid_and_follow_from_the_seed() -> None:
    huge = {f"k{i}": list(range(10)) for i in range(40)}
    drawn = expand(huge, strategy="random", n_iter=50, seed=1)
    assert drawn == expand(huge, strategy="random", n_iter=50, seed=1)
    assert drawn != expand(huge, strategy="random", n_iter=50, seed=2)
    assert len({tuple(trial.values()) for trial in drawn}) == 50
    few = {"a": [1, 2], "b": [1, 2, 3]}
    all_of_them = expand(few, strategy="random", n_iter=20)
    assert sorted(map(str, all_of_them)) == sorted(map(str, expand(few)))


def test_draws_from_ranges_stay_inside_and_keep_their_type() -> None:
    ranges = {
        "max_depth": {"low": 2, "high": 9},
        "alpha": {"min": 1e-4, "max": 1e2, "log": True},
        "share": {"low": 0, "high": 1, "type": "float"},
        "kind": ["a", "b"],
    }
    drawn = expand(ranges, strategy="random", n_iter=200)
    assert {trial["max_depth"] for trial in drawn} == set(range(2, 10))
    assert all(1e-4 <= trial["alpha"] <= 1e2 for trial in drawn)
    assert 40 < sum(trial["alpha"] < 0.1 for trial in drawn) < 160
    assert len({trial["share"] for trial in drawn}) == 200
    assert list(drawn[0]) == list(ranges)


@pytest.mark.parametrize(
    ("grid", "keys", "words"),
    [
        ({}, {}, "empty"),
        ([], {}, "empty"),
        ({"a": []}, {}, "param_grid.a: is an empty list"),
        ({"a": 5}, {}, "param_grid.a: must be a list"),
        ({"a": "abc"}, {}, "param_grid.a: must be a list"),
        ({"a": [1, 2, 1]}, {}, "lists 1 twice"),
        ({"a": [float("nan")]}, {}, "not a finite number"),
        ([{"a": float("inf")}], {}, r"param_grid\[0\].a: inf"),
        ([{"a": 1}, 3], {}, r"param_grid\[1\]"),
        ([{"a": 1}] * 10_001, {}, "10001 trials"),
        ("a", {}, "must be a list of mappings"),
        ({3: [1]}, {}, "texts"),
        ({"a": {"min": 1, "max": 2}}, {}, "must be a list"),
        ({"a": [1]}, {"strategy": "best"}, "no strategy"),
        ({"a": [1]}, {"strategy": "random", "n_iter": 0}, "n_iter"),
        ({"a": [1]}, {"strategy": "random", "n_iter": 10**9}, "n_iter"),
        ([{"a": 1}], {"strategy": "random"}, "random"),
        ({"a": {"min": 2, "max": 1}}, {"strategy": "random"}, "not below"),
        ({"a": {"min": 0, "max": 1, "log": True}}, {"strategy": "random"}, "above 0"),
        ({"a": {"min": 0, "max": 1e400}}, {"strategy": "random"}, "finite"),
        ({"a": {"low": 0, "max": 1, "high": 2}}, {"strategy": "random"}, "range"),
        ({"a": {"low": 0, "height": 1}}, {"strategy": "random"}, "range"),
        ({"a": {"low": 0, "high": 1, "type": "text"}}, {"strategy": "random"}, "type must be"),
        ({"a": {"low": 0.5, "high": 2, "type": "integer"}}, {"strategy": "random"}, "type must be"),
        ({"a": {"low": 0, "high": 1, "log": 1}}, {"strategy": "random"}, "log must be"),
        ({"a": {"low": True, "high": 2}}, {"strategy": "random"}, "finite"),
    ],
)
def test_a_malformed_grid_is_refused_with_its_place(
    grid: Any, keys: dict[str, Any], words: str
) -> None:
    with pytest.raises(DefinitionError, match=words):
        expand(grid, **keys)
