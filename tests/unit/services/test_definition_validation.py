"""One call that reports everything about a definition, and the examples that must pass it."""

from __future__ import annotations

from pathlib import Path

import pytest

from materia import evaluators
from materia.errors import DefinitionError
from materia.services.validation import N_TRIALS, require, validate

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))

GOOD = """\
name: beam
parameters:
  - {name: x, type: continuous, bounds: [0, 1]}
  - {name: y, type: continuous, bounds: [0, 1]}
objectives:
  - {name: f}
  - {name: g}
evaluator:
  type: function
  options: {name: zdt1}
"""


def findings(text: str) -> list[tuple[str, str, int | None]]:
    _, found = validate(text, data_roots=[])
    return [(finding.level, finding.path, finding.line) for finding in found]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_valid_and_its_evaluator_evaluates(path: Path) -> None:
    definition, found = validate(path.read_bytes(), data_roots=[path.parent], base_dir=path.parent)
    assert found == []
    assert definition is not None
    evaluator = evaluators.build(definition, data_roots=[path.parent], base_dir=path.parent)
    from materia import Campaign

    campaign = Campaign.from_yaml(path)
    (candidate,) = campaign.ask(1)
    outcomes = evaluator.evaluate(candidate.params, seed=1).outcomes
    assert set(outcomes) == {objective.name for objective in definition.objectives}


def test_a_good_definition_has_no_findings() -> None:
    definition, found = validate(GOOD, data_roots=[])
    assert found == []
    assert definition is not None
    assert require(GOOD, data_roots=[]) == definition


def test_findings_of_the_evaluator_have_lines_of_the_text() -> None:
    assert findings(GOOD.replace("zdt1", "zdtt1")) == [("error", "evaluator.options.name", 10)]
    assert findings(GOOD.replace("[0, 1]", "[0, 2]", 1)) == [("error", "parameters[0].bounds", 3)]


def test_an_evaluator_is_checked_even_where_the_rest_is_wrong() -> None:
    broken = GOOD.replace("name: beam", "name: beam me").replace("function", "funktion")
    assert findings(broken) == [("error", "name", 1), ("error", "evaluator.type", 9)]
    options = GOOD.replace("name: beam", "nmae: beam").replace("{name: zdt1}", "{nmae: zdt1}")
    assert ("error", "evaluator.options.nmae", 10) in findings(options)


@pytest.mark.parametrize("text", ["", "[]", "evaluator", "{evaluator: 3}", "a: [", "evaluator: {}"])
def test_what_is_no_definition_is_only_reported(text: str) -> None:
    definition, found = validate(text, data_roots=[])
    assert definition is None
    assert all(finding.level == "error" for finding in found)
    assert found


def test_constraints_that_nothing_satisfies_are_an_error() -> None:
    impossible = GOOD + 'constraints:\n  - {expression: "x * y >= 2"}\n'
    found = findings(impossible)
    assert found
    assert all(level == "error" and path.startswith("constraints") for level, path, _ in found)


def test_constraints_that_little_satisfies_are_a_warning() -> None:
    narrow = GOOD + 'constraints:\n  - {expression: "x * y >= 0.995"}\n'
    definition, found = validate(narrow, data_roots=[])
    assert definition is not None
    assert [(f.level, f.path) for f in found] == [("warning", "constraints")]
    wide = GOOD + 'constraints:\n  - {expression: "x + y <= 1"}\n'
    assert findings(wide) == []


def test_require_raises_with_every_finding() -> None:
    with pytest.raises(DefinitionError) as raised:
        require(GOOD.replace("zdt1", "branin").replace("beam", "a beam"), data_roots=[])
    assert raised.value.line == 1
    with pytest.raises(DefinitionError) as raised:
        require(GOOD.replace("zdt1", "hartmann6"), data_roots=[])
    assert [f["path"] for f in raised.value.findings] == ["parameters", "objectives"]


def test_a_file_outside_the_roots_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    text = GOOD.replace("type: function", "type: table").replace("name: zdt1", "file: ../t.csv")
    (tmp_path / "t.csv").write_text("x,y,f,g\n0.5,0.5,1,1\n")
    lab = tmp_path / "lab"
    _, found = validate(text, data_roots=[lab], base_dir=lab)
    assert [(f.path, f.line) for f in found] == [("evaluator.options.file", 10)]
    definition, found = validate(text, data_roots=[tmp_path], base_dir=lab)
    assert definition is not None
    assert found == []


