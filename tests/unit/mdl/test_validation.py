"""Checking a definition: good ones pass, and of a bad one everything is told at once."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from battery import DATA, TEXT, changed, findings_of, only
from hypothesis import given
from hypothesis import strategies as st

from materia.errors import DefinitionError
from materia.mdl import Definition, Finding, check, load, locate
from materia.mdl.finding import MAX_FINDINGS


def test_text_json_bytes_and_data_give_the_same_definition() -> None:
    expected = load(TEXT)
    assert load(json.dumps(DATA)) == expected
    assert load(json.dumps(DATA, indent="\t")) == expected
    assert load(TEXT.encode()) == expected
    assert load(DATA) == expected
    assert expected.parameters[0].name == "ni"
    assert expected.optimizer.active_learning.convergence_threshold == 0.001


def test_a_good_definition_has_no_findings() -> None:
    assert check(TEXT)[1] == []


def test_a_definition_dumped_and_loaded_is_the_same() -> None:
    definition = load(TEXT)
    assert load(definition.model_dump()) == definition
    assert load(definition.model_dump_json()) == definition


def test_checking_leaves_its_source_alone() -> None:
    source = copy.deepcopy(DATA)
    source["optimiser"] = source.pop("optimizer")
    before = copy.deepcopy(source)
    check(source)
    assert source == before


def test_the_smallest_definition_needs_a_name_parameters_and_objectives() -> None:
    definition = load(
        "{name: x, parameters: [{name: a, type: continuous, bounds: [0, 1]}],"
        " objectives: [{name: y}]}"
    )
    assert definition.objectives[0].direction == "minimize"
    assert definition.evaluator is None
    assert definition.optimizer.budget == 100


def test_an_optional_section_without_entries_is_a_section_left_out() -> None:
    text = changed(("constraints:\n  - expression: ni + Cu / 100 <= 1.0\n", "constraints:\n"))
    assert load(text).constraints == []


def test_numbers_for_text_are_taken_as_text() -> None:
    definition = load(changed(("name: li-ion", "name: 2024\nversion: 2.0"), ("mol/mol", "1")))
    assert (definition.name, definition.version) == ("2024", "2.0")
    assert definition.parameters[0].unit == "1"


def test_choices_keep_their_types() -> None:
    definition = load(changed(("[EC-DMC, EC-DEC]", "[1, 1.5, true, one, '1']")))
    choices = definition.parameters[2].choices
    assert choices == [1, 1.5, True, "one", "1"]
    assert [type(choice) for choice in choices] == [int, float, bool, str, str]


def test_words_of_older_yaml_are_text() -> None:
    assert load(changed(("[EC-DMC, EC-DEC]", "[no, on, Y]"))).parameters[2].choices == [
        "no",
        "on",
        "Y",
    ]


def test_arrays_are_accepted_in_data() -> None:
    data = copy.deepcopy(DATA)
    data["parameters"][0]["bounds"] = np.array([0.3, 0.9])
    data["optimizer"]["budget"] = np.int64(200)
    assert load(data) == load(TEXT)


def test_all_findings_are_reported_together_in_order_of_lines() -> None:
    text = changed(
        ("description: A battery.", "descripton: A battery."),
        ("bounds: [0.3, 0.9]", "bound: [0.9, 0.3]"),
        ("name: temp, type: integer", "name: ni, type: intger"),
        ("[EC-DMC, EC-DEC]", "[A, A]"),
        ("[0, 60]", "[0, 60, 1]"),
        ("direction: maximize", "direction: maximise"),
        ("cost <= 500", "csot <= 500"),
        ("budget: 200", "budget: 0"),
        ("seed: 42", "sede: 42"),
    )
    found = findings_of(text)
    assert [(f.line, f.path) for f in found] == [
        (2, "descripton"),
        (4, "parameters[0].bound"),
        (4, "parameters[0].bounds"),
        (5, "parameters[1].type"),
        (5, "parameters[1].name"),
        (6, "parameters[2].choices[1]"),
        (11, "parameters[3].parts[0].bounds"),
        (15, "objectives[0].direction"),
        (20, "outcome_constraints[0].expression"),
        (26, "optimizer.budget"),
        (28, "optimizer.sede"),
    ]


def test_data_has_paths_but_no_lines_and_keeps_the_order_of_sections() -> None:
    data = copy.deepcopy(DATA)
    data["optimizer"]["budget"] = 0
    data["parameters"][0]["bounds"] = [1, 0]
    data["objectives"][1]["name"] = "energy"
    found = findings_of(data)
    assert [f.path for f in found] == [
        "parameters[0].bounds",
        "objectives[1].name",
        "outcome_constraints[0].expression",
        "optimizer.budget",
    ]
    assert {f.line for f in found} == {None}


def test_load_raises_one_error_that_carries_all_findings() -> None:
    with pytest.raises(DefinitionError) as caught:
        load(changed(("budget: 200", "budget: 0"), ("seed: 42", "seed: -1")))
    error = caught.value
    assert error.message.startswith("line 26, optimizer.budget: ")
    assert error.message.endswith("(and 1 more)")
    assert (error.path, error.line) == ("optimizer.budget", 26)
    assert [finding["path"] for finding in error.findings] == ["optimizer.budget", "optimizer.seed"]
    assert set(error.findings[0]) == {"level", "path", "line", "message", "fix"}
    assert pickle.loads(pickle.dumps(error)).findings == error.findings  # noqa: S301
    json.dumps(error.findings)


def test_a_finding_reads_as_one_sentence() -> None:
    finding = only(changed(("budget: 200", "budget: 0")))
    assert str(finding) == (
        "line 26, optimizer.budget: 'budget' must be between 1 and 10000, not 0 "
        "(write a number in that range)"
    )


def test_findings_of_others_get_their_lines() -> None:
    others = [
        Finding("error", "evaluator.options.relax", None, "m"),
        Finding("error", "parameters[3].parts[1]", None, "m"),
        Finding("error", "evaluator.options.missing", None, "m"),
        Finding("warning", "", None, "m"),
        Finding("error", "name", 7, "m"),
    ]
    assert [f.line for f in locate(others, TEXT)] == [23, 12, 23, 1, 7]
    assert [f.line for f in locate(others, DATA)] == [None, None, None, None, 7]


def test_more_findings_than_anybody_reads_are_counted() -> None:
    keys = "\n".join(f"  zz{i}: 1" for i in range(MAX_FINDINGS + 30))
    _, found = check(changed(("optimizer:", f"optimizer:\n{keys}")))
    assert len(found) == MAX_FINDINGS + 1
    assert found[-1].message.startswith(f"there are more than {MAX_FINDINGS} findings")


@pytest.mark.parametrize("source", ["", "# nothing\n", "---\n", b""])
def test_an_empty_definition_says_how_to_begin(source: str | bytes) -> None:
    finding = only(source)
    assert finding.message == "the definition is empty"
    assert finding.fix == "begin with name:, parameters: and objectives:"


@pytest.mark.parametrize(
    ("source", "what"),
    [("[1, 2]", "not a list"), ("just text", "not the text 'just text'"), ("5", "not 5")],
)
def test_what_is_no_mapping_is_refused(source: str, what: str) -> None:
    finding = only(source)
    assert finding.message == f"a definition is a mapping of keys to values, {what}"
    assert finding.line == 1


def test_the_name_of_a_file_is_not_its_text() -> None:
    finding = only("campaigns/alloy.yaml")
    assert "is the name of a file" in finding.message
    assert finding.fix == "read the file first"


def test_invalid_yaml_is_reported_with_its_line() -> None:
    finding = only(changed(("bounds: [0.3, 0.9]", "bounds: [0.3, 0.9")))
    assert finding.message.startswith("this is not valid YAML at column 42: this bracket is not")
    assert finding.line == 4


def test_missing_sections_are_named_with_an_example() -> None:
    found = findings_of({})
    assert [f.message for f in found] == [
        "'name' is missing",
        "'parameters' is missing",
        "'objectives' is missing",
    ]
    assert "name: my-campaign" in str(found[0].fix)
    assert load(f"name: x\n{str(found[1].fix).split('example, ')[1]}\nobjectives: [{{name: y}}]")


junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(),
    st.sampled_from(["", "ni", "continuous", "a <= b", "\x00", "x" * 300, "é", "1e400", "auto"]),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.just([[1, 0]]),
    st.just({"name": "ni", "type": "integer", "bounds": [0, 1]}),
)


@st.composite
def broken(draw: st.DrawFn) -> Any:
    """A good definition with up to four places replaced, removed, renamed or doubled."""
    data: Any = copy.deepcopy(DATA)
    for _ in range(draw(st.integers(1, 4))):
        here = data
        while True:
            keys = sorted(here) if isinstance(here, dict) else list(range(len(here)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(here[key], dict | list) and draw(st.integers(0, 3)):
                here = here[key]
                continue
            match draw(st.sampled_from(["replace", "remove", "rename", "double"])):
                case "replace":
                    here[key] = copy.deepcopy(draw(junk))
                case "remove":
                    del here[key]
                case "rename" if isinstance(here, dict):
                    here[draw(st.sampled_from([key[:-1], key.upper(), "seed", "type", "zz"]))] = (
                        here.pop(key)
                    )
                case "double" if isinstance(here, list):
                    here.append(copy.deepcopy(here[key]))
            break
    return data


def test_a_definition_with_thousands_of_faults_is_answered_with_the_first_of_them() -> None:
    names = [f"p{i}" for i in range(300)]
    long = {"expression": f"{' + '.join(names)} <= 1"}
    parts = [{"name": f"p{i}"} for i in range(100)]
    group = {"name": "g", "type": "composition", "parts": parts}
    for wrong in (
        {f"budge{i}": 1 for i in range(20_000)},
        {"constraints": [long] * 20},
        {"parameters": [group] * 100},
        {"evaluator": {"type": "ase", "options": {"x": [float("nan")] * 20_000}}},
    ):
        found = findings_of({**DATA, **wrong})
        assert len(found) == MAX_FINDINGS + 1
        assert found[-1].fix == "correct these first"


def test_reading_definitions_loads_no_numerics() -> None:
    code = "import sys, materia.mdl; assert not {'numpy', 'scipy', 'ase'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@given(broken())
def test_whatever_is_broken_gives_findings_in_words_and_never_an_exception(data: Any) -> None:
    errors = findings_of(data)
    if not errors:
        assert load(data) == load(load(data).model_dump())


@given(broken())
def test_text_and_data_have_the_same_findings(data: Any) -> None:
    try:
        text = json.dumps(data)
    except ValueError:
        return
    from_data = {(f.level, f.path, f.message.replace("NaN", "nan")) for f in check(data)[1]}
    from_text = {(f.level, f.path, f.message.replace("NaN", "nan")) for f in check(text)[1]}
    plain = {f for f in from_data if "finite" not in f[2] and "first by" not in f[2]}
    assert plain == {f for f in from_text if "finite" not in f[2] and "first by" not in f[2]}


@given(st.one_of(st.text(max_size=100), st.binary(max_size=100)))
def test_any_text_gives_findings_and_never_an_exception(text: str | bytes) -> None:
    definition, found = check(text)
    assert definition is None
    assert any(f.level == "error" for f in found)


@given(st.integers(0, len(TEXT) - 1), st.integers(1, 30), st.text(max_size=3))
def test_a_damaged_text_gives_findings_and_never_an_exception(at: int, n: int, new: str) -> None:
    findings_of_damaged = check(TEXT[:at] + new + TEXT[at + n :])
    definition, found = findings_of_damaged
    assert isinstance(definition, Definition) or any(f.level == "error" for f in found)
