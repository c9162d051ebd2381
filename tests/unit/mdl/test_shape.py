"""Keys, words and values of the wrong shape: what, where, and what was probably meant."""

from __future__ import annotations

import copy
import json

import pytest
from battery import DATA, changed, findings_of, line_of, only


@pytest.mark.parametrize(
    ("old", "new", "line", "path", "meant"),
    [
        ("description:", "descripton:", 2, "descripton", "description"),
        ("parameters:", "variables:", 3, "variables", "parameters"),
        ("optimizer:", "optimiser:", 24, "optimiser", "optimizer"),
        ("unit:", "units:", 4, "parameters[0].units", "unit"),
        ("bounds: [0.3", "range: [0.3", 4, "parameters[0].range", "bounds"),
        ("bounds: [700", "Bounds: [700", 5, "parameters[1].Bounds", "bounds"),
        ("choices:", "values:", 6, "parameters[2].values", "choices"),
        ("parts:", "components:", 10, "parameters[3].components", "parts"),
        ("bounds: [0, 60]", "bonds: [0, 60]", 11, "parameters[3].parts[0].bonds", "bounds"),
        ("reference_point:", "reference:", 15, "objectives[0].reference", "reference_point"),
        ("expression: ni", "formula: ni", 18, "constraints[0].formula", "expression"),
        (
            "expression: cost",
            "expresion: cost",
            20,
            "outcome_constraints[0].expresion",
            "expression",
        ),
        ("options:", "params:", 23, "evaluator.params", "options"),
        ("budget:", "max_evaluations:", 26, "optimizer.max_evaluations", "budget"),
        (
            "active_learning:",
            "active-learning:",
            29,
            "optimizer.active-learning",
            "active_learning",
        ),
        (
            "initial_samples:",
            "n_initial:",
            30,
            "optimizer.active_learning.n_initial",
            "initial_samples",
        ),
    ],
)
def test_an_unknown_key_is_answered_with_the_key_that_was_meant(
    old: str, new: str, line: int, path: str, meant: str
) -> None:
    finding = only(changed((old, new)))
    assert (finding.line, finding.path) == (line, path)
    assert f"unknown key '{path.split('.')[-1]}'" in finding.message
    assert finding.fix == f"did you mean '{meant}'?"


def test_an_unknown_key_like_no_other_lists_what_is_allowed() -> None:
    finding = only(changed(("seed: 42", "seed: 42\n  zzz: 1")))
    assert finding.message == "unknown key 'zzz' in optimizer"
    assert finding.fix is not None and finding.fix.startswith("allowed: method, surrogate, acq")


def test_a_key_of_another_section_is_sent_there_and_checked_there() -> None:
    found = findings_of(changed(("  seed: 42\n", ""), ("name: li-ion", "name: li-ion\nseed: -1")))
    assert [(f.line, f.path) for f in found] == [(2, "seed"), (2, "optimizer.seed")]
    assert found[0].message == "unknown key 'seed'; it belongs under optimizer"
    found = findings_of(changed(("seed: 42", "convergence_threshold: 5")))
    assert found[0].message.endswith("it belongs under optimizer.active_learning")
    assert "less than 1" in found[1].message


def test_a_key_of_another_kind_of_parameter_is_explained() -> None:
    finding = only(changed(("unit: mol/mol", "step: 3")))
    assert finding.message == "a parameter of type continuous has no 'step'"
    assert finding.fix == "remove it; type integer and composition have it"


def test_a_misspelt_key_beside_the_right_one_is_to_be_removed() -> None:
    finding = only(changed(("budget: 200", "budget: 200\n  budgets: 300")))
    assert "'budget' is given already" in finding.message
    assert finding.fix == "remove it"


