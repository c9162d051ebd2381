"""The reference of the definition says what the models say, and its examples are good ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from materia.evaluators import REGISTRY, warm_start
from materia.mdl import check, definition, expression, finding, parameter_rules, plain, rules
from materia.mdl import yaml as reading
from materia.mdl.arithmetic import FUNCTIONS

PAGE = (Path(__file__).parents[3] / "docs" / "definition.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SECTIONS: dict[str, type[BaseModel]] = {
    "A whole definition": definition.Definition,
    "continuous": definition.ContinuousParameter,
    "integer": definition.IntegerParameter,
    "categorical": definition.CategoricalParameter,
    "composition": definition.CompositionParameter,
    "Objectives": definition.Objective,
    "Constraints": definition.Constraint,
    "Outcome constraints": definition.OutcomeConstraint,
    "Evaluator": definition.EvaluatorChoice,
    "Warm start": definition.WarmStart,
    "Optimizer": definition.Optimizer,
}
SHARED = {"unit", "description"}
"""Keys documented once for everything that has a name."""


def section(title: str) -> str:
    found = re.search(rf"^##+ {title}$(.*?)(?=^##+ |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, title
    return found.group(1)


def rows(text: str) -> list[dict[str, str]]:
    """Rows of the tables whose columns are key, type, default, allowed, meaning."""
    found = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?)\|(.*)\|$", text, re.MULTILINE)
    names = ("key", "type", "default", "allowed", "meaning")
    return [dict(zip(names, map(str.strip, row), strict=True)) for row in found]


def documented(model: type[BaseModel], table: list[dict[str, str]]) -> list[Any]:
    return [pytest.param(model, row, id=f"{model.__name__}.{row['key']}") for row in table]


def tables() -> list[Any]:
    found: list[Any] = []
    for title, model in SECTIONS.items():
        table = rows(section(title))
        if title == "Optimizer":
            first = next(i for i, row in enumerate(table) if row["key"] == "initial_samples")
            found += documented(definition.ActiveLearning, table[first:])
            table = table[:first]
        if title == "A whole definition":
            table = table[:-2]
        found += documented(model, table)
    return found


def schema_of(model: type[BaseModel], key: str) -> dict[str, Any]:
    schema: dict[str, Any] = model.model_json_schema()["properties"][key]
    alternatives = [a for a in schema.get("anyOf", []) if a.get("type") != "null"]
    return alternatives[0] if len(alternatives) == 1 else schema


def limits(schema: dict[str, Any]) -> list[str]:
    """The limits of one key, written as the page writes them."""

    def span(low: Any, high: Any, unit: str) -> list[str]:
        if low is None and high is None:
            return []
        least, most = (f"{n:g}" if isinstance(n, float) else str(n) for n in (low, high))
        if low is None:
            return [f"at most {most}{unit}"]
        if low == high:
            return [f"{least}{unit}" if low > 1 else f"{least}{unit.removesuffix('s')}"]
        return [f"at least {least}{unit}" if high is None else f"{least} to {most}{unit}"]

    written = span(schema.get("minLength"), schema.get("maxLength"), " characters")
    written += span(schema.get("minItems"), schema.get("maxItems"), " entries")
    above = schema.get("exclusiveMinimum")
    if above is not None:
        written += [f"> {above:g}"]
        high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
        written += [f"at most {high:.0f}"] if high is not None else []
        written += [f"< {below:g}"] if below is not None else []
    else:
        written += span(schema.get("minimum"), schema.get("maximum"), "")
    if "pattern" in schema:
        written += [f"`{schema['pattern']}`"]
    words = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return [*written, *(f"`{word}`" for word in words)]


@pytest.mark.parametrize(("title", "model"), SECTIONS.items())
def test_every_key_is_documented_in_its_section(title: str, model: type[BaseModel]) -> None:
    keys = {row["key"] for row in rows(section(title))}
    wanted = set(model.model_fields)
    if title == "Optimizer":
        wanted |= set(definition.ActiveLearning.model_fields)
    assert keys | SHARED >= wanted
    assert keys <= wanted | SHARED


def test_the_keys_of_a_part_are_named() -> None:
    assert set(definition.CompositionPart.model_fields) == {"name", "bounds"}
    assert "Of a part: `name`, and `bounds`" in section("composition")


@pytest.mark.parametrize(("model", "row"), tables())
def test_the_default_of_a_key_is_the_documented_one(
    model: type[BaseModel], row: dict[str, str]
) -> None:
    field = model.model_fields[row["key"]]
    default = field.get_default(call_default_factory=True)
    if field.is_required() or row["key"] == "type":
        assert row["default"] == "required"
    elif default is None:
        assert row["default"] == "none"
    elif isinstance(default, BaseModel):
        assert row["default"] == "the defaults below"
    elif default in ([], {}):
        assert row["default"] == "empty"
    else:
        assert default is not PydanticUndefined
        assert row["default"] == f"`{str(default).lower()}`"


@pytest.mark.parametrize(("model", "row"), tables())
def test_the_limits_of_a_key_are_the_documented_ones(
    model: type[BaseModel], row: dict[str, str]
) -> None:
    if row["key"] == "bounds":
        return
    for limit in limits(schema_of(model, row["key"])):
        assert limit in row["allowed"]
    if not limits(schema_of(model, row["key"])):
        assert not re.search(r"\d", row["allowed"].replace("lower bound > 0", ""))


def test_shared_keys_have_the_documented_limits() -> None:
    shared = rows(section("A whole definition"))[-2:]
    assert [row["key"] for row in shared] == ["unit", "description"]
    for row in shared:
        for model in (definition.ContinuousParameter, definition.CompositionParameter):
            assert limits(schema_of(model, row["key"])) == [row["allowed"]]
        assert limits(schema_of(definition.Objective, row["key"])) == [row["allowed"]]


@pytest.mark.parametrize(
    ("label", "limit"),
    [
        ("characters", expression.MAX_LENGTH),
        ("operations", expression.MAX_OPERATIONS),
        ("levels of parentheses", expression.MAX_DEPTH),
        ("magnitude of an exponent", expression.MAX_EXPONENT),
        ("bytes of text", reading.MAX_BYTES),
        ("values", plain.MAX_VALUES),
        ("levels of nesting", plain.MAX_DEPTH),
        ("findings shown", finding.MAX_FINDINGS),
        ("steps in the total of a composition", parameter_rules.MAX_STEPS),
    ],
)
def test_a_limit_of_the_page_is_the_limit_of_the_code(label: str, limit: int) -> None:
    assert f"| {label} | {limit} |" in PAGE


def test_limits_in_prose_are_those_of_the_code() -> None:
    assert f"At most {warm_start.MAX_ROWS} rows" in section("Warm start")
    assert f"(from {warm_start.MANY_ROWS} on" in section("Warm start")
    assert f"together are at most\n{rules.MAX_NAMES}." in PAGE
    assert "One to five." in section("Objectives")
    assert f"at most {expression.MAX_EXPONENT})" in section("Constraints")
    assert expression.EQUALITY_TOLERANCE == 1e-9 and "within 1e-9 times" in section("Constraints")
    assert f"between ±{2**53}" in section("integer")
    assert "text of at most 256 characters" in section("categorical")
    assert all(f"`{name}`" in section("Constraints") for name in FUNCTIONS)


def test_every_evaluator_is_listed() -> None:
    listed = re.findall(r"^\| `(\w+)` \| [^|]+ \|$", section("Evaluator"), re.MULTILINE)
    assert listed == sorted(REGISTRY)


def test_the_whole_definition_has_no_findings() -> None:
    assert check(EXAMPLES[0])[1] == []


@pytest.mark.parametrize("example", EXAMPLES[1:], ids=[e.splitlines()[0] for e in EXAMPLES[1:]])
def test_an_example_can_replace_its_section(example: str) -> None:
    whole = yaml.safe_load(EXAMPLES[0].replace("1e-3", "0.001"))
    part = yaml.safe_load(example.replace("1e-3", "0.001"))
    assert part.keys() <= {*whole, "warm_start"}
    assert check(example)[0] is None  # a section alone is no definition
    assert check({**whole, **part})[1] == []


def test_there_is_an_example_of_every_section() -> None:
    assert len(EXAMPLES) == 13
    for title in SECTIONS:
        assert "```yaml" in section(title)
