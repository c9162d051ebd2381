"""Boosted trees of LightGBM, kept as its own model text, which holds numbers and names only.

The text is checked before the library parses it: every walk down a tree must end, inside its
arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from materia.errors import DataError, MissingExtraError
from materia.ml.ensemble import Answer
from materia.ml.schema import Schema, Task
from materia.ml.values import Allowed

FloatArray = NDArray[np.float64]

MAX_ROUNDS = 10_000
_ROWS_AT_A_TIME = 65_536
_RETRAIN = "retrain it"


def check_installed() -> None:
    """Raise a MissingExtraError without LightGBM."""
    if find_spec("lightgbm") is None:
        raise MissingExtraError("lightgbm", "estimator 'lightgbm'")


class BoostedTrees:
    """A model of LightGBM.

    Args:
        text: What LightGBM writes of it.

    Raises:
        DataError: The text is damaged.
    """

    TASKS: ClassVar[tuple[Task, ...]] = ("regression", "classification")
    PARAMS: ClassVar[Mapping[str, Allowed]] = {
        "n_estimators": Allowed(1, MAX_ROUNDS, is_whole=True),
        "learning_rate": Allowed(1e-6, 10.0),
        "num_leaves": Allowed(2, 131_072, is_whole=True),
        "max_depth": Allowed(1, 1000, is_whole=True, also=(-1, None)),
        "min_child_samples": Allowed(0, 10**9, is_whole=True),
        "min_child_weight": Allowed(0.0, 1e12),
        "min_split_gain": Allowed(0.0, 1e12),
        "subsample": Allowed(1e-6, 1.0),
        "subsample_freq": Allowed(0, MAX_ROUNDS, is_whole=True),
        "colsample_bytree": Allowed(1e-6, 1.0),
        "reg_alpha": Allowed(0.0, 1e12),
        "reg_lambda": Allowed(0.0, 1e12),
        "max_bin": Allowed(2, 65_535, is_whole=True),
    }

    def __init__(self, text: str) -> None:
        self.text = text
        self.n_features = _check_text(text)
        self._booster: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return BoostedTrees, (self.text,)

    @classmethod
    def learn(
        cls,
        X: FloatArray,
        y: FloatArray,
        schema: Schema,
        params: Mapping[str, Any],
        seed: int,
        threads: int,
    ) -> BoostedTrees:
        """Return the model of encoded rows X, (n, d), and target y, (n,).

        Raises:
            MissingExtraError: LightGBM is not installed.
            DataError: It cannot learn from these rows.
        """
        check_installed()
        import lightgbm

        chosen = {key: -1 if value is None else value for key, value in params.items()}
        n_rounds = chosen.pop("n_estimators", 100)
        fixed = {
            "deterministic": True,
            "force_row_wise": True,  # else a race of two ways decides
            "num_threads": threads,
            "seed": seed,
            "verbosity": -1,
            **_objective(schema),
        }
        try:
            table = lightgbm.Dataset(X, y, categorical_feature=list(schema.categorical))
            booster = lightgbm.train({**chosen, **fixed}, table, n_rounds)
        except lightgbm.basic.LightGBMError as error:
            raise DataError(f"'lightgbm' cannot learn from {len(y)} rows: {error}") from None
        return cls(_plain(booster.model_to_string()))

    def answer(self, X: FloatArray) -> Answer:
        """Return what the model says of rows X, (n, d)."""
        if self._booster is None:
            check_installed()
            import lightgbm

            try:
                self._booster = lightgbm.Booster(model_str=self.text)
            except lightgbm.basic.LightGBMError as error:
                raise DataError(f"LightGBM cannot read the model: {error}", _RETRAIN) from None
        k = self._booster.num_model_per_iteration()
        is_regression = "objective=regression" in self.text[:2000]
        shape = (0,) if is_regression or k == 1 else (0, k)
        parts = [
            self._booster.predict(X[i : i + _ROWS_AT_A_TIME], num_threads=1)
            for i in range(0, len(X), _ROWS_AT_A_TIME)
        ]
        found = np.concatenate(parts) if parts else np.zeros(shape)
        if is_regression:
            return Answer(found)
        return Answer.of_classes(np.column_stack([1 - found, found]) if k == 1 else found)

    def to_bytes(self) -> bytes:
        """Return the text as bytes."""
        return self.text.encode()

    @classmethod
    def from_bytes(cls, content: bytes, task: Task) -> BoostedTrees:
        """Return the model that `to_bytes` wrote.

        Raises:
            MissingExtraError: LightGBM is not installed.
            DataError: The content is damaged, or of another task.
        """
        check_installed()
        try:
            model = cls(content.decode())
        except UnicodeDecodeError:
            raise DataError("the model is no text of LightGBM", _RETRAIN) from None
        if ("objective=regression" in model.text[:2000]) != (task == "regression"):
            raise DataError(f"the model is not one of {task}", _RETRAIN)
        return model


def _plain(text: str) -> str:
    """Return a text without threads and other settings, and without sizes that a parser trusts."""
    lines = text.split("\nparameters:")[0].splitlines()
    return "\n".join(line for line in lines if not line.startswith("tree_sizes=")) + "\n"


def _objective(schema: Schema) -> dict[str, Any]:
    k = len(schema.classes)
    if schema.task == "regression":
        return {"objective": "regression"}
    return {"objective": "binary"} if k == 2 else {"objective": "multiclass", "num_class": k}


def _check_text(text: str) -> int:
    """Return the number of features of a sound text."""
    try:
        head, *trees = text.split("\n\nTree=")
        if not head.startswith("tree\n"):
            raise ValueError("it does not begin as one")
        if "tree_sizes=" in text:
            raise ValueError("it states sizes of its trees")
        n_features = int(_fields(head)["max_feature_idx"]) + 1
        for tree in trees:
            _check_tree(_fields(tree.split("\n\n")[0]), n_features)
    except (KeyError, ValueError, OverflowError) as error:
        raise DataError(f"the model is no sound text of LightGBM: {error}", _RETRAIN) from None
    return n_features


def _fields(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _check_tree(fields: Mapping[str, str], n_features: int) -> None:
    n_leaves, n_inner = int(fields["num_leaves"]), int(fields["num_leaves"]) - 1
    if n_leaves < 1 or int(fields.get("is_linear", "0")):
        raise ValueError("a tree has no leaf or is of another kind")
    if n_inner == 0:
        return
    numbers = {
        name: np.array(fields[name].split(), np.int64)
        for name in ("split_feature", "left_child", "right_child", "decision_type")
    }
    lengths = {len(found) for found in numbers.values()} | {len(fields["threshold"].split())}
    if lengths != {n_inner} or len(fields["leaf_value"].split()) != n_leaves:
        raise ValueError("a tree has arrays of different lengths")
    feature, places = numbers["split_feature"], np.arange(n_inner)
    is_sound = bool(np.all((feature >= 0) & (feature < n_features)))
    for side in (numbers["left_child"], numbers["right_child"]):
        # A leaf is written as the complement of its place; an inner node comes after its parent.
        is_sound &= bool(np.all(np.where(side < 0, ~side < n_leaves, side > places)))
        is_sound &= bool(np.all(side < n_inner))
    if not is_sound:
        raise ValueError("a tree is damaged")
    _check_categories(fields, numbers["decision_type"])


def _check_categories(fields: Mapping[str, str], decisions: NDArray[np.int64]) -> None:
    is_categorical = (decisions & 1) == 1
    n_sets = int(fields.get("num_cat", "0"))
    places = np.array(fields["threshold"].split(), float)[is_categorical]
    if np.any((places < 0) | (places >= n_sets)):
        raise ValueError("a tree names categories that it does not have")
    if n_sets:
        bounds = np.array(fields["cat_boundaries"].split(), np.int64)
        words = len(fields["cat_threshold"].split())
        if len(bounds) != n_sets + 1 or bounds[0] != 0 or bounds[-1] != words:
            raise ValueError("the categories of a tree are damaged")
        if np.any(np.diff(bounds) < 0):
            raise ValueError("the categories of a tree are damaged")