@pytest.mark.parametrize(
    ("old", "new", "path", "meant"),
    [
        ("type: continuous", "type: contineous", "parameters[0].type", "continuous"),
        ("type: continuous", "type: float", "parameters[0].type", "continuous"),
        ("type: integer", "type: int", "parameters[1].type", "integer"),
        ("type: categorical", "type: Categorical", "parameters[2].type", "categorical"),
        ("type: composition", "type: mixture", "parameters[3].type", "composition"),
        ("direction: maximize", "direction: maximise", "objectives[0].direction", "maximize"),
        ("direction: minimize", "direction: min", "objectives[1].direction", "minimize"),
        ("acquisition: auto", "acquisition: Auto", "optimizer.acquisition", "auto"),
        ("seed: 42", "method: cmaes", "optimizer.method", "cma-es"),
        ("seed: 42", "surrogate: gaussian_process", "optimizer.surrogate", "gp"),
    ],
)
def test_an_unknown_word_is_answered_with_the_word_that_was_meant(
    old: str, new: str, path: str, meant: str
) -> None:
    finding = only(changed((old, new)))
    assert finding.path == path
    assert f"'{path.split('.')[-1]}' must be one of " in finding.message
    assert finding.fix == f"did you mean '{meant}'?"


def test_an_unknown_type_like_no_other_lists_the_types() -> None:
    finding = only(changed(("type: continuous", "type: zzz")))
    assert finding.message.startswith(
        "'type' must be one of continuous, integer, categorical, comp"
    )
    assert finding.fix == "allowed: continuous, integer, categorical, composition"


def test_a_missing_type_is_guessed_from_the_other_keys() -> None:
    found = findings_of(
        changed(
            ("type: continuous, bounds: [0.3, 0.9]", "bounds: [0.9, 0.3]"),
            ("type: categorical, ", ""),
            ("    type: composition\n", ""),
        )
    )
    assert [(f.path, f.fix) for f in found] == [
        ("parameters[0].type", "add type: continuous or type: integer"),
        ("parameters[0].bounds", "write [0.3, 0.9]"),
        ("parameters[2].type", "add type: categorical"),
        ("parameters[3].type", "add type: composition"),
    ]
    assert only({**DATA, "parameters": [{"name": "ni"}], "constraints": []}).fix == (
        "add type: with one of continuous, integer, categorical, composition"
    )


