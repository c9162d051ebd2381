"""Random forests grown by scikit-learn-intelex, two to four times faster.

Its trees split between 256 bins of a feature instead of between any two values; held-out scores are
as good, the trees are others. Each tree follows from the seed and its place alone, so that the
first trees of a large forest are a smaller one, and threads change nothing. What is grown is at
once made an ordinary forest of scikit-learn: a stored model needs nothing else to be read.

Not taken over: extra trees (their held-out scores are worse there), and what the library leaves to
scikit-learn or does otherwise (missing values, `max_leaf_nodes`, other criteria, weights).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from materia.errors import DataError, DefinitionError, MissingExtraError
from materia.ml.schema import Task

FloatArray = NDArray[np.float64]
Backend: TypeAlias = Literal["sklearn", "intelex"]
Wish: TypeAlias = Literal["auto", "sklearn", "intelex"]

MIN_ROWS = 2000
"""Rows from which `auto` takes the faster library; below, loading it takes longer than it saves."""

_KNOWN = {
    "n_estimators",
    "max_depth",
    "max_features",
    "max_samples",
    "min_impurity_decrease",
    "min_samples_leaf",
    "min_samples_split",
    "min_weight_fraction_leaf",
}
_DRAWS_PER_ROW = 1 / (1 - math.exp(-1))
"""Of n draws with repetition, for each row that is drawn at all."""

_CRITERIA: Mapping[Task, str] = {"regression": "squared_error", "classification": "gini"}


def takes(name: str, params: Mapping[str, Any], task: Task) -> str | None:
    """Return why intelex cannot grow what is asked for, or None when it can."""
    if name != "random_forest":
        return f"it does not grow '{name}'"
    fixed = {"bootstrap": True, "criterion": _CRITERIA[task]}
    for key, value in params.items():
        if key not in _KNOWN and (key not in fixed or fixed[key] != value):
            return f"it does not know {key} = {value!r}"
    return None


def choose(wish: Wish, X: FloatArray) -> Backend:
    """Return what is to grow the forests over encoded rows X, (n, d).

    The choice belongs into the plan of a job: workers differ in what is installed, and one model
    must not be grown by both.

    Raises:
        MissingExtraError: Intelex is wished for and not installed.
        DataError: It is wished for and the rows have missing values, which it does not know.
    """
    if wish == "sklearn":
        return "sklearn"
    is_installed, has_gaps = find_spec("sklearnex") is not None, bool(np.isnan(X).any())
    if wish == "auto":
        is_better = is_installed and not has_gaps and len(X) >= MIN_ROWS
        return "intelex" if is_better else "sklearn"
    if not is_installed:
        raise MissingExtraError("intelex", "model_config.backend: 'intelex'")
    if has_gaps:
        raise DataError(
            "intelex grows no forests over missing values, and the features have some",
            "set model_config.backend to 'auto' or 'sklearn', or fill them",
        )
    return "intelex"


def check(wish: Wish, name: str, params: Mapping[str, Any], task: Task | None, path: str) -> None:
    """Raise a DefinitionError where intelex is wished for by name and cannot do what is asked."""
    if wish != "intelex":
        return
    tasks: tuple[Task, ...] = ("regression", "classification") if task is None else (task,)
    reasons = [takes(name, params, each) for each in tasks]
    if all(reasons):
        raise DefinitionError(
            f"{path}: backend 'intelex' cannot be used: {reasons[0]}",
            "set backend to 'auto' or 'sklearn'",
            path=f"{path}.backend",
        )


def grow(
    plain: Any, params: Mapping[str, Any], seed: int, X: FloatArray, y: NDArray[Any], threads: int
) -> Any:
    """Return a forest of scikit-learn whose trees intelex has grown.

    Args:
        plain: The same forest of scikit-learn, which has learnt nothing; it is filled.
        params: As `takes` accepts them.
        seed: Of its random choices.
        X: Encoded features without a gap, (n, d); single precision counts, as in scikit-learn.
        y: Target, (n,).
        threads: How many may grow trees; changes nothing in them.

    Raises:
        MissingExtraError: It is not installed on this machine.
        DataError: It has left the work to scikit-learn after all.
    """
    if find_spec("sklearnex") is None:
        raise MissingExtraError("intelex", "a forest planned for 'intelex'")
    import sklearnex.ensemble

    kind = getattr(sklearnex.ensemble, type(plain).__name__)
    settings = {**params, **_draws(params, len(X)), "random_state": seed, "n_jobs": threads}
    grown = kind(**settings).fit(X.astype(np.float32), y)
    if not hasattr(grown, "_onedal_estimator"):
        raise DataError(
            "scikit-learn-intelex does not grow this forest",
            "set model_config.backend to 'sklearn'",
        )
    plain._validate_params()
    plain._validate_estimator()
    for name in ("n_features_in_", "n_outputs_", "classes_", "n_classes_", "_n_samples"):
        if hasattr(grown, name):
            setattr(plain, name, getattr(grown, name))
    plain.estimators_ = [_tree(found) for found in grown.estimators_]
    return plain


def _draws(params: Mapping[str, Any], n_rows: int) -> dict[str, int]:
    """Return the least numbers of rows in draws, which intelex counts, instead of different rows.

    Without it a node of ten draws would be split where scikit-learn splits none of ten rows.
    """
    names = ("min_samples_split", "min_samples_leaf")
    counts = {name: params[name] for name in names if name in params}
    for name, n in counts.items():
        least = n if isinstance(n, int) else math.ceil(n * n_rows)
        counts[name] = max(least, round((least - 0.5) * _DRAWS_PER_ROW))
    return counts


def _tree(found: Any) -> Any:
    """Return a tree whose inner nodes have the mean of what is below them, as scikit-learn's do."""
    tree = found.tree_
    left, right, values = tree.children_left, tree.children_right, tree.value
    weights = np.asarray(tree.weighted_n_node_samples)[:, None, None]
    for level in _levels(left, right):
        below = [values[side[level]] * weights[side[level]] for side in (left, right)]
        values[level] = (below[0] + below[1]) / weights[level]
    return found


def _levels(left: NDArray[Any], right: NDArray[Any]) -> list[NDArray[np.intp]]:
    """Return the inner nodes of each depth, the deepest first."""
    found, nodes = [], np.zeros(1, np.intp)
    while len(nodes := nodes[left[nodes] >= 0]):
        found.append(nodes)
        nodes = np.concatenate([left[nodes], right[nodes]])
    return found[::-1]
