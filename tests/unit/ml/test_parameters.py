"""The table of parameters refuses nothing that an estimator takes, and knows all of them."""

from __future__ import annotations

from typing import Any

import pytest

from materia.errors import DefinitionError
from materia.ml import declaration, estimators, parameters, search, splitting
from materia.ml.config import TrainingConfig

PROBES: tuple[Any, ...] = (
    *(-1, 0, 1, 2, 3, 255, 256, 9999, -0.5, 0.0, 0.25, 0.5, 1.0, 1.5, 300.5),
    *(True, False, None, "sqrt", "log2", "auto", "balanced", "balanced_subsample", "gini"),
    *("squared_error", "absolute_error", "poisson", "entropy", "log_loss", "quantile", "gamma"),
    *("svd", "saga", "lbfgs", "liblinear", "l1", "l2", "elasticnet", "pairwise", "nonsense"),
    *([], [1], [0.5], {}, {"0": 1}),
)
KINDS = [(name, task) for name, tasks in parameters.TABLE.items() for task in tasks]


def test_the_tables_list_the_same_estimators() -> None:
    assert {name: tuple(tasks) for name, tasks in parameters.TABLE.items()} == {
        name: estimators.tasks_of(name) for name in estimators.TABLE
    }


def _says(check: Any, name: str, task: Any, params: dict[str, Any]) -> bool:
    try:
        check(name, task, params, "model_config")
    except DefinitionError:
        return False
    return True


@pytest.mark.parametrize(("name", "task"), KINDS)
def test_what_the_estimator_takes_the_table_takes(name: str, task: Any) -> None:
    kind = estimators.TABLE[name]
    known = kind.allowed(task) if kind is not None else [*estimators.OWN[name].PARAMS]
    assert set(known) <= set(parameters.TABLE[name][task])
    refused = 0
    for key in known:
        for value in PROBES:
            by_table = _says(parameters.check, name, task, {key: value})
            if not by_table:
                refused += 1
            # To scikit-learn true is a number, as it is to Python.
            if not by_table and not isinstance(value, bool):
                assert not _says(estimators.check, name, task, {key: value}), (key, value)
    assert refused >= len(PROBES) or not known


@pytest.mark.parametrize(
    ("name", "params", "path"),
    [
        ("random_forest", {"n_estimator": 1}, "n_estimator"),
        ("random_forest", {"n_estimators": -1}, "n_estimators"),
        ("random_forest", {"n_estimators": 10_001}, "n_estimators"),
        ("random_forest", {"max_depth": 2.5}, "max_depth"),
        ("random_forest", {"max_features": "all"}, "max_features"),
        ("random_forest", {"random_state": 1}, "random_state"),
        ("gradient_boosting", {"learning_rate": "fast"}, "learning_rate"),
        ("linear", {"alpha": -1.0}, "alpha"),
        ("lightgbm", {"num_leaves": 1}, "num_leaves"),
        ("gp", {"n_estimators": 1}, "n_estimators"),
    ],
)
def test_clear_mistakes_are_found_without_the_estimator(
    name: str, params: dict[str, Any], path: str
) -> None:
    with pytest.raises(DefinitionError) as refused:
        parameters.check(name, "regression", params, "model_config", own=TrainingConfig)
    assert refused.value.path == f"model_config.{path}"


def test_a_task_that_the_estimator_does_not_do_is_refused() -> None:
    with pytest.raises(DefinitionError, match="regression only"):
        parameters.check("gp", "classification", {}, "model_config")


def test_a_search_has_the_same_limits_everywhere() -> None:
    assert declaration.MAX_FOLDS == splitting.MAX_FOLDS == search.MAX_FOLDS
