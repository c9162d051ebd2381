"""Keys of ours are told from the estimator's, and faults are found before anything starts."""

from __future__ import annotations

from typing import Any

import pytest

from materia.errors import DefinitionError
from materia.ml.config import parse_config
from materia.ml.estimators import TABLE


def test_keys_of_ours_never_reach_the_estimator() -> None:
    config = parse_config(
        {"n_estimators": 100, "max_depth": 20, "num_partitions": 8, "target": "y"}
    )
    assert config.params == {"n_estimators": 100, "max_depth": 20}
    assert config.training.num_partitions == 8
    assert config.training.target == "y"
    assert config.training.estimator == "random_forest"


def test_a_configuration_is_read_back_from_its_plain_data() -> None:
    config = parse_config({"estimator": "gradient_boosting", "n_estimators": 5, "seed": 3})
    assert parse_config(config.to_data()) == config


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"max_dept": 3}, ["'max_dept'", "did you mean 'max_depth'"]),
        ({"num_partition": 3}, ["did you mean 'num_partitions'"]),
        ({"random_state": 3}, ["'random_state'", "seed"]),
        ({"n_jobs": -1}, ["n_jobs"]),
        ({"estimator": "gradient_boosting", "scoring": "r2"}, ["scoring", "leave it out"]),
        ({"estimator": "randomforest"}, ["'randomforest'", "'random_forest'"]),
        ({"estimator": "gp", "task": "classification"}, ["regression only", "random_forest"]),
        ({"estimator": "gp", "n_estimators": 3}, ["'n_estimators' is unknown"]),
        ({"estimator": "linear", "n_estimators": 3}, ["'n_estimators' is unknown"]),
        ({"max_depth": -1}, ["max_depth", "-1"]),
        ({"max_depth": "deep"}, ["max_depth", "deep"]),
        ({"n_estimators": 0}, ["n_estimators"]),
        ({"n_estimators": True}, ["n_estimators"]),
        ({"n_estimators": 10**9}, ["n_estimators", "10000"]),
        ({"estimator": "linear", "alpha": float("nan")}, ["alpha"]),
        ({"estimator": "linear", "alpha": -1.0}, ["alpha"]),
        ({"estimator": "gradient_boosting", "n_estimators": 5, "max_iter": 5}, ["the same"]),
        ({"num_partitions": 0}, ["num_partitions"]),
        ({"num_partitions": 10**9}, ["num_partitions"]),
        ({"num_partitions": "4"}, ["num_partitions"]),
        ({"test_size": 1.5}, ["test_size"]),
        ({"test_size": float("nan")}, ["test_size"]),
        ({"seed": -1}, ["seed"]),
        ({"task": "clustering"}, ["task"]),
        ({"metric": "r3"}, ["'r3'", "r2"]),
        ({"metric": "r2", "task": "classification"}, ["r2", "accuracy"]),
        ({"types": {"a": "date"}}, ["types"]),
        ({"name": "../x"}, ["name"]),
        (["max_depth"], ["mapping"]),
        ({3: 1}, ["mapping"]),
    ],
)
def test_a_fault_is_named_with_its_remedy(data: Any, words: list[str]) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_config(data)
    for word in words:
        assert word in str(caught.value)


def test_a_value_that_only_one_task_knows_is_accepted_until_the_task_is_known() -> None:
    assert parse_config({"criterion": "gini"}).params == {"criterion": "gini"}
    with pytest.raises(DefinitionError, match="criterion"):
        parse_config({"criterion": "gini", "task": "regression"})


@pytest.mark.parametrize("name", TABLE)
def test_every_estimator_is_fine_with_its_defaults(name: str) -> None:
    assert parse_config({"estimator": name}).params == {}