def undefined(parameters: list[dict[str, object]], constraint: str = "", **formulas: str) -> object:
    """Return the findings, less their lines and fixes, on formulas over some parameters."""
    definition = {
        "name": "formulas",
        "parameters": parameters,
        "constraints": [{"expression": constraint}] if constraint else [],
        "objectives": [{"name": name} for name in formulas],
        "evaluator": {"type": "expression", "options": formulas},
    }
    checked, found = validate(definition, data_roots=[])
    assert (checked is None) == bool(found)
    return [(finding.path, finding.message) for finding in found]


X = {"name": "x", "type": "continuous", "bounds": [0, 1]}
MIX = {"name": "mix", "type": "composition", "parts": [{"name": n} for n in ("Fe", "Ni", "Co")]}


@pytest.mark.parametrize(
    ("parameter", "constraint", "formula"),
    [
        (X, "", "log(-1 - x**2)"),
        (X, "", "x / (2 - 2)"),
        (X, "", "exp(1000 + x)"),
        (X, "x >= 0.6", "sqrt(0.5 - x)"),
        (MIX, "", "log(1 - Fe - Ni - Co - 1e-6)"),
        (MIX, "Fe >= 0.5", "sqrt(Ni + Co - 0.6)"),
    ],
)
def test_a_formula_that_is_undefined_everywhere_is_an_error(
    parameter: dict[str, object], constraint: str, formula: str
) -> None:
    found = undefined([parameter], constraint, y=formula, z="1")
    message = f"the formula '{formula}' gives no finite number at any of {N_TRIALS} points"
    assert found == [("evaluator.options.y", f"{message} that may be asked")]


@pytest.mark.parametrize(
    ("parameter", "formula"), [(X, "log(x - 0.9)"), (X, "1 / x"), (MIX, "sqrt(Fe - 0.9)")]
)
def test_a_formula_that_is_defined_somewhere_is_accepted(
    parameter: dict[str, object], formula: str
) -> None:
    assert undefined([parameter], y=formula, z="1") == []


def test_formulas_that_are_never_defined_together_are_an_error() -> None:
    ((path, message),) = undefined([X], y="log(x - 0.5)", z="log(0.5 - x)")
    assert path == "evaluator.options"
    assert message.startswith("the formulas of 'y', 'z' do not all give finite numbers")


