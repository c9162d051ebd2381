"""What is said about parameters that exist only where others have certain values."""

from __future__ import annotations

import pytest
from battery import findings_of, only

from materia.mdl import load

TEXT = """\
name: electrolyte
parameters:
  - {name: salt, type: continuous, bounds: [0, 2]}
  - {name: additive, type: categorical, choices: [none, EC, FEC]}
  - {name: steps, type: integer, bounds: [1, 9], step: 2}
  - {name: amount, type: continuous, bounds: [0, 5], when: {additive: [EC, FEC]}}
  - {name: grade, type: categorical, choices: [x, y], when: {additive: FEC, steps: [1, 3]}}
  - name: blend
    type: composition
    parts: [{name: A}, {name: B}]
    when: {grade: [x]}
objectives:
  - {name: life}
constraints:
  - {expression: "amount * amount <= 4"}
"""


def changed(old: str, new: str) -> str:
    assert TEXT.count(old) == 1
    return TEXT.replace(old, new)


def test_one_value_may_stand_without_a_list() -> None:
    definition = load(TEXT)
    assert [parameter.when for parameter in definition.parameters] == [
        None,
        None,
        None,
        {"additive": ["EC", "FEC"]},
        {"additive": ["FEC"], "steps": [1, 3]},
        {"grade": ["x"]},
    ]
    assert findings_of(TEXT, "warning") == []


@pytest.mark.parametrize(
    ("old", "new", "path", "what", "fix"),
    [
        (
            "{additive: [EC, FEC]}",
            "{aditive: [EC, FEC]}",
            "parameters[3].when.aditive",
            "there is no parameter 'aditive'",
            "did you mean 'additive'",
        ),
        (
            "{additive: [EC, FEC]}",
            "{additive: [EC, FCE]}",
            "parameters[3].when.additive",
            "'additive' cannot be 'FCE'",
            "allowed: none, EC, FEC",
        ),
        (
            "{additive: [EC, FEC]}",
            "{salt: [1]}",
            "parameters[3].when.salt",
            "'salt' is continuous, so that none of its values is met exactly",
            "add a categorical parameter that says yes or no",
        ),
        (
            "{additive: [EC, FEC]}",
            "{blend: [1]}",
            "parameters[3].when.blend",
            "'blend' is composition",
            "categorical",
        ),
        (
            "{additive: [EC, FEC]}",
            "{A: [1]}",
            "parameters[3].when.A",
            "'A' is a part of a composition",
            "categorical or an integer",
        ),
        (
            "{additive: [EC, FEC]}",
            "{life: [1]}",
            "parameters[3].when.life",
            "'life' is an objective, known only after an evaluation",
            "categorical or an integer",
        ),
        (
            "{additive: [EC, FEC]}",
            "{amount: [1]}",
            "parameters[3].when.amount",
            "'amount' cannot depend on itself",
            "name another parameter",
        ),
        (
            "steps: [1, 3]}",
            "steps: [1, 2]}",
            "parameters[4].when.steps",
            "'steps' cannot be 2",
            "it is a whole number from 1 to 9 in steps of 2",
        ),
        (
            "steps: [1, 3]}",
            "steps: [true]}",
            "parameters[4].when.steps",
            "'steps' cannot be True",
            "whole number",
        ),
        (
            "choices: [none, EC, FEC]}",
            "choices: [none, EC, FEC], when: {grade: x}}",
            "parameters[1].when",
            "in a circle: additive on grade on additive",
            "remove one of these conditions",
        ),
        (
            "{additive: [EC, FEC]}",
            "it_depends",
            "parameters[3].when",
            "'when' must be a mapping, not the text 'it_depends'",
            "when: {additive: [A, B]}",
        ),
        (
            "{additive: [EC, FEC]}",
            "{additive: [EC, {b: c}]}",
            "parameters[3].when.additive[1]",
            "must be text of at most 256 characters, a number, true or false, not a mapping",
            "one value for each",
        ),
        (
            "{additive: [EC, FEC]}",
            "{additive: []}",
            "parameters[3].when.additive",
            "the condition names no value, so that it can never hold",
            "when: {additive: [A, B]}",
        ),
        ("{additive: [EC, FEC]}", "{}", "parameters[3].when", "", ""),
        (
            "bounds: [0, 5], when: {additive: [EC, FEC]}",
            "bounds: [0, 5], wehn: {additive: [EC, FEC]}",
            "parameters[3].wehn",
            "unknown key 'wehn'",
            "did you mean 'when'",
        ),
        (
            "parts: [{name: A}, {name: B}]",
            "parts: [{name: A, when: {grade: [x]}}, {name: B}]",
            "parameters[5].parts[0].when",
            "unknown key 'when'",
            "",
        ),
    ],
)
def test_a_wrong_condition_is_one_finding_with_line_and_fix(
    old: str, new: str, path: str, what: str, fix: str
) -> None:
    text = changed(old, new)
    found = only(text)
    assert found.path == path
    assert what in found.message
    assert fix in (found.fix or "")
    assert found.line == 1 + text[: text.index(new)].count("\n")


def test_a_condition_that_always_holds_is_a_warning() -> None:
    found = only(changed("[EC, FEC]}}", "[EC, FEC, none]}}"), "warning")
    assert "all choices of 'additive' are listed" in found.message


def test_a_constraint_that_does_not_always_apply_is_a_warning() -> None:
    text = changed("amount * amount <= 4", "amount + salt <= 4")
    found = only(text, "warning")
    assert found.path == "constraints[0].expression"
    assert "'amount' exists only where additive is EC or FEC" in found.message
    assert "elsewhere the constraint does not apply" in found.message
    assert "second constraint" in (found.fix or "")


def test_a_parent_whose_declaration_is_wrong_is_not_reported_as_unknown() -> None:
    found = findings_of(changed("bounds: [1, 9], step: 2", "bounds: [9, 1]"))
    assert [f.path for f in found] == ["parameters[2].bounds"]