@pytest.mark.parametrize(
    ("old", "new", "path", "what", "fix"),
    [
        (
            "li-ion",
            "li ion!",
            "name",
            "'li ion!' is not a valid name; allowed are 1 to 128 letters A-Z and a-z, digits, _",
            "for example li_ion",
        ),
        ("li-ion", "''", "name", "'' is not a valid name", "for example my-campaign"),
        (
            "li-ion",
            "x" * 129,
            "name",
            "is not a valid name; allowed are 1 to 128",
            "for example xxx",
        ),
        (
            "name: Pd",
            "name: 2-Pd",
            "parameters[3].parts[1].name",
            "allowed are 1 to 64 letters A-Z and a-z, digits and _, not a digit first",
            "for example x2_Pd",
        ),
        (
            "[0.3, 0.9]",
            "[0.3]",
            "parameters[0].bounds",
            "'bounds' must be two numbers, [lower, upper], not 1",
            "bounds: [0, 1]",
        ),
        (
            "[0.3, 0.9]",
            "0.3",
            "parameters[0].bounds",
            "'bounds' must be two numbers, [lower, upper], not 0.3",
            "bounds: [0, 1]",
        ),
        (
            "[0.3, 0.9]",
            "{lower: 0.3}",
            "parameters[0].bounds",
            "[lower, upper], not a mapping",
            "bounds: [0, 1]",
        ),
        (
            "[0.3, 0.9]",
            "[0,3, 0,9]",
            "parameters[0].bounds",
            "[lower, upper], not 4",
            "with a point, not with a comma",
        ),
        (
            "[0.3, 0.9]",
            "['0.3', 0.9]",
            "parameters[0].bounds[0]",
            "entry 1 of 'bounds' must be a number, not the text '0.3'",
            "write 0.3 without quotes",
        ),
        (
            "[0.3, 0.9]",
            "[0.3, 0.9 mol]",
            "parameters[0].bounds[1]",
            "entry 2 of 'bounds' must be a number, not the text '0.9 mol'",
            "write 0.9 without 'mol'",
        ),
        (
            "[0.3, 0.9]",
            "[0.3, true]",
            "parameters[0].bounds[1]",
            "must be a number, not true",
            "bounds: [0, 1]",
        ),
        (
            "[0.3, 0.9]",
            "[0.3, null]",
            "parameters[0].bounds[1]",
            "entry 2 of 'bounds' is empty",
            "bounds: [0, 1]",
        ),
        (
            "[700, 950]",
            "[700, 950.5]",
            "parameters[1].bounds[1]",
            "must be a whole number, not 950.5",
            "write 950 or 951",
        ),
        (
            "step: 10",
            "step: 0",
            "parameters[1].step",
            "'step' must be between 1 and",
            "in that range",
        ),
        (
            "unit: mol/mol",
            "log_scale: yes",
            "parameters[0].log_scale",
            "'log_scale' must be true or false, not the text 'yes'",
            "write true or false",
        ),
        (
            "unit: mol/mol",
            "unit: [mol]",
            "parameters[0].unit",
            "'unit' must be text, not a list",
            "change the value",
        ),
        (
            "[EC-DMC, EC-DEC]",
            "[]",
            "parameters[2].choices",
            "'choices' is an empty list; 1 to 1000 entries are allowed",
            "choices: [A, B]",
        ),
        (
            "[EC-DMC, EC-DEC]",
            "[[a], b]",
            "parameters[2].choices[0]",
            "a choice must be text of at most 256 characters, a number, true or false, not a list",
            "one value",
        ),
        (
            "[EC-DMC, EC-DEC]",
            "EC-DMC",
            "parameters[2].choices",
            "'choices' must be a list, not the text 'EC-DMC'",
            "choices: [A, B]",
        ),
        (
            "total: 100",
            "total: 0",
            "parameters[3].total",
            "'total' must be between",
            "in that range",
        ),
        (
            "total: 100",
            "step: -1",
            "parameters[3].step",
            "'step' must be greater than 0, not -1",
            "in that range",
        ),
        (
            "total: 100",
            "max_nonzero: 0",
            "parameters[3].max_nonzero",
            "'max_nonzero' must be at least 1, not 0",
            "in that range",
        ),
        (
            "reference_point: 100",
            "target: high",
            "objectives[0].target",
            "'target' must be a number, not the text 'high'",
            "write a number",
        ),
        (
            "expression: cost <= 500",
            "expression: ''",
            "outcome_constraints[0].expression",
            "'expression' is empty",
            "a + b <= 1",
        ),
        (
            "expression: cost <= 500",
            "cost <= 500",
            "outcome_constraints[0]",
            "entry 1 of 'outcome_constraints' must be a mapping, not the text 'cost <= 500'",
            '{expression: "cost <= 500"}',
        ),
        (
            "{name: Pd}",
            "Pd",
            "parameters[3].parts[1]",
            "entry 2 of 'parts' must be a mapping, not the text 'Pd'",
            "write {name: Pd}",
        ),
        (
            "{name: cost, direction: minimize}",
            "cost",
            "objectives[1]",
            "entry 2 of 'objectives' must be a mapping, not the text 'cost'",
            "{name: cost, direction: maximize}",
        ),
        (
            "  options: {relax: true}",
            "  options: [relax]",
            "evaluator.options",
            "'options' must be a mapping, not a list",
            "options: {",
        ),
        (
            "budget: 200",
            "budget: 0",
            "optimizer.budget",
            "'budget' must be between 1 and 10000, not 0",
            "in that range",
        ),
        (
            "budget: 200",
            "budget: 20000",
            "optimizer.budget",
            "'budget' must be between 1 and 10000, not 20000",
            "in that range",
        ),
        (
            "budget: 200",
            "budget: 99.5",
            "optimizer.budget",
            "'budget' must be a whole number between 1 and 10000, not 99.5",
            "write 99 or 100",
        ),
        (
            "budget: 200",
            "budget: '200'",
            "optimizer.budget",
            "not the text '200'",
            "write 200 without quotes",
        ),
        (
            "budget: 200",
            "budget: true",
            "optimizer.budget",
            "a whole number between 1 and 10000, not true",
            "change the value",
        ),
        (
            "budget: 200",
            "budget:",
            "optimizer.budget",
            "'budget' is empty",
            "write a value or remove the key",
        ),
        (
            "batch_size: 10",
            "batch_size: 101",
            "optimizer.batch_size",
            "'batch_size' must be between 1 and 100, not 101",
            "in that range",
        ),
        (
            "seed: 42",
            "seed: -1",
            "optimizer.seed",
            "'seed' must be between 0 and 9223372036854775807, not -1",
            "in that range",
        ),
        (
            "convergence_patience: 5",
            "convergence_threshold: 1",
            "optimizer.active_learning.convergence_threshold",
            "'convergence_threshold' must be greater than 0 and less than 1, not 1",
            "in that range",
        ),
        (
            "description: A battery.",
            "description: " + "x" * 10_001,
            "description",
            "'description' has 10001 characters; at most 10000 are allowed",
            "make it shorter",
        ),
        (
            "description: A battery.",
            "candidates: ''",
            "candidates",
            "'candidates' is empty",
            "write something or remove the key",
        ),
    ],
)
def test_a_value_of_the_wrong_shape_is_explained(
    old: str, new: str, path: str, what: str, fix: str
) -> None:
    found = findings_of(changed((old, new)))
    assert [f.path for f in found] == [path]
    assert what in found[0].message
    assert fix in str(found[0].fix)
    assert found[0].line == line_of(old)


