"""Trained models as evaluators: what fits, what does not, and that a changed file is noticed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trained_models
from materia import evaluators, settings
from materia.engine.campaign import Campaign
from materia.errors import ConflictError, DefinitionError
from materia.evaluators.base import Evaluation
from materia.mdl.definition import Definition, Optimizer
from materia.mdl.finding import Finding
from materia.ml.estimators import TABLE
from materia.ml.model_file import read_card, read_model
from materia.services.evaluation_pool import Recipe
from materia.services.local_run import LocalRun
from materia.store import migrate
from materia.store import models as model_rows
from materia.store import retrainings as retraining_rows
from materia.store.database import database

PARAMETERS: list[dict[str, Any]] = [
    {"name": "gas", "type": "categorical", "choices": ["Ar", "N2"]},
    {"name": "power", "type": "continuous", "bounds": [50, 200]},
    {"name": "layers", "type": "integer", "bounds": [1, 5]},
]
POINT = {"gas": "N2", "power": 120.0, "layers": 3}
POINTS = [
    {"gas": g, "power": 50.0 + 7 * i, "layers": 1 + i % 5} for i in range(4) for g in ("Ar", "N2")
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of each outcome."""
    folder = tmp_path_factory.mktemp("models")
    for target in ("hardness", "stress", "quality"):
        trained_models.train(folder, target)
    trained_models.train(folder, "hardness", "alone", num_partitions=1)
    return folder


def definition(
    options: dict[str, Any],
    parameters: list[dict[str, Any]] | None = None,
    objectives: tuple[str, ...] = ("hardness",),
    **fields: Any,
) -> Definition:
    return Definition.model_validate(
        {
            "name": "coating",
            "parameters": parameters or PARAMETERS,
            "objectives": [{"name": name} for name in objectives],
            "evaluator": {"type": "model", "options": options},
            **fields,
        }
    )


def build(folder: Path, options: dict[str, Any], *objectives: str) -> evaluators.Evaluator:
    declared = definition(options, objectives=objectives or ("hardness",))
    return evaluators.build(declared, data_roots=[folder])


def findings(folder: Path, declared: Definition) -> list[Finding]:
    return evaluators.check(declared, data_roots=[folder])


def told(folder: Path, declared: Definition) -> str:
    found = findings(folder, declared)
    assert found
    assert all(finding.fix for finding in found)
    return " | ".join(f"{f.level} {f.path}: {f.message} ({f.fix})" for f in found)


def test_each_objective_is_predicted_by_its_own_model(folder: Path) -> None:
    options = {"model_path": {"hardness": "hardness.model", "stress": "stress.model"}}
    evaluation = build(folder, options, "hardness", "stress").evaluate(POINT, seed=1)
    for name in ("hardness", "stress"):
        model = read_model(folder / f"{name}.model")
        assert model.schema.names == ("gas", "power", "layers")
        code = model.schema.features[0].levels.index("N2")
        X = np.array([[code, 120.0, 3.0]] * 2)
        assert evaluation.outcomes[name] == model.answer(X).values[0]
    assert 15 < evaluation.outcomes["hardness"] < 20
    assert evaluation.metadata["models"]["stress"] == "stress.model"


@pytest.mark.parametrize("estimator", sorted(TABLE))
def test_a_batch_gives_the_same_as_one_by_one_bit_for_bit(tmp_path: Path, estimator: str) -> None:
    # Nine partitions, because from eight terms on sums are made in pairs.
    trained_models.train(tmp_path, "hardness", n=500, estimator=estimator, num_partitions=9)
    evaluator = build(tmp_path, {"model_path": "hardness.model", "standard_error": True})
    together = evaluator.evaluate_many([(params, 1) for params in POINTS])
    one_by_one = [evaluator.evaluate(params, seed=2) for params in POINTS]
    assert together == one_by_one
    in_parts = [
        e
        for i in range(0, 8, 3)
        for e in evaluator.evaluate_many([(p, 1) for p in POINTS[i : i + 3]])
    ]
    assert in_parts == one_by_one
    assert len({e.outcomes["hardness"] for e in one_by_one}) > 1