def test_formulas_are_tried_at_the_rows_that_alone_may_be_asked(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x\n0.1\n0.2\n")
    text = """\
name: rows
parameters:
  - {name: x, type: continuous, bounds: [0, 1]}
objectives:
  - {name: y}
candidates: rows.csv
evaluator:
  type: expression
  options: {y: FORMULA}
"""
    for formula, paths in (("log(x - 0.5)", ["evaluator.options.y"]), ("log(x - 0.15)", [])):
        _, found = validate(text.replace("FORMULA", formula), data_roots=[tmp_path])
        assert [finding.path for finding in found] == paths
        assert [finding.line for finding in found] == [9] * len(paths)


CEMENT = """\
name: cement
parameters:
  - name: binder
    type: composition
    total: 100
    parts:
      - {name: clinker, bounds: [20, 100]}
      - {name: slag, bounds: [0, 80]}
      - {name: fly_ash, bounds: [0, 40]}
  - {name: water, type: continuous, bounds: [0.3, 0.6]}
constraints:
  - {expression: "water <= 0.5"}
  - {expression: "slag + fly_ash >= 85"}
objectives: [{name: f}]
"""


def test_of_constraints_that_exclude_everything_the_culprit_is_named() -> None:
    _, found = validate(CEMENT, data_roots=[])
    (finding,) = found
    assert (finding.path, finding.line) == ("constraints[1].expression", 13)
    assert "'slag + fly_ash >= 85'" in finding.message
    assert "sum to 100" in str(finding.fix)
    assert "clinker 20 to 100" in str(finding.fix)


def test_options_of_an_evaluator_without_any_are_one_finding() -> None:
    text = GOOD.replace("type: function", "type: manual").replace("zdt1}", "zdt1, b: 1, c: 2}")
    _, found = validate(text, data_roots=[])
    errors = [(f.path, f.message, f.fix) for f in found if f.level == "error"]
    assert errors == [
        ("evaluator.options", "evaluator 'manual' takes no options", "remove 'options'")
    ]


BRANCHES = """\
name: branches
parameters:
  - {name: x, type: continuous, bounds: [0, 1]}
  - {name: additive, type: categorical, choices: [none, A, B]}
  - {name: amount, type: continuous, bounds: [0, 1], when: {additive: [A, B]}}
  - {name: grade, type: categorical, choices: [u, v], when: {additive: B}}
constraints:
  - {expression: "amount * amount <= 0.25"}
objectives: [{name: f}]
evaluator:
  type: expression
  options: {f: "(x - 0.5) ** 2 + amount + bonus", bonus: {grade: {u: 1, v: 2}}}
"""


def test_conditional_parameters_are_valid_and_count_as_nothing_in_formulas() -> None:
    definition, found = validate(BRANCHES, data_roots=[])
    assert found == []
    assert definition is not None
    evaluator = evaluators.build(definition, data_roots=[])
    for params, value in (
        ({"x": 0.5, "additive": "none", "amount": None, "grade": None}, 0.0),
        ({"x": 0.5, "additive": "A", "amount": 0.25, "grade": None}, 0.25),
        ({"x": 0.5, "additive": "B", "amount": 0.25, "grade": "v"}, 2.25),
    ):
        assert evaluator.evaluate(params, seed=0).outcomes == {"f": value}


def test_a_branch_that_constraints_leave_empty_is_a_warning() -> None:
    text = BRANCHES.replace("amount * amount <= 0.25", "amount * amount > 1")
    found = validate(text, data_roots=[])[1]
    assert [(f.level, f.path, f.line) for f in found] == [
        ("warning", "parameters[2].when", 5),
        ("warning", "parameters[3].when", 6),
    ]
    assert "no point that has 'amount' satisfies all constraints" in found[0].message
    thin = BRANCHES.replace("amount * amount <= 0.25", "amount * amount == 0.25")
    assert findings(thin) == []


def test_where_no_branch_is_feasible_the_constraint_is_named() -> None:
    text = BRANCHES.replace("amount * amount <= 0.25", "x * x >= 2 + x - x")
    (finding,) = validate(text, data_roots=[])[1]
    assert (finding.level, finding.path) == ("error", "constraints[0].expression")


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("function, options: {name: zdt1}", "function 'zdt1' needs 'amount' at every point"),
        ("ase", "evaluator 'ase' needs 'amount' at every point"),
    ],
)
def test_evaluators_that_need_every_parameter_refuse_conditional_ones(
    choice: str, message: str
) -> None:
    text = BRANCHES.partition("evaluator:")[0] + f"evaluator: {{type: {choice}}}\n"
    found = validate(text, data_roots=[])[1]
    (finding,) = [f for f in found if message in f.message]
    assert (finding.level, finding.path, finding.line) == ("error", "parameters[2].when", 5)


def test_empty_cells_of_a_table_stand_for_what_does_not_exist(tmp_path: Path) -> None:
    rows = ["x,additive,amount,grade", "0.1,none,,", "0.2,A,0.3,", "0.3,B,0.3,u"]
    bad = ["0.4,A,,", "0.5,none,0.2,", "0.6,A,0.9,"]
    (tmp_path / "rows.csv").write_text("\n".join(rows + bad) + "\n")
    definition, found = validate(BRANCHES + "candidates: rows.csv\n", data_roots=[tmp_path])
    assert definition is not None
    assert evaluators.pool_of(definition, data_roots=[tmp_path]) == [
        {"x": 0.1, "additive": "none", "amount": None, "grade": None},
        {"x": 0.2, "additive": "A", "amount": 0.3, "grade": None},
        {"x": 0.3, "additive": "B", "amount": 0.3, "grade": "u"},
    ]
    (warning,) = found
    for words in (
        "line 5: params do not match the search space: missing amount",
        "line 6: 'amount' is 0.2 where it does not exist",
        "line 7: amount * amount <= 0.25",
    ):
        assert words in warning.message


def test_a_campaign_begins_with_earlier_rows_that_leave_cells_empty(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x,additive,amount,grade,f\n0.1,none,,,4\n0.2,A,0.3,,5\n")
    text = BRANCHES + "warm_start: {dataset: rows.csv}\n"
    definition, found = validate(text, data_roots=[tmp_path])
    assert found == []
    assert definition is not None
    earlier = evaluators.earlier_of(definition, data_roots=[tmp_path])
    assert earlier is not None
    assert [row["params"]["amount"] for row in earlier.rows] == [None, 0.3]