@pytest.mark.parametrize("section", ["parameters", "objectives", "constraints"])
def test_a_section_that_is_a_mapping_should_be_a_list(section: str) -> None:
    found = findings_of({**DATA, section: {"ni": [0, 1]}})
    mine = [f for f in found if f.path == section]
    assert mine[0].message == f"'{section}' must be a list, not a mapping"
    assert "begin each entry with '- '" in str(mine[0].fix)
    assert len(found) == 1


@pytest.mark.parametrize("section", ["parameters", "objectives"])
def test_an_empty_list_is_refused(section: str) -> None:
    found = findings_of({**DATA, section: [], "constraints": [], "outcome_constraints": []})
    assert "is an empty list; 1 to" in found[0].message
    assert f"{section}: [{{name: " in str(found[0].fix)


def test_a_bare_word_for_the_evaluator_is_explained() -> None:
    finding = only(changed(("evaluator:\n  type: ase\n  options: {relax: true}", "evaluator: ase")))
    assert finding.message == "'evaluator' must be a mapping, not the text 'ase'"
    assert finding.fix == "write {type: ase}"


@pytest.mark.parametrize("written", [".nan", "NaN", "Infinity", "-.inf", "1e400"])
@pytest.mark.parametrize(
    ("old", "before", "path"),
    [
        ("bounds: [0.3, 0.9]", "bounds: [0.3, {}]", "parameters[0].bounds[1]"),
        ("reference_point: 100", "target: {}", "objectives[0].target"),
        ("budget: 200", "budget: {}", "optimizer.budget"),
        ("{relax: true}", "{{x: [{}]}}", "evaluator.options.x[0]"),
        ("[EC-DMC, EC-DEC]", "[A, {}]", "parameters[2].choices[1]"),
    ],
)
def test_numbers_that_are_not_finite_are_refused_once(
    written: str, old: str, before: str, path: str
) -> None:
    finding = only(changed((old, before.format(written))))
    assert finding.path == path
    assert f"{written}" in finding.message
    assert finding.line == line_of(old)


def test_numbers_that_are_not_finite_are_refused_in_data_and_json() -> None:
    data = copy.deepcopy(DATA)
    data["parameters"][0]["bounds"][1] = float("nan")
    assert "nan is not a finite number" in only(data).message
    assert "NaN is not a finite number" in only(json.dumps(data)).message
