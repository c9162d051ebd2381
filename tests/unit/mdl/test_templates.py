"""Definitions to begin with are right, and run as they stand where their evaluator can."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from materia import cli, evaluators
from materia.engine.campaign import Campaign
from materia.errors import NotFoundError
from materia.mdl import templates
from materia.services import choices, validation

ALL = sorted(templates.all_templates())


def invoke(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli.app, list(arguments))
    return done.exit_code, done.output + str(done.exception or "")


@pytest.mark.parametrize("name", ALL)
def test_a_template_has_no_error_and_begins_a_campaign(name: str) -> None:
    template = templates.template(name)
    definition, findings = validation.validate(template.text, data_roots=[])
    assert definition is not None
    # That people tell the results is the one thing worth a word.
    assert [finding.level for finding in findings] == ["warning"] * (name == "experiments")
    evaluator = evaluators.build(definition, data_roots=[])
    batch = Campaign.from_definition(definition).ask(3)
    if name in ("formulation", "demonstration", "alloy"):
        outcomes = [evaluator.evaluate(c.params, seed=1).outcomes for c in batch]
        assert len({tuple(one.values()) for one in outcomes}) == 3


@pytest.mark.parametrize("name", ALL)
def test_a_template_says_what_it_is_for_in_one_line(name: str) -> None:
    title = templates.template(name).title
    assert 20 <= len(title) <= 100
    assert f"\nname: my-{name.partition('.')[0]}" in templates.template(name).text


def test_an_unknown_template_is_named_with_the_nearest() -> None:
    with pytest.raises(NotFoundError) as refused:
        templates.template("formulations")
    assert "formulation" in str(refused.value.hint)


def test_init_lists_and_writes_but_never_overwrites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert all(name in invoke("init")[1] for name in ALL)
    assert [one["name"] for one in json.loads(invoke("init", "--json")[1])] == ALL
    code, said = invoke("init", "formulation")
    assert code == 0
    assert "materia validate formulation.yaml" in said
    assert (tmp_path / "formulation.yaml").read_text() == templates.template("formulation").text
    (tmp_path / "formulation.yaml").write_text("mine")
    code, said = invoke("init", "formulation")
    assert code != 0
    assert "exists" in said
    assert (tmp_path / "formulation.yaml").read_text() == "mine"
    assert invoke("init", "formulation", "--output", "a.yaml")[0] == 0
    assert invoke("init", "formulation", "--output", "no/such/folder.yaml")[0] != 0
    assert "there is no template" in invoke("init", "nothing")[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.yaml", "formulation.yaml"]


def test_every_evaluator_is_described_with_its_options() -> None:
    listed = choices.evaluators()
    assert [one["type"] for one in listed] == evaluators.known()
    for one in listed:
        assert one["unusable"] is None
        assert len(one["summary"]) > 10
    assert "url" in choices.evaluator("http")["options"]["properties"]
    with pytest.raises(NotFoundError):
        choices.evaluator("htp")
