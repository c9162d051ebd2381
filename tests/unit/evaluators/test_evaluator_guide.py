"""`docs/evaluators.md` and the evaluators say the same, and its examples run as they stand."""

from __future__ import annotations

import re
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import trained_models
from materia import evaluators
from materia.engine.campaign import Campaign
from materia.evaluators import REGISTRY, ase, problems, table
from materia.mdl import Definition, check

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "evaluators.md").read_text(encoding="utf-8")


def section(name: str) -> str:
    found = re.search(rf"^## {name}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, name
    return found.group(1)


def block(name: str, language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", section(name), re.M | re.S)
    return str(found)


def rows(name: str) -> dict[str, list[str]]:
    """Return the cells of each option but its name: type, default, allowed, meaning."""
    found = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \| (.*?)\|(.*)\|$", section(name), re.M)
    return {row[0]: [cell.strip() for cell in row[1:]] for row in found}


def options_model(name: str) -> type[BaseModel]:
    entry = REGISTRY[name]
    kind = getattr(import_module(entry.module), entry.class_name)
    model: type[BaseModel] = kind.options_model
    return model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the models that the example of `model` names."""
    folder = tmp_path_factory.mktemp("models")
    for target in ("hardness", "stress"):
        trained_models.train(folder, target)
    return folder


@pytest.fixture
def folder(tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with the files that examples name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gels.csv").write_text(block("table", "csv"), encoding="utf-8")
    for target in ("hardness", "stress"):
        shutil.copy(models / f"{target}.model", tmp_path)
    (tmp_path / "sol-gel.yaml").write_text(block("manual", "yaml"), encoding="utf-8")
    return tmp_path


def example(name: str) -> Definition:
    definition, findings = check(block(name, "yaml"))
    assert definition is not None
    assert findings == []
    assert definition.evaluator is not None
    assert definition.evaluator.type == name
    return definition


def test_every_evaluator_has_a_section_and_stands_in_the_list() -> None:
    assert sorted(re.findall(r"^## (\w+)$", PAGE, re.M)) == sorted(REGISTRY)
    assert all(f"[`{name}`](#{name})" in PAGE for name in REGISTRY)
    assert "(evaluators.md)" in (ROOT / "docs" / "definition.md").read_text()


# That of `http` needs a service, and runs in an integration test.
@pytest.mark.parametrize("name", sorted(set(REGISTRY) - {"manual", "http"}))
def test_an_example_is_a_whole_campaign_that_can_be_evaluated(name: str, folder: Path) -> None:
    definition = example(name)
    places: dict[str, Any] = {"data_roots": [folder], "base_dir": folder}
    assert evaluators.check(definition, **places) == []
    evaluator = evaluators.build(definition, **places)
    campaign = Campaign.from_definition(definition, evaluators.pool_of(definition, **places))
    while n := campaign.next_batch_size():
        batch = campaign.ask(n)
        campaign.tell({c.id: evaluator.evaluate(c.params, seed=1).outcomes for c in batch})
    assert campaign.best() is not None


def test_the_example_of_manual_work_runs_as_written(folder: Path) -> None:
    findings = evaluators.check(example("manual"), data_roots=[folder])
    assert [finding.level for finding in findings] == ["warning"]
    found: dict[str, Any] = {}
    exec(block("manual", "python"), found)  # noqa: S102 - the page is ours
    assert found["campaign"].best()["outcomes"] == {"gel_time": 37.5}


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_option_is_documented_with_its_default_and_limits(name: str) -> None:
    fields = options_model(name).model_fields
    documented = rows(name)
    assert set(documented) == set(fields)
    schema = options_model(name).model_json_schema()["properties"] if fields else {}
    for option, field in fields.items():
        _, default, allowed, _ = documented[option]
        assert default == written(field.is_required(), field.get_default(call_default_factory=True))
        limits = schema[option]
        for key in ("minimum", "maximum", "multipleOf", "maxLength"):
            assert key not in limits or f"{limits[key]:g}" in allowed


def written(is_required: bool, default: Any) -> str:
    """Return a default as the page writes it."""
    if is_required:
        return "required"
    if default is None:
        return "none"
    if isinstance(default, tuple):
        assert default == tuple(ase.UNITS)
        return "all five below"
    if default == {}:
        return "empty"
    return f"`{default:g}`" if isinstance(default, float) else f"`{str(default).lower()}`"


def test_the_properties_of_alloys_and_their_units_are_those_of_the_code() -> None:
    listed = re.findall(r"^\| `(\w+)` \| (\S+) \|$", section("ase"), re.M)
    assert listed == [(name, units[0]) for name, units in ase.UNITS.items()]
    assert all(f"`{name}`" in rows("ase")["properties"][2] for name in ase.UNITS)


def test_the_problems_are_those_of_the_code() -> None:
    listed = re.findall(r"^\| `(\w+)` \| (.+?) \| (\[.+?) \| (.+?) \|$", section("function"), re.M)
    expected = []
    for problem in problems.PROBLEMS.values():
        least = problem.min_inputs
        inputs = str(problem.n_inputs) if problem.n_inputs else f"{least} or more"
        spans = "; ".join(f"[{lo:g}, {hi:g}]" for lo, hi in dict.fromkeys(problem.bounds))
        n_objectives = str(problem.n_objectives) if problem.n_objectives else "2 or more"
        expected.append((problem.name, inputs, spans, n_objectives))
    assert listed == expected


def test_the_limits_of_tables_are_those_of_the_code() -> None:
    stated = f"At most {table.MAX_BYTES // 2**20} MB, {table.MAX_ROWS} rows"
    assert f"{stated} and {table.MAX_COLUMNS} columns" in section("table")
