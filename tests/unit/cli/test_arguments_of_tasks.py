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


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ('transformations={"filter": {"a": 0.5}', "line 1, column 22: it ends before it is closed"),
        ('transformations={"filter": {"a": [0.5', r"add \]}} at the end"),
        ("transformations={filter: 1}", "enclosed in double quotes"),
        ('transformations={"filter": {"a": NaN}}', "NaN is no number of JSON"),
    ],
)
def test_json_that_is_broken_is_said_to_be(word: str, said: str) -> None:
    with pytest.raises(typer.BadParameter, match=said) as refused:
        arguments_of("data_tasks.process_large_csv", [word])
    assert "transformations: " in str(refused.value)
    with pytest.raises(typer.BadParameter, match=said):
        settings_of([word])


def test_a_text_may_begin_like_json() -> None:
    sent = arguments_of("simple_tasks.send_notification", ["message=[done] {x"])
    assert sent == {"message": "[done] {x"}
    assert settings_of(['target="[K"']) == {"target": "[K"}
