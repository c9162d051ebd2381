"""What can learn from a table, by name.

Trees take a category as the place of its level and know missing values; the linear model takes a
category as one column per level, and the median of a number that is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from materia.engine.threads import single_threaded
from materia.errors import DataError, DefinitionError, MateriaError
from materia.mdl.suggest import did_you_mean
from materia.ml import boosting, forests, walk
from materia.ml.boosting import BoostedTrees
from materia.ml.config import unknown_key
from materia.ml.ensemble import Answer
from materia.ml.forests import Backend
from materia.ml.gaussian import GaussianModel
from materia.ml.parameters import MAX_TREES, OURS
from materia.ml.schema import Schema, Task

FloatArray = NDArray[np.float64]
Params = Mapping[str, Any]

DEFAULT = "random_forest"
# Rows predicted at a time: bounds the memory between input and output.
CHUNK = 65_536
_ALIASES = {"n_estimators": "max_iter"}


@dataclass(frozen=True)
class Kind:
    """A row of the table.

    Attributes:
        make: For each task, the name of a module and a class of scikit-learn.
        defaults: Parameters that differ from scikit-learn's.
        aliases: Our name of a parameter for scikit-learn's.
        is_linear: Whether features need scaling and a column for each level.
    """

    make: Mapping[Task, tuple[str, str]]
    defaults: Mapping[Task, Params] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    is_linear: bool = False

    def build(self, task: Task, params: Params, seed: int | None) -> Any:
        """Return an estimator that has learnt nothing yet."""
        import importlib

        module, name = self.make[task]
        renamed = {self.aliases.get(key, key): value for key, value in params.items()}
        estimator = getattr(importlib.import_module(module), name)()
        known = estimator.get_params()
        fixed = {"random_state": seed, "n_jobs": None}
        settings = {key: value for key, value in fixed.items() if key in known}
        return estimator.set_params(**{**self.defaults.get(task, {}), **settings, **renamed})

    def allowed(self, task: Task) -> list[str]:
        """Return the names of its parameters."""
        known = [key for key in self.build(task, {}, None).get_params() if key not in OURS]
        return [*self.aliases, *known]


TABLE: Mapping[str, Kind | None] = {
    "random_forest": Kind(
        {
            "regression": ("sklearn.ensemble", "RandomForestRegressor"),
            "classification": ("sklearn.ensemble", "RandomForestClassifier"),
        }
    ),
    "extra_trees": Kind(
        {
            "regression": ("sklearn.ensemble", "ExtraTreesRegressor"),
            "classification": ("sklearn.ensemble", "ExtraTreesClassifier"),
        }
    ),
    "gradient_boosting": Kind(
        {
            "regression": ("sklearn.ensemble", "HistGradientBoostingRegressor"),
            "classification": ("sklearn.ensemble", "HistGradientBoostingClassifier"),
        },
        # The default, 'from_dtype', looks for data frames.
        {task: {"categorical_features": None} for task in ("regression", "classification")},
        _ALIASES,
    ),
    "linear": Kind(
        {
            "regression": ("sklearn.linear_model", "Ridge"),
            "classification": ("sklearn.linear_model", "LogisticRegression"),
        },
        {"classification": {"max_iter": 1000}},
        is_linear=True,
    ),
    "gp": None,
    "lightgbm": None,
}
"""None is a model of our own, see `OWN`."""

OWN: Mapping[str, type[GaussianModel] | type[BoostedTrees]] = {
    "gp": GaussianModel,
    "lightgbm": BoostedTrees,
}

FORESTS = ("random_forest", "extra_trees")
_TASKS: tuple[Task, ...] = ("regression", "classification")


def check(
    name: str, task: Task | None, params: Params, path: str, own: type[BaseModel] | None = None
) -> None:
    """Raise a DefinitionError unless an estimator of this name takes these parameters.

    Args:
        name: Of the table.
        task: None as long as the data has not been seen; then either may take them.
        params: The estimator's parameters.
        path: Where they were written.
        own: Keys that would be allowed beside them, for advice.
    """
    if name not in TABLE:
        raise DefinitionError(
            f"{path}.estimator: '{name}' is no estimator",
            did_you_mean(name, TABLE),
            path=f"{path}.estimator",
        )
    if name == "lightgbm":
        boosting.check_installed()
    tasks = tasks_of(name)
    if task is not None and task not in tasks:
        raise DefinitionError(
            f"{path}.estimator: '{name}' does {tasks[0]} only, not {task}",
            f"use one of {', '.join(n for n in TABLE if task in tasks_of(n))}",
            path=f"{path}.estimator",
        )
    faults = [_fault(name, t, params, path, own) for t in ([task] if task else tasks)]
    if all(faults):
        raise next(fault for fault in faults if fault)


def tasks_of(name: str) -> tuple[Task, ...]:
    """Return what an estimator can learn."""
    return _TASKS if name not in OWN else OWN[name].TASKS


def _fault(
    name: str, task: Task, params: Params, path: str, own: type[BaseModel] | None
) -> DefinitionError | None:
    kind = TABLE[name]
    allowed = kind.allowed(task) if kind is not None else [*OWN[name].PARAMS]
    for key in params:
        if key in OURS:
            fix = "use 'seed'" if key == "random_state" else "leave it out"
            return DefinitionError(
                f"{path}: MatCraft sets '{key}' itself", fix, path=f"{path}.{key}"
            )
        if key not in allowed:
            return unknown_key(key, [*allowed, *(own.model_fields if own else ())], path)
    if kind is None:
        return _own_fault(name, params, path)
    for key, alias in kind.aliases.items():
        if key in params and alias in params:
            return DefinitionError(f"{path}: '{key}' and '{alias}' are the same", path=path)
    for key in ("n_estimators", "max_iter"):
        if isinstance(value := params.get(key), bool) or (
            isinstance(value, int) and value > MAX_TREES
        ):
            return DefinitionError(
                f"{path}.{key}: {value} is no number from 1 to {MAX_TREES}", path=f"{path}.{key}"
            )
    return _value_fault(kind, task, params, path)


def _value_fault(kind: Kind, task: Task, params: Params, path: str) -> DefinitionError | None:
    for key, value in params.items():
        estimator = kind.build(task, {key: value}, None)
        try:
            estimator._validate_params()
        except (ValueError, TypeError) as error:
            said = str(error).split(" Got ")[0].replace("'", "")
            return DefinitionError(
                f"{path}.{key}: {repr(value)[:80]} is not allowed", said, path=f"{path}.{key}"
            )
    return None


def _own_fault(name: str, params: Params, path: str) -> DefinitionError | None:
    for key, value in params.items():
        said = OWN[name].PARAMS[key].fault(value)
        if said is not None:
            return DefinitionError(
                f"{path}.{key}: {repr(value)[:80]} is not allowed", said, path=f"{path}.{key}"
            )
    return None


@single_threaded
def fit(
    name: str,
    params: Params,
    seed: int,
    X: FloatArray,
    y: FloatArray,
    schema: Schema,
    *,
    backend: Backend = "sklearn",
    threads: int = 1,
) -> Any:
    """Return a fitted estimator.

    Args:
        name: Of the table.
        params: As checked.
        seed: Of its random choices.
        X: Encoded features, (n, d).
        y: Target, (n,).
        schema: Of the features.
        backend: What grows forests, where it can; see `forests.choose`.
        threads: How many may learn together; changes nothing in the result.

    Raises:
        DataError: It cannot learn from these rows; says why.
    """
    kind = TABLE[name]
    try:
        if kind is None:
            return OWN[name].learn(X, y, schema, params, seed, threads)
        estimator = kind.build(schema.task, params, seed)
        if kind.is_linear:
            estimator = _linear(estimator)
            X = indicators(X, schema)
        target = y if schema.task == "regression" else y.astype(np.int64)
        if backend_of(name, params, schema.task, backend) == "intelex":
            return forests.grow(estimator, params, seed, X, target, threads)
        if name in FORESTS:
            estimator.set_params(n_jobs=threads)
        estimator.fit(X, target)
        if name in FORESTS:
            # Sums over trees in threads would come in any order.
            estimator.set_params(n_jobs=None)
    except MateriaError:
        raise
    except (ValueError, TypeError, ArithmeticError, np.linalg.LinAlgError) as error:
        raise DataError(f"'{name}' cannot learn from {len(y)} rows: {error}") from None
    return estimator


def backend_of(name: str, params: Params, task: Task, backend: Backend) -> str:
    """Return the library that does the work when a plan says `backend` for forests."""
    if name in OWN:
        return "lightgbm" if name == "lightgbm" else "materia"
    is_faster = backend == "intelex" and forests.takes(name, params, task) is None
    return "intelex" if is_faster else "sklearn"


@single_threaded
def answer(model: Any, name: str, X: FloatArray, schema: Schema) -> Answer:
    """Return what a fitted estimator says of rows X, (n, d)."""
    if isinstance(model, GaussianModel | BoostedTrees):
        return model.answer(X)
    if name in FORESTS:
        n = len(model.estimators_)
        return forest_prefixes(model, [n], X, schema)[n]
    kind = TABLE[name]
    prepare: Callable[[FloatArray], FloatArray] = (
        (lambda part: indicators(part, schema)) if kind and kind.is_linear else np.asarray
    )
    parts = [prepare(X[i : i + CHUNK]) for i in range(0, len(X), CHUNK)]
    if schema.task == "regression":
        values = [np.asarray(model.predict(part), float) for part in parts]
        return Answer(np.concatenate(values) if values else np.zeros(0))
    probabilities = np.zeros((len(X), len(schema.classes)))
    # A partition need not have seen every class.
    codes = model.classes_.astype(np.intp)
    for i, part in enumerate(parts):
        probabilities[i * CHUNK : (i + 1) * CHUNK, codes] = model.predict_proba(part)
    return Answer.of_classes(probabilities)


def forest_prefixes(
    model: Any, sizes: list[int], X: FloatArray, schema: Schema
) -> dict[int, Answer]:
    """Return what forests of the first trees say, for each of several numbers of trees.

    Bit for bit what a forest says that was grown with that number from the same seed.
    """
    found = walk.means(model, sizes, X)
    if schema.task == "regression":
        return {n: Answer(means[:, 0]) for n, means in found.items()}
    answers = {}
    # A partition need not have seen every class.
    codes = model.classes_.astype(np.intp)
    for n, means in found.items():
        probabilities = np.zeros((len(X), len(schema.classes)))
        probabilities[:, codes] = means
        answers[n] = Answer.of_classes(probabilities)
    return answers


def indicators(X: FloatArray, schema: Schema) -> FloatArray:
    """Return numbers, then one column per level of each category: 1 there, 0 elsewhere."""
    categorical = schema.categorical
    numeric = [j for j in range(X.shape[1]) if j not in set(categorical)]
    parts = [X[:, numeric]]
    for j in categorical:
        codes = np.arange(len(schema.features[j].levels), dtype=float)
        parts.append((X[:, j, None] == codes).astype(float))
    return np.hstack(parts)


def _linear(estimator: Any) -> Any:
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    imputer = SimpleImputer(strategy="median", keep_empty_features=True)
    return make_pipeline(imputer, StandardScaler(), estimator)
