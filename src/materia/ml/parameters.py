"""Parameters of estimators by name, known without loading a library that learns.

The API checks a submission by this table before anything starts; a worker asks the estimator itself
afterwards. The table is the wider of the two: it refuses nothing that the estimator takes, but true
and false where a number is meant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from materia.errors import DefinitionError
from materia.mdl.suggest import did_you_mean
from materia.ml.schema import Task

MAX_TREES = 10_000
# What MatCraft decides itself: the random state from the seed, threads from the number of jobs. A
# `scoring` would leave functions in the estimator, which no model file may hold.
OURS = ("random_state", "n_jobs", "verbose", "warm_start", "categorical_features", "scoring")


@dataclass(frozen=True)
class Rule:
    """What a parameter may be.

    Attributes:
        low, high: Bounds of a number, both allowed; no number is allowed where they are None.
        is_whole: A number must be an integer.
        words: Texts that are allowed.
        others: Further types that are allowed.
    """

    low: float | None = None
    high: float | None = None
    is_whole: bool = False
    words: tuple[str, ...] = ()
    others: tuple[type, ...] = ()

    def takes(self, value: Any) -> bool:
        """Tell whether a value may be given."""
        if isinstance(value, str):
            return value in self.words or str in self.others
        if isinstance(value, bool) or not isinstance(value, int | float):
            return isinstance(value, self.others)
        if self.low is None or self.high is None or (self.is_whole and isinstance(value, float)):
            return type(value) in self.others
        return self.low <= value <= self.high

    def said(self) -> str:
        """Return in words what is allowed."""
        found = []
        if self.low is not None and self.high is not None:
            kind = "a whole number" if self.is_whole else "a number"
            upto = f" to {self.high:g}" if math.isfinite(self.high) else " on"
            found.append(f"{kind} from {self.low:g}{upto}")
        found += [f"'{word}'" for word in self.words]
        found += [_TYPES[kind] for kind in self.others]
        return f"allowed: {', '.join(found)}"


_TYPES = {bool: "true or false", type(None): "null", list: "a list", dict: "a mapping"}
_INF = math.inf
_NULL, _FLAG = type(None), Rule(others=(bool,))


def _whole(low: int, high: float = _INF, *others: type) -> Rule:
    return Rule(low, high, is_whole=True, others=others)


def _words(*words: str, others: tuple[type, ...] = ()) -> Rule:
    return Rule(words=words, others=others)


_WEIGHTS = (dict, list, _NULL)
_FOREST = {
    "n_estimators": _whole(1),
    "bootstrap": _FLAG,
    "oob_score": _FLAG,
    "max_samples": Rule(0, _INF, others=(_NULL,)),
    "max_depth": _whole(1, _INF, _NULL),
    "min_samples_split": Rule(0, _INF),
    "min_samples_leaf": Rule(0, _INF),
    "min_weight_fraction_leaf": Rule(0, 0.5),
    "max_features": Rule(0, _INF, words=("sqrt", "log2"), others=(_NULL,)),
    "max_leaf_nodes": _whole(2, _INF, _NULL),
    "min_impurity_decrease": Rule(0, _INF),
    "ccp_alpha": Rule(0, _INF),
    "monotonic_cst": Rule(others=(list, dict, _NULL)),
}
_FOREST_REGRESSION = {
    **_FOREST,
    "criterion": _words("squared_error", "absolute_error", "friedman_mse", "poisson"),
}
_FOREST_CLASSIFICATION = {
    **_FOREST,
    "criterion": _words("gini", "entropy", "log_loss"),
    "class_weight": _words("balanced", "balanced_subsample", others=_WEIGHTS),
}
_BOOSTING = {
    "n_estimators": _whole(1),
    "max_iter": _whole(1),
    "learning_rate": Rule(0, _INF),
    "max_leaf_nodes": _whole(2, _INF, _NULL),
    "max_depth": _whole(1, _INF, _NULL),
    "min_samples_leaf": _whole(1),
    "l2_regularization": Rule(0, _INF),
    "max_features": Rule(0, 1),
    "max_bins": _whole(2, 255),
    "monotonic_cst": Rule(others=(list, dict, _NULL)),
    "interaction_cst": _words("pairwise", "no_interactions", others=(list, _NULL)),
    "early_stopping": _words("auto", others=(bool,)),
    "validation_fraction": Rule(0, _INF, others=(_NULL,)),
    "n_iter_no_change": _whole(1),
    "tol": Rule(0, _INF),
}
_LIGHTGBM = {
    "n_estimators": _whole(1),
    "learning_rate": Rule(1e-6, 10),
    "num_leaves": _whole(2, 131_072),
    "max_depth": _whole(-1, 1000, _NULL),
    "min_child_samples": _whole(0, 10**9),
    "min_child_weight": Rule(0, 1e12),
    "min_split_gain": Rule(0, 1e12),
    "subsample": Rule(1e-6, 1),
    "subsample_freq": _whole(0),
    "colsample_bytree": Rule(1e-6, 1),
    "reg_alpha": Rule(0, 1e12),
    "reg_lambda": Rule(0, 1e12),
    "max_bin": _whole(2, 65_535),
}
TABLE: Mapping[str, Mapping[Task, Mapping[str, Rule]]] = {
    "random_forest": {
        "regression": _FOREST_REGRESSION,
        "classification": _FOREST_CLASSIFICATION,
    },
    "extra_trees": {
        "regression": _FOREST_REGRESSION,
        "classification": _FOREST_CLASSIFICATION,
    },
    "gradient_boosting": {
        "regression": {
            **_BOOSTING,
            "loss": _words("squared_error", "absolute_error", "gamma", "poisson", "quantile"),
            "quantile": Rule(0, 1, others=(_NULL,)),
        },
        "classification": {
            **_BOOSTING,
            "loss": _words("log_loss"),
            "class_weight": _words("balanced", others=_WEIGHTS),
        },
    },
    "lightgbm": {"regression": _LIGHTGBM, "classification": _LIGHTGBM},
    "linear": {
        "regression": {
            "alpha": Rule(0, _INF, others=(list, dict)),
            "fit_intercept": _FLAG,
            "copy_X": _FLAG,
            "max_iter": _whole(1, _INF, _NULL),
            "tol": Rule(0, _INF),
            "solver": _words(
                "auto", "svd", "cholesky", "lsqr", "sparse_cg", "sag", "saga", "lbfgs"
            ),
            "positive": _FLAG,
        },
        "classification": {
            "penalty": _words("l1", "l2", "elasticnet", "deprecated", others=(_NULL,)),
            "C": Rule(0, _INF),
            "l1_ratio": Rule(0, 1, others=(_NULL,)),
            "dual": _FLAG,
            "tol": Rule(0, _INF),
            "fit_intercept": _FLAG,
            "intercept_scaling": Rule(0, _INF),
            "class_weight": _words("balanced", others=_WEIGHTS),
            "solver": _words("lbfgs", "liblinear", "newton-cg", "newton-cholesky", "sag", "saga"),
            "max_iter": _whole(0),
            "multi_class": _words("auto", "ovr", "multinomial", "deprecated"),
        },
    },
    "gp": {"regression": {}},
}
"""The same estimators as in `materia.ml.estimators.TABLE`."""


def check(
    name: str,
    task: Task | None,
    params: Mapping[str, Any],
    path: str,
    own: type[BaseModel] | None = None,
) -> None:
    """Do what `estimators.check` does, as far as that is possible without the estimator."""
    where = f"{path}.estimator"
    if name not in TABLE:
        raise DefinitionError(
            f"{where}: '{name}' is no estimator", did_you_mean(name, TABLE), path=where
        )
    known = TABLE[name]
    if task is not None and task not in known:
        others = ", ".join(other for other, tasks in TABLE.items() if task in tasks)
        what = f"{where}: '{name}' does {next(iter(known))} only, not {task}"
        raise DefinitionError(what, f"use one of {others}", path=where)
    rules = [known[one] for one in known if task in (None, one)]
    faults = [_fault(params, allowed, path, own) for allowed in rules]
    if all(faults):
        raise next(fault for fault in faults if fault)


def _fault(
    params: Mapping[str, Any],
    allowed: Mapping[str, Rule],
    path: str,
    own: type[BaseModel] | None,
) -> DefinitionError | None:
    for key, value in params.items():
        where = f"{path}.{key}"
        if key in OURS:
            fix = "use 'seed'" if key == "random_state" else "leave it out"
            return DefinitionError(f"{path}: MatCraft sets '{key}' itself", fix, path=where)
        if key not in allowed:
            fix = did_you_mean(key, [*allowed, *(own.model_fields if own else ())])
            return DefinitionError(f"{path}: '{key}' is unknown", fix, path=where)
        rule = allowed[key]
        if not rule.takes(value):
            what = f"{where}: {repr(value)[:80]} is not allowed"
            return DefinitionError(what, rule.said(), path=where)
        if key in ("n_estimators", "max_iter") and isinstance(value, int) and value > MAX_TREES:
            what = f"{where}: {value} is no number from 1 to {MAX_TREES}"
            return DefinitionError(what, path=where)
    return None
