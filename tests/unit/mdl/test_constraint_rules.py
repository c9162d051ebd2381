"""Constraints that name the wrong things, or that no point can satisfy."""

from __future__ import annotations

import json

import pytest
from battery import DATA, changed, findings_of, only


@pytest.mark.parametrize(
    ("expression", "what", "fix"),
    [
        ("nii + Cu / 100 <= 1", "column 1: there is no parameter 'nii'", "did you mean 'ni'?"),
        ("ni + cu <= 1", "column 6: there is no parameter 'cu'", "did you mean 'Cu'?"),
        (
            "ni + pressure <= 1",
            "column 6: there is no parameter 'pressure'",
            "allowed: ni, temp, Cu, Pd, Pt",
        ),
        (
            "solvent == 1",
            "column 1: 'solvent' is categorical; only numbers can be constrained",
            "remove the choices",
        ),
        ("alloy <= 1", "column 1: 'alloy' is a composition, not a number", "Cu, Pd, Pt"),
        (
            "ni + cost <= 1",
            "column 6: 'cost' is an objective, known only after an evaluation",
            "move the constraint to outcome_constraints",
        ),
        (
            "ni + Cu",
            "the constraint compares nothing; it needs one of <= >= < > ==",
            "ni + Cu <= 1",
        ),
        ("0.3 <= ni <= 0.5", "column 11: a second relation, <=, follows <=", "are two"),
        ("1 <= 2", "the constraint names no parameter", "allowed: ni, temp"),
        (
            "ni >= 0.95",
            "the left side lies between 0.3 and 0.9 and the right side is 0.95",
            "change the constraint",
        ),
        (
            "Cu == 61",
            "the constraint can never hold: within the bounds of the parameters the left",
            "change",
        ),
        ("ni = 0.5", "column 4: = is not part of the grammar", "write =="),
        ("ni.__class__ <= 1", "column 3: . is not part of the grammar", "names have no parts"),
        ("__class__ <= 1", "column 1: '__class__' is not allowed as a name", "two underscores"),
        (
            "__import__('os').system('true')",
            "column 1: '__import__(' calls a function",
            "allowed are",
        ),
        ("(lambda: ni)() <= 1", "column 8: : is not part of the grammar", "allowed are"),
        ("ni <= 'a'", "column 7: ' is not part of the grammar", "text is not part"),
        (
            "9**9**9 <= ni",
            "column 2: powers (**) are not available",
            "write the multiplication out",
        ),
        (
            "nі <= 1",
            "column 2: U+0456 (CYRILLIC SMALL LETTER BYELORUSSIAN-UKRAINIAN I) is not part",
            "type the name again",
        ),
        (
            "(" * 1000 + "ni" + ")" * 1000 + " <= 1",
            "column 41: the expression is nested more than 40 levels deep",
            "remove parentheses",
        ),
        (
            "(" * 100_000 + "ni" + ")" * 100_000 + " <= 1",
            "'expression' has 200007 characters; at most 4000 are allowed",
            "make it shorter",
        ),
    ],
)
def test_a_bad_constraint_is_refused_with_its_column(expression: str, what: str, fix: str) -> None:
    quoted = json.dumps(expression, ensure_ascii=False)
    found = findings_of(changed(("ni + Cu / 100 <= 1.0", quoted)))
    assert [(f.path, f.line) for f in found][:1] == [("constraints[0].expression", 18)]
    assert what in found[0].message
    assert fix in str(found[0].fix)


def test_every_unknown_name_of_a_constraint_is_reported() -> None:
    found = findings_of(changed(("ni + Cu / 100 <= 1.0", "aaa + bbb <= ccc + aaa")))
    assert [f.message.split(":")[0] for f in found] == ["column 1", "column 7", "column 14"]


def test_a_constraint_without_effect_is_doubtful() -> None:
    finding = only(changed(("ni + Cu / 100 <= 1.0", "ni + Cu / 100 <= 5")), "warning")
    assert finding.message == "the constraint always holds within the bounds, so it has no effect"


@pytest.mark.parametrize(
    ("expression", "what", "fix"),
    [
        (
            "ni <= 0.5",
            "column 1: 'ni' is not one of the objectives but a parameter",
            "move the constraint to constraints",
        ),
        ("csot <= 5", "column 1: 'csot' is not one of the objectives", "did you mean 'cost'?"),
        (
            "cost + cycle_life <= 5",
            "column 8: 'cycle_life' is not one of the objectives",
            "only declared objectives can be constrained for now; allowed: energy, cost",
        ),
        ("cost == 5", "a measured outcome never equals a number exactly", "use <= and >="),
        ("cost", "the constraint compares nothing", "cost <= 1"),
        ("1 <= 2", "the constraint names no objective", "allowed: energy, cost"),
    ],
)
def test_a_bad_outcome_constraint_is_refused(expression: str, what: str, fix: str) -> None:
    finding = only(changed(("cost <= 500", expression)))
    assert (finding.path, finding.line) == ("outcome_constraints[0].expression", 20)
    assert what in finding.message
    assert fix in str(finding.fix)


def test_names_are_known_even_where_the_rest_of_a_parameter_is_wrong() -> None:
    text = changed(("bounds: [0.3, 0.9]", "bounds: wide"), ("{name: Pd}", "Pd"))
    assert [f.path for f in findings_of(text)] == ["parameters[0].bounds", "parameters[3].parts[1]"]


def test_names_are_not_called_unknown_where_the_list_of_names_cannot_be_read() -> None:
    assert [f.path for f in findings_of({**DATA, "parameters": None})] == ["parameters"]
