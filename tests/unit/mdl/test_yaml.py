"""Reading text: values, lines, limits, and words for what cannot be read."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from materia.mdl import yaml
from materia.mdl.finding import Finding, Findings
from materia.mdl.plain import MAX_DEPTH, MAX_VALUES, Budget, TooMuchError, plain

LIMITS = {("parameters",): 100}


def read(text: str | bytes) -> tuple[Any, list[Finding], Findings]:
    findings = Findings()
    try:
        value = yaml.read(text, findings, LIMITS)
    except TooMuchError:
        value = None
    return value, findings.in_order(()), findings


def value_of(text: str | bytes) -> Any:
    value, found, _ = read(text)
    assert found == []
    return value


def only_finding(text: str | bytes) -> Finding:
    _, found, _ = read(text)
    assert len(found) == 1, found
    assert found[0].fix
    return found[0]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-3", 0.001),
        ("1E5", 1e5),
        ("-2.5e+3", -2500.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("+7", 7),
        ("-0", 0),
        ("007", 7),
        ("9223372036854775807", 2**63 - 1),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("Y", "Y"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("1.2.3", "1.2.3"),
        ("inf", "inf"),
        ("'1e-3'", "1e-3"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("|\n  a\n  b", "a\nb\n"),
        (">-\n  a\n  b", "a b"),
    ],
)
def test_a_scalar_is_read_after_the_core_schema_of_yaml_1_2(written: str, value: object) -> None:
    found = value_of(f"a: {written}\n")["a"]
    assert found == value
    assert type(found) is type(value)


def test_numbers_that_pyyaml_takes_for_text_are_numbers() -> None:
    assert pyyaml.safe_load("a: 1e-3") == {"a": "1e-3"}  # why a reader of our own is needed
    assert value_of("a: 1e-3") == {"a": 0.001}


def test_json_is_read_with_lines() -> None:
    value, found, findings = read('{\n"a": [1,\n 2e-3],\n"b": {"c": null}}')
    assert (value, found) == ({"a": [1, 0.002], "b": {"c": None}}, [])
    assert findings.root is not None
    assert findings.root.at(("a", 1)).line == 3


def test_json_that_yaml_cannot_read_is_read_without_lines() -> None:
    value, found, findings = read('{\n\t"a": "\\/",\n\t"b": 1e-3,\n\t"c": "\\ud83d\\ude00"\n}')
    assert (value, found) == ({"a": "/", "b": 0.001, "c": "😀"}, [])
    assert findings.root is None


def json_values(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    keys = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "Zs"]), max_size=10)
    return st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63) + 1, 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | texts,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=12,
    )


TEXTS = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), max_size=20)


@given(json_values(TEXTS), st.sampled_from([None, 2]), st.booleans())
def test_json_text_gives_what_a_json_parser_gives(
    value: Any, indent: int | None, is_ascii: bool
) -> None:
    assert value_of(json.dumps({"a": value}, indent=indent, ensure_ascii=is_ascii)) == {"a": value}


# PyYAML writes text such as 1e5 or NaN without quotes, because it does not read it as a number.
@given(json_values(TEXTS.map("t{}".format)))
def test_yaml_text_gives_back_what_was_dumped(value: Any) -> None:
    assert value_of(pyyaml.safe_dump({"a": value}, allow_unicode=True)) == {"a": value}


@given(
    st.one_of(
        st.text(max_size=80),
        st.binary(max_size=80),
        st.lists(
            st.sampled_from([*"ab01.:-[]{},&*!|>'\"#%@`?\t\n \x00", "<<", "- ", ": ", "\n  "]),
            max_size=40,
        ).map("".join),
    )
)
def test_any_text_is_read_or_refused_in_words(text: str | bytes) -> None:
    value, found, findings = read(text)
    for finding in found:
        assert finding.message
        assert finding.line is None or finding.line >= 1
    assert value is None or not findings.has_errors or found


def test_lines_are_those_of_keys_and_entries() -> None:
    text = "# comment\na:\n  b: 1\n  c:\n    - x\n    - {y: 2,\n       z: 3}\n"
    _, _, findings = read(text)
    assert findings.root is not None
    lines = {
        path: findings.root.at(path).line
        for path in [(), ("a",), ("a", "b"), ("a", "c"), ("a", "c", 0), ("a", "c", 1, "z")]
    }
    assert list(lines.values()) == [2, 2, 3, 4, 5, 7]
    assert findings.root.at(("a", "c", 1, "missing", 5)).line == 6


@pytest.mark.parametrize("written", [".nan", "NaN", ".inf", "-.INF", "Infinity", "-Infinity"])
def test_not_a_number_and_infinity_are_refused(written: str) -> None:
    finding = only_finding(f"a: 1\nb: [0, {written}]")
    assert finding.message == f"{written} is not a finite number"
    assert (finding.path, finding.line) == ("b[1]", 2)
    assert "leave the key out" in str(finding.fix)


@pytest.mark.parametrize("written", ["1e400", "-1e400", "1" + "0" * 400 + ".0"])
def test_a_number_beyond_the_floats_is_refused(written: str) -> None:
    finding = only_finding(f"a:\n  b: {written}")
    assert "is too large; numbers stay below 1.8e308" in finding.message
    assert (finding.path, finding.line) == ("a.b", 2)


@pytest.mark.parametrize("written", [str(2**63), "9" * 10_000])
def test_a_whole_number_beyond_64_bits_is_refused(written: str) -> None:
    finding = only_finding(f"a: {written}")
    assert "at most 64 bits" in finding.message
    assert "1e30" in str(finding.fix)


def test_a_duplicate_key_is_a_finding_and_the_first_value_stays() -> None:
    value, found, _ = read("a: 1\nb: {c: 1,\n c: 2}\na: 3\n")
    assert value == {"a": 1, "b": {"c": 1}}
    assert [(f.path, f.line, f.message) for f in found] == [
        ("b.c", 3, "the key 'c' appears twice; first on line 2"),
        ("a", 4, "the key 'a' appears twice; first on line 1"),
    ]
    assert {f.fix for f in found} == {"keep one of them"}


def test_aliases_give_copies() -> None:
    value = value_of("a: &range [0, 1]\nb: *range\nc: [*range, *range]")
    assert value == {"a": [0, 1], "b": [0, 1], "c": [[0, 1], [0, 1]]}
    value["b"].append(2)
    assert value["a"] == [0, 1]


def test_an_alias_bomb_is_refused_before_it_is_built() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for i in range(1, 12):
        levels.append(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]")
    tracemalloc.start()
    finding = only_finding("\n".join(levels))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert f"more than {MAX_VALUES} values" in finding.message
    assert finding.line == 5
    assert peak < 20e6  # 10^12 values were asked for


def test_aliases_count_towards_the_depth() -> None:
    levels = ["a0: &a0 [x]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 30))]
    finding = only_finding("\n".join(levels))
    assert f"nested more than {MAX_DEPTH} levels" in finding.message


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: *b"])
def test_an_alias_of_nothing_or_of_itself_is_refused(text: str) -> None:
    assert "refers to an anchor" in only_finding(text).message


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100 + "]" * 100,
        "a:\n" + "\n".join(" " * i + "- a:" for i in range(1, 200, 2)),
        "[" * 400_000,
        '{"a":' * 100 + "1" + "}" * 100,
    ],
)
def test_deep_nesting_is_refused(text: str) -> None:
    finding = only_finding(text)
    assert f"nested more than {MAX_DEPTH} levels deep" in finding.message
    assert "brackets or indentation" in str(finding.fix)


def test_a_long_text_is_refused_unread() -> None:
    finding = only_finding("a: " + "x" * yaml.MAX_BYTES)
    assert f"larger than {yaml.MAX_BYTES} bytes" in finding.message


def test_many_values_in_a_small_text_are_refused_by_their_number() -> None:
    finding = only_finding("parameters:\n" + "- a\n" * (MAX_VALUES + 10))
    assert f"more than {MAX_VALUES} values; parameters takes at most 100 entries" in finding.message
    assert finding.path == "parameters"


@pytest.mark.parametrize(
    ("text", "line", "what", "fix"),
    [
        ("a: [1, 2", 1, "this bracket is not closed", "close every"),
        ("a: 1\nb: {c: 1\nd: 2", 2, "this bracket is not closed", "close every"),
        ("a: b: c", 1, "a second ':'", "quotes"),
        ("a: 1\n  b: 2", 2, "a second ':'", "align"),
        ("a:\n  - 1\n - 2", 3, "indentation does not fit", "align"),
        ("a:\n\t- 1", 2, "a tab is used for indentation", "spaces"),
        ("a: @b", 1, "a character that has a meaning in YAML", "quotes"),
        ("a: 1\nb: 'c\n d", 2, "this quote is never closed", "same quote"),
        ("a: \x00", 1, "a control character", "plain text"),
        ("a: 1\nb: \x1b[31m", 2, "a control character", "plain text"),
        ("- a\nb: 1", 2, "", "indentation"),
    ],
)
def test_invalid_yaml_is_explained(text: str, line: int, what: str, fix: str) -> None:
    finding = only_finding(text)
    assert finding.message.startswith("this is not valid YAML")
    assert what in finding.message
    assert fix in str(finding.fix)
    assert finding.line == line


def test_bytes_that_are_not_utf_8_are_refused_with_their_line() -> None:
    finding = only_finding(b"a: 1\nb: \xff")
    assert (finding.message, finding.line) == ("the text is not UTF-8", 2)
    assert value_of("a: é".encode()) == {"a": "é"}
    assert value_of("\ufeffa: 1".encode()) == value_of("\ufeffa: 1") == {"a": 1}


def test_a_surrogate_is_not_text() -> None:
    assert only_finding("a: \ud800").message == "the text is not UTF-8"
    assert "U+D800" in only_finding('{"a": "\\ud800"}').message


@pytest.mark.parametrize("tag", ["!!python/object:os.system", "!foo", "!!float", "!!binary"])
def test_tags_are_refused_and_nothing_is_built(tag: str) -> None:
    finding = only_finding(f"a: {tag} x")
    assert "is not allowed; a definition holds plain values only" in finding.message
    assert finding.path == "a"


def test_a_second_document_is_a_finding() -> None:
    value, found, _ = read("a: 1\n---\nb: 2")
    assert value == {"a": 1}
    assert (found[0].line, "second document" in found[0].message) == (2, True)


@pytest.mark.parametrize("text", ["<<: {a: 1}", "? [a, b]\n: 1", "? {a: 1}\n: 1"])
def test_a_key_that_is_no_text_is_refused(text: str) -> None:
    value, found, _ = read(text)
    assert value == {}
    assert len(found) == 1


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_an_empty_text_has_no_value_and_no_finding_yet(text: str) -> None:
    assert value_of(text) is None


@pytest.mark.parametrize("text", ['a: "\\0"', 'a: "\\e[31m"', '"\\0": a'])
def test_control_characters_do_not_get_through(text: str) -> None:
    value, found, _ = read(text)
    assert "control character" in found[0].message
    assert "\x00" not in str(value) and "\x1b" not in str(value)


# The same limits for Python objects


def plainly(value: Any) -> tuple[Any, list[Finding]]:
    findings = Findings()
    try:
        return plain(value, findings, Budget(findings, LIMITS)), findings.in_order(())
    except TooMuchError:
        return None, findings.in_order(())


def test_python_objects_become_plain_data() -> None:
    numpy = pytest.importorskip("numpy")
    value = {"a": (1, 2.5), "b": numpy.array([0, 1]), "c": numpy.float32(0.5), "d": numpy.int64(3)}
    assert plainly(value) == ({"a": [1, 2.5], "b": [0, 1], "c": 0.5, "d": 3}, [])


def test_plain_data_shares_nothing_with_its_source() -> None:
    source = {"a": [1, {"b": 2}]}
    value, _ = plainly(source)
    value["a"][1]["b"] = 3
    assert source == {"a": [1, {"b": 2}]}


@pytest.mark.parametrize(
    ("value", "path", "what"),
    [
        ({"a": float("nan")}, "a", "nan is not a finite number"),
        ({"a": [1, float("inf")]}, "a[1]", "inf is not a finite number"),
        ({"a": {1, 2}}, "a", "a value of type set"),
        ({"a": object()}, "a", "a value of type object"),
        ({"a": 10**400}, "a", "at most 64 bits"),
        ({"a": "\x1b[31m"}, "a", "control character U+001B"),
        ({"a": {5: 1}}, "a", "the key 5 is of type int"),
        ({"a\x00": 1}, "", "contains a control character"),
    ],
)
def test_what_is_not_plain_is_refused_with_its_path(value: Any, path: str, what: str) -> None:
    _, found = plainly(value)
    assert len(found) == 1
    assert what in found[0].message
    assert (found[0].path, found[0].line) == (path, None)
    assert found[0].fix


def test_an_object_that_contains_itself_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["a"] = [loop]
    _, found = plainly(loop)
    assert "nested more than" in found[0].message


def test_shared_objects_that_would_explode_are_refused() -> None:
    value: list[Any] = ["x"] * 10
    for _ in range(12):
        value = [value] * 10
    _, found = plainly({"a": value})
    assert f"more than {MAX_VALUES} values" in found[0].message


def test_a_list_of_a_million_is_refused_by_its_length() -> None:
    _, found = plainly({"parameters": [{"name": "x"}] * 1_000_000})
    assert found[0].message == "the list has 1000000 entries; at most 100 are allowed"


def test_a_whole_number_far_too_large_is_told_the_range_of_its_key() -> None:
    finding = only_finding("optimizer:\n  budget: 99999999999999999999999")
    assert finding.fix == "write a whole number between 1 and 10000"


@pytest.mark.parametrize(
    ("written", "line", "message"),
    [
        ('{"name": "x", "objectives": [}', 1, "column 30: expecting value"),
        ('{"name": "x"\n "budget": 3}', 2, "column 2: expecting ',' delimiter"),
        ('{"name": "x', 1, "unterminated string"),
    ],
)
def test_broken_json_is_called_json_with_line_and_column(
    written: str, line: int, message: str
) -> None:
    finding = only_finding(written)
    assert finding.message.startswith(f"this is not valid JSON: line {line}, ")
    assert message in finding.message
    assert finding.line == line