def test_the_uncertainty_of_a_model_is_told_as_a_standard_error(folder: Path) -> None:
    plain = build(folder, {"model_path": "hardness.model"}).evaluate(POINT, seed=1)
    assert plain.told == plain.outcomes
    options = {"model_path": "hardness.model", "standard_error": True}
    evaluation = build(folder, options).evaluate(POINT, seed=1)
    assert evaluation.standard_errors["hardness"] > 0
    value, error = evaluation.told["hardness"]  # type: ignore[misc]
    assert (value, error) == (plain.outcomes["hardness"], evaluation.standard_errors["hardness"])
    alone = {"model_path": "alone.model", "standard_error": True}
    assert "does not know how sure it is" in told(folder, definition(alone))


def test_a_classifier_gives_the_probability_of_the_class_that_is_named(folder: Path) -> None:
    path = {"model_path": "quality.model"}
    good = build(folder, {**path, "probability_of": "good"}).evaluate(POINT, seed=1)
    poor = build(folder, {**path, "probability_of": "poor"}).evaluate(POINT, seed=1)
    assert good.outcomes["hardness"] + poor.outcomes["hardness"] == pytest.approx(1)
    assert good.outcomes["hardness"] > 0.5
    assert "tells classes" in (message := told(folder, definition(path)))
    assert "probability_of: one of good, poor" in message
    wrong = definition({**path, "probability_of": "goood"})
    assert "did you mean 'good'?" in told(folder, wrong)
    number = definition({"model_path": "hardness.model", "probability_of": "good"})
    assert "predicts a number, not classes" in told(folder, number)


def test_features_may_have_other_names_or_be_fixed(folder: Path) -> None:
    parameters = [
        {"name": "watts", "type": "continuous", "bounds": [50, 200]},
        {"name": "layers", "type": "categorical", "choices": [1, 3, 5], "ordered": True},
    ]
    options = {
        "model_path": "hardness.model",
        "columns": {"watts": "power"},
        "fixed": {"gas": "N2"},
    }
    declared = definition(options, parameters)
    assert findings(folder, declared) == []
    found = evaluators.build(declared, data_roots=[folder]).evaluate(
        {"watts": 120.0, "layers": 3}, seed=1
    )
    assert (
        found.outcomes
        == build(folder, {"model_path": "hardness.model"}).evaluate(POINT, seed=1).outcomes
    )


def test_everything_that_does_not_fit_is_told_at_once_with_its_fix(folder: Path) -> None:
    parameters = [
        {"name": "gas", "type": "categorical", "choices": ["Ar", "N_2", "Kr"]},
        {"name": "powr", "type": "continuous", "bounds": [50, 200]},
        {"name": "layers", "type": "categorical", "choices": ["one", "two"]},
    ]
    options = {
        "model_path": "hardness.model",
        "fixed": {"gass": "Ar"},
        "columns": {"watt": "power"},
    }
    text = told(folder, definition(options, parameters))
    assert "error parameters[0].choices[1]: model 'hardness.model' has not seen 'N_2'" in text
    assert "did you mean 'N2'?" in text
    assert "parameters[0].choices[2]" in text
    assert "no parameter is the feature 'power'" in text
    assert "did you mean the parameter 'powr'? add columns: {powr: power}" in text
    assert "parameters[2]: model 'hardness.model' takes numbers for 'layers', not 'one'" in text
    assert "evaluator.options.columns.watt: nothing is named 'watt'" in text


