"""Choosing an evaluator, and the seeds handed to it."""

from __future__ import annotations

import importlib.util

import pytest

from materia import evaluators
from materia.errors import DefinitionError, EvaluationError, MissingExtraError
from materia.mdl.definition import Definition


def definition(evaluator: dict[str, object] | None) -> Definition:
    return Definition.model_validate(
        {
            "name": "choice",
            "parameters": [{"name": "x", "type": "continuous", "bounds": [0, 1]}],
            "objectives": [{"name": "y"}],
            "evaluator": evaluator,
        }
    )


def test_an_unknown_evaluator_is_answered_with_the_nearest() -> None:
    (finding,) = evaluators.check(definition({"type": "tabel"}), data_roots=[])
    assert (finding.level, finding.path) == ("error", "evaluator.type")
    assert "'table'" in str(finding.fix)


def test_an_unknown_evaluator_cannot_be_built() -> None:
    with pytest.raises(DefinitionError, match="warp"):
        evaluators.build(definition({"type": "warp"}), data_roots=[])


def test_a_definition_without_evaluator_is_valid_but_cannot_be_built() -> None:
    assert evaluators.check(definition(None), data_roots=[]) == []
    with pytest.raises(DefinitionError, match="names no evaluator"):
        evaluators.build(definition(None), data_roots=[])


def test_a_missing_extra_is_a_finding_and_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    missing = evaluators.Entry("materia.evaluators.ase", "AlloyEvaluator", "ase", "no_such_package")
    assert importlib.util.find_spec("no_such_package") is None
    monkeypatch.setitem(evaluators.REGISTRY, "ase", missing)
    (finding,) = evaluators.check(definition({"type": "ase"}), data_roots=[])
    assert "materia[ase]" in str(finding.fix)
    with pytest.raises(MissingExtraError, match="'ase'"):
        evaluators.build(definition({"type": "ase"}), data_roots=[])


def test_manual_is_valid_but_evaluates_nothing() -> None:
    declared = definition({"type": "manual"})
    assert [f.level for f in evaluators.check(declared, data_roots=[])] == ["warning"]
    evaluator = evaluators.build(declared, data_roots=[])
    with pytest.raises(EvaluationError, match="person"):
        evaluator.evaluate({"x": 0.5}, seed=0)


def test_seeds_follow_from_campaign_and_candidate_alone_and_differ() -> None:
    seeds = {(c, n): evaluators.seed_for(c, n) for c in (0, 1, 2**63 - 1) for n in range(200)}
    assert len(set(seeds.values())) == len(seeds)
    assert seeds == {key: evaluators.seed_for(*key) for key in seeds}
    # Recorded: a change here changes every simulation of campaigns under way.
    assert evaluators.seed_for(42, 7) == 4054549920
