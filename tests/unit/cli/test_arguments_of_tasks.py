"""NAME=VALUE: what is a text, and what is JSON."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from materia.cli.arguments import arguments_of, settings_of

PREDICT = "ml_tasks.batch_predictions"


@pytest.mark.parametrize(
    ("task", "words", "expected"),
    [
        ("ml_tasks.retrain_model", ["name=123"], {"name": "123"}),
        ("tasks.ml_tasks.retrain_model", ["name=1e3"], {"name": "1e3"}),
        ("ml_tasks.retrain_model", ["name=true"], {"name": "true"}),
        ("ml_tasks.retrain_model", ['name="123"'], {"name": "123"}),
        ("ml_tasks.retrain_model", ["name=a=b"], {"name": "a=b"}),
        ("ml_tasks.retrain_model", ["name="], {"name": ""}),
        (PREDICT, ["model_id=7", "data_batches=[1]"], {"model_id": "7", "data_batches": [1]}),
        (PREDICT, ["model_id=null", "id_column=0"], {"model_id": None, "id_column": "0"}),
        (
            "campaign_tasks.cleanup_old_checkpoints",
            ["keep_last=3", "older_than_days=1.5"],
            {"keep_last": 3, "older_than_days": 1.5},
        ),
        (
            "ml_tasks.distributed_training",
            ['model_config={"seed": 1}', "dataset_path=2026"],
            {"model_config": {"seed": 1}, "dataset_path": "2026"},
        ),
        ("simple_tasks.nothing", ["name=123"], {"name": 123}),
    ],
)
def test_a_text_is_taken_as_it_is_written(
    task: str, words: list[str], expected: dict[str, Any]
) -> None:
    assert arguments_of(task, words) == expected


def test_settings_have_no_declared_types() -> None:
    assert settings_of(["target=y", "n_estimators=20"]) == {"target": "y", "n_estimators": 20}
    assert settings_of(None) == {}


@pytest.mark.parametrize("word", ["name", "=1", ""])
def test_what_is_no_pair_is_a_usage_error(word: str) -> None:
    with pytest.raises(typer.BadParameter, match="NAME=VALUE"):
        arguments_of("simple_tasks.ping", [word])