def test_a_number_is_no_category_and_a_parameter_that_changes_nothing_is_doubtful(
    folder: Path,
) -> None:
    parameters = [{"name": "gas", "type": "continuous", "bounds": [0, 1]}, *PARAMETERS[1:]]
    assert "takes categories for 'gas'" in told(
        folder, definition({"model_path": "hardness.model"}, parameters)
    )
    more = [*PARAMETERS, {"name": "speed", "type": "continuous", "bounds": [0, 1]}]
    (found,) = findings(folder, definition({"model_path": "hardness.model"}, more))
    assert (found.level, found.path) == ("warning", "parameters[3]")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "objective 'hardness' has no model"),
        ({"model_id": "a", "model_path": "hardness.model"}, "keep one of the two"),
        ({"model_path": {"hardnes": "hardness.model"}}, "did you mean 'hardness'?"),
        ({"model_path": "none.model"}, "there is no file 'none.model'"),
        ({"model_path": "../../etc/passwd"}, "outside the folders"),
        ({"model_path": "measurements.csv"}, "is no model file of MatCraft"),
        ({"model_path": "m.pkl"}, "is a pickle, which runs code when it is read"),
        ({"model_id": "hardness-1"}, "there is no model 'hardness-1'"),
    ],
)
def test_a_model_that_cannot_be_used_is_a_finding(
    folder: Path, options: dict[str, Any], said: str
) -> None:
    (folder / "m.pkl").write_bytes(b"\x80\x04K\x01.")
    assert said in told(folder, definition(options))


def test_two_objectives_of_one_model_are_refused(folder: Path) -> None:
    declared = definition({"model_path": "hardness.model"}, objectives=("a", "b"))
    assert "predicted by the same model" in told(folder, declared)
    options = {"model_path": "quality.model", "probability_of": {"a": "good", "b": "poor"}}
    assert findings(folder, definition(options, objectives=("a", "b"))) == []


