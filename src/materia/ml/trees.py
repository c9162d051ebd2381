"""Trees of a file checked before they are walked: a wrong index would lead out of memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from materia.errors import DataError
from materia.ml.boosting import BoostedTrees


def check_trees(model: Any, n_features: int) -> None:
    """Raise a DataError unless every walk down a tree ends, inside its arrays.

    Args:
        model: A forest or boosted trees; of others nothing is checked.
        n_features: Of the rows that it will see.
    """
    if isinstance(model, BoostedTrees) and model.n_features != n_features:
        # Its own check has been made when its text was read.
        raise DataError(f"the model is one of {model.n_features} features, not {n_features}")
    for left, right, feature, is_leaf in _trees(model):
        n, places = len(left), np.arange(len(left))
        inner = ~is_leaf
        # Builders append children after their parent, so that a walk always goes on and ends.
        is_sound = n > 0 and bool(
            np.all(left[inner] > places[inner])
            and np.all(right[inner] > places[inner])
            and np.all(np.maximum(left, right)[inner] < n)
            and np.all(feature[inner] >= 0)
            and np.all(feature[inner] < n_features)
        )
        if not is_sound:
            raise DataError("a tree of the model is damaged", "retrain it")


def _trees(model: Any) -> Iterator[tuple[Any, Any, Any, Any]]:
    for estimator in getattr(model, "estimators_", ()):
        tree = estimator.tree_
        left = np.asarray(tree.children_left)
        yield left, np.asarray(tree.children_right), np.asarray(tree.feature), left == -1
    for iteration in getattr(model, "_predictors", ()):
        for predictor in iteration:
            nodes = predictor.nodes
            if nodes["is_categorical"].any():
                raise DataError("boosted trees with categories of their own cannot be read")
            left, right = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64)
            yield left, right, nodes["feature_idx"].astype(np.int64), nodes["is_leaf"] != 0
