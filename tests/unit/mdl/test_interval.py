"""Bounds of a formula contain every value that it takes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materia.mdl.expression import parse
from materia.mdl.interval import interval

NUMBERS = st.floats(-100, 100)


@st.composite
def formulas(draw: st.DrawFn, depth: int = 3) -> str:
    if depth == 0 or draw(st.booleans()):
        return draw(st.sampled_from(["a", "b", "2", "0.5", "10"]))
    left, right = draw(formulas(depth=depth - 1)), draw(formulas(depth=depth - 1))
    return draw(
        st.sampled_from(["({} + {})", "({} - {})", "({} * {})", "({} / {})", "(-{} + {})"])
    ).format(left, right)


@given(formulas(), NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.floats(0, 1), st.floats(0, 1))
def test_every_value_of_a_formula_lies_in_its_interval(
    text: str, a: float, b: float, c: float, d: float, s: float, t: float
) -> None:
    box = {"a": (min(a, b), max(a, b)), "b": (min(c, d), max(c, d))}
    bounds = interval(parse(text).left, box)
    if bounds is None:
        return
    at = {
        name: min(max(low + share * (high - low), low), high)
        for (name, (low, high)), share in zip(box.items(), (s, t), strict=True)
    }
    value = parse(text).evaluate(at)
    slack = 1e-9 * max(1.0, abs(bounds[0]), abs(bounds[1]))
    assert bounds[0] - slack <= value <= bounds[1] + slack


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("a + b", (-1, 5)),
        ("a - b", (-4, 2)),
        ("-a * b", (-6, 3)),
        ("b / 2", (0, 1.5)),
        ("1 / (b + 1)", (0.25, 1)),
    ],
)
def test_intervals_are_tight_where_each_name_occurs_once(
    text: str, bounds: tuple[float, float]
) -> None:
    assert interval(parse(text).left, {"a": (-1, 2), "b": (0, 3)}) == bounds


@pytest.mark.parametrize("text", ["1 / b", "a + missing", "1e308 * 1e308", "1 / (a - a)"])
def test_where_nothing_is_known_nothing_is_claimed(text: str) -> None:
    assert interval(parse(text).left, {"a": (-1, 2), "b": (0, 3)}) is None


def test_an_interval_is_finite() -> None:
    bounds = interval(parse("a * a").left, {"a": (-1e200, 1e200)})
    assert bounds is None or all(map(math.isfinite, bounds))
