"""Guessing what a misspelt word was meant to be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materia.mdl.suggest import SYNONYMS, closest, did_you_mean

WORDS = ["bounds", "choices", "log_scale", "unit", "Ni", "Cu"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("bound", "bounds"),
        ("BOUNDS", "bounds"),
        ("bonuds", "bounds"),
        ("log-scale", "log_scale"),
        ("log scale", "log_scale"),
        ("range", "bounds"),
        ("levels", "choices"),
        ("ni", "Ni"),
        ("Nj", "Ni"),
        ("temperature", None),
        ("", None),
        ("x", None),
    ],
)
def test_the_likely_word_is_found(word: str, meant: str | None) -> None:
    assert closest(word, WORDS) == meant


def test_advice_names_the_likely_word_or_else_all_of_them() -> None:
    assert did_you_mean("bound", WORDS) == "did you mean 'bounds'?"
    assert did_you_mean("zzz", WORDS) == "allowed: bounds, choices, log_scale, unit, Ni, Cu"
    assert did_you_mean("zzz", [f"x{i}" for i in range(50)]).endswith("x19, …")
    assert did_you_mean("zzz", ["a", "b", "a"]) == "allowed: a, b"
    assert did_you_mean("zzz", []) == "there is none to choose from"


def test_a_word_far_too_long_is_not_compared() -> None:
    assert closest("bounds" * 1000, WORDS) is None


@given(st.text(max_size=30))
def test_a_guess_is_always_an_allowed_word(word: str) -> None:
    assert closest(word, WORDS) in [*WORDS, None]


def test_no_synonym_stands_for_two_words_of_one_place() -> None:
    places = [
        ["minimize", "maximize"],
        ["continuous", "integer", "categorical", "composition"],
        ["auto", "ei", "ehvi"],
        ["name", "type", "bounds", "choices", "parts", "total", "unit", "log_scale", "max_nonzero"],
        ["budget", "batch_size", "seed", "active_learning", "method"],
    ]
    for words in places:
        meant = [synonym for word in words for synonym in SYNONYMS.get(word, ())]
        assert len(meant) == len(set(meant))
