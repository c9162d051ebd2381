"""A formula per objective, and what is said about a wrong one."""

from __future__ import annotations

import math

import pytest

from materia import evaluators
from materia.errors import EvaluationError
from materia.mdl.definition import Definition


def definition(**options: object) -> Definition:
    return Definition.model_validate(
        {
            "name": "coating",
            "parameters": [
                {"name": "thickness", "type": "continuous", "bounds": [0.0, 10.0]},
                {"name": "layers", "type": "categorical", "choices": [1, 2, 4]},
                {"name": "gas", "type": "categorical", "choices": ["N2", "Ar"]},
            ],
            "objectives": [{"name": "hardness"}, {"name": "cost"}],
            "evaluator": {"type": "expression", "options": options},
        }
    )


GOOD = {
    "hardness": "12 + sqrt(thickness) * inertness - layers ** 2",
    "cost": 7,
    "inertness": {"gas": {"N2": 0.5, "Ar": 2}},
}


def test_each_objective_follows_its_formula_and_categories_their_lookup() -> None:
    declared = definition(**GOOD)
    assert evaluators.check(declared, data_roots=[]) == []
    evaluator = evaluators.build(declared, data_roots=[])
    evaluation = evaluator.evaluate({"thickness": 9.0, "layers": 2, "gas": "Ar"}, seed=5)
    assert evaluation.outcomes == {"hardness": pytest.approx(12 + 3 * 2 - 4), "cost": 7.0}
    assert evaluator.cheap


def test_a_lookup_of_numbers_and_truth_values_names_them_as_text() -> None:
    options = {**GOOD, "inertness": {"layers": {"1": 0.1, "2": 0.2, "4": 0.4}}}
    evaluator = evaluators.build(definition(**options), data_roots=[])
    outcomes = evaluator.evaluate({"thickness": 100.0, "layers": 4, "gas": "N2"}, seed=0).outcomes
    assert outcomes["hardness"] == pytest.approx(12 + 10 * 0.4 - 16)
    switch = {"name": "bias", "type": "categorical", "choices": [True, False]}
    declared = definition(**{**GOOD, "inertness": {"bias": {"true": 3, "false": 0}}}).model_dump()
    declared["parameters"].append(switch)
    evaluator = evaluators.build(Definition.model_validate(declared), data_roots=[])
    params = {"thickness": 100.0, "layers": 1, "gas": "N2", "bias": True}
    assert evaluator.evaluate(params, seed=0).outcomes["hardness"] == pytest.approx(41)


@pytest.mark.parametrize(
    ("formula", "thickness"),
    [("log(thickness)", 0.0), ("1 / thickness", 0.0), ("sqrt(thickness - 1)", 0.5)],
)
def test_a_formula_that_is_not_finite_fails_that_candidate_only(
    formula: str, thickness: float
) -> None:
    evaluator = evaluators.build(definition(**{**GOOD, "cost": formula}), data_roots=[])
    with pytest.raises(EvaluationError, match="cost"):
        evaluator.evaluate({"thickness": thickness, "layers": 1, "gas": "N2"}, seed=0)
    outcomes = evaluator.evaluate({"thickness": 4.0, "layers": 1, "gas": "N2"}, seed=0).outcomes
    assert math.isfinite(outcomes["cost"])


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        ({"hardnes": "thickness"}, "evaluator.options.hardnes", "no objective"),
        ({"cost": "thicknes + 1"}, "evaluator.options.cost", "column 1"),
        ({"cost": "thickness +"}, "evaluator.options.cost", "column"),
        ({"cost": "__import__"}, "evaluator.options.cost", "column 1"),
        ({"cost": "thickness <= 1"}, "evaluator.options.cost", "compares"),
        ({"cost": "gas * 2"}, "evaluator.options.cost", "no numbers"),
        ({"inertness": {"gas": {"N2": 1}}}, "evaluator.options.inertness", "no number for Ar"),
        ({"inertness": {"gas": {"N2": 1, "Ar": 1, "He": 1}}}, "evaluator.options.inertness", "He"),
        (
            {"inertness": {"gas": {"N2": 1, "Ar": math.nan}}},
            "evaluator.options.inertness",
            "finite",
        ),
        ({"inertness": {"gsa": {"N2": 1}}}, "evaluator.options.inertness", "gsa"),
        ({"inertness": {}}, "evaluator.options.inertness", "exactly one"),
        ({"thickness": {"gas": {"N2": 1, "Ar": 2}}}, "evaluator.options.thickness", "already"),
    ],
)
def test_a_wrong_option_is_a_finding_with_its_place(
    change: dict[str, object], path: str, words: str
) -> None:
    findings = evaluators.check(definition(**{**GOOD, **change}), data_roots=[])
    assert any(f.path == path and words in f.message and f.level == "error" for f in findings)


def test_an_objective_without_formula_is_named() -> None:
    (finding,) = evaluators.check(definition(hardness="1 + thickness"), data_roots=[])
    assert "'cost' has no formula" in finding.message


def test_a_value_that_is_neither_formula_nor_lookup_is_a_finding() -> None:
    findings = evaluators.check(definition(**{**GOOD, "cost": [1, 2]}), data_roots=[])
    assert findings[0].path.startswith("evaluator.options.cost")