def test_a_model_file_that_was_replaced_is_an_error_that_says_so(tmp_path: Path) -> None:
    first = trained_models.train(tmp_path, "hardness")
    pinned = evaluators.pin(definition({"model_path": "hardness.model"}), data_roots=[tmp_path])
    assert pinned.evaluator is not None
    assert pinned.evaluator.options["sha256"] == {"hardness": first.sha256}
    assert evaluators.pin(pinned, data_roots=[tmp_path]) == pinned
    running = evaluators.build(pinned, data_roots=[tmp_path])
    before = running.evaluate(POINT, seed=1)
    fresh = evaluators.build(pinned, data_roots=[tmp_path])
    trained_models.train(tmp_path, "hardness", seed=1)
    with pytest.raises(DefinitionError, match="has changed") as refused:
        evaluators.build(pinned, data_roots=[tmp_path])
    assert "remove 'sha256'" in str(refused.value.hint)
    # One that was built before has its model already, or finds out when it loads it.
    assert running.evaluate(POINT, seed=1) == before
    with pytest.raises(Exception, match="not the one that was registered"):
        fresh.evaluate(POINT, seed=1)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the data root of a data folder with a database, whose first model is registered."""
    monkeypatch.setenv("MATERIA_DATA_DIR", str(tmp_path))
    settings.current.cache_clear()
    root = settings.current().data_root
    (root / "models").mkdir(parents=True)
    migrate.upgrade(settings.current().database)
    register(root, "hardness")
    yield root
    database().close()


def register(root: Path, name: str, **config: Any) -> None:
    """Train a model and make it known as ``<name>-1``."""
    stored = trained_models.train(root / "models", "hardness", name, **config)
    row = {
        "id": f"{name}-1",
        "name": name,
        "path": f"models/{name}.model",
        "sha256": stored.sha256,
        "size_bytes": stored.size_bytes,
        "job_id": "j",
        "created_at": time.time(),
    }
    with database().write() as connection:
        model_rows.add(database(), connection, {**row, "card": read_card(stored.path)})


def test_a_registered_model_is_found_by_its_id(root: Path) -> None:
    named = evaluators.build(definition({"model_id": "hardness-1"}), data_roots=[root])
    by_path = build(root, {"model_path": "models/hardness.model"})
    assert named.evaluate(POINT, seed=1).outcomes == by_path.evaluate(POINT, seed=1).outcomes
    assert "there is no model 'hardness-2'" in told(root, definition({"model_id": "hardness-2"}))
    trained_models.train(root / "models", "hardness", seed=1)
    message = told(root, definition({"model_id": "hardness-1"}))
    assert "is not the one that was registered" in message


def entry(name: str, champion_id: str | None) -> dict[str, Any]:
    return {
        "name": name,
        "dataset_path": "measurements.csv",
        "model_config": {"target": "hardness"},
        "channel": "default",
        "champion_id": champion_id,
        "created_at": time.time(),
    }


def test_the_name_of_a_retrained_model_stands_for_the_champion_at_the_start(root: Path) -> None:
    register(root, "better", seed=1)
    with database().write() as connection:
        retraining_rows.add(database(), connection, entry("coatings", None))
    assert "there is no model 'coatings'" in (
        message := told(root, definition({"model_id": "coatings"}))
    )
    assert "once it has one" in message
    with database().write() as connection:
        retraining_rows.change(connection, "coatings", {"champion_id": "hardness-1"})
    for given, kept in (
        ("coatings", "hardness-1"),
        ({"hardness": "coatings"}, {"hardness": "hardness-1"}),
    ):
        pinned = evaluators.pin(definition({"model_id": given}), data_roots=[root])
        assert pinned.evaluator is not None
        assert pinned.evaluator.options["model_id"] == kept
        assert evaluators.pin(pinned, data_roots=[root]) == pinned
    before = evaluators.build(pinned, data_roots=[root]).evaluate(POINT, seed=1)
    assert before == build(root, {"model_id": "hardness-1"}).evaluate(POINT, seed=1)

    # Another champion changes what begins afterwards, and nothing that has begun.
    with database().write() as connection:
        retraining_rows.change(connection, "coatings", {"champion_id": "better-1"})
    assert evaluators.build(pinned, data_roots=[root]).evaluate(POINT, seed=1) == before
    assert build(root, {"model_id": "coatings"}).evaluate(POINT, seed=1) != before


def test_a_run_without_a_server_takes_the_champion_of_the_data_folder(root: Path) -> None:
    with database().write() as connection:
        retraining_rows.add(database(), connection, entry("coatings", "hardness-1"))
    runs = [
        LocalRun(
            Recipe(definition({"model_id": name}, optimizer={"budget": 4}), (root,)), root / name
        ).run()
        for name in ("coatings", "hardness-1")
    ]
    assert runs[0].campaign.dump() == runs[1].campaign.dump()


def test_nothing_is_loaded_before_a_candidate_is_evaluated(folder: Path) -> None:
    evaluator = build(folder, {"model_path": "hardness.model"})
    assert evaluator.cheap
    assert evaluator._models == {}  # type: ignore[attr-defined]
    assert isinstance(evaluator.evaluate(POINT, seed=1), Evaluation)
    assert len(evaluator._models) == 1  # type: ignore[attr-defined]


def test_a_run_without_a_server_equals_the_library_and_notices_another_model(
    tmp_path: Path,
) -> None:
    trained_models.train(tmp_path, "hardness")
    source = definition({"model_path": "hardness.model", "standard_error": True})
    declared = source.model_copy(
        update={"optimizer": Optimizer(budget=8, batch_size=3, seed=1)}, deep=True
    )
    recipe = Recipe(declared, (tmp_path,))
    ran = LocalRun(recipe, tmp_path / "out").run().campaign
    campaign = Campaign.from_definition(declared)
    evaluator = evaluators.build(declared, data_roots=[tmp_path])
    while n := campaign.next_batch_size():
        for candidate in campaign.ask(n):
            campaign.tell({candidate.id: evaluator.evaluate(candidate.params, seed=0).told})
    assert ran.candidates == campaign.candidates
    assert all(len(candidate["outcomes"]["hardness"]) == 2 for candidate in ran.candidates)
    assert LocalRun(recipe, tmp_path / "out").run().campaign.dump() == ran.dump()
    trained_models.train(tmp_path, "hardness", seed=1)
    with pytest.raises(ConflictError, match=r"evaluator\.options\.sha256\.hardness changed"):
        LocalRun(recipe, tmp_path / "out").run()
