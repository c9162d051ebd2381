"""Which rows are held out, and which partition learns from which others.

All splits follow from the seed alone. Classes, and parts of the dataset, are spread evenly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from materia.errors import DataError
from materia.ml.config import DEFAULT_PARTITIONS, TrainingConfig
from materia.ml.dataset import Dataset

IntArray = NDArray[np.intp]

MIN_HELD_OUT = 2
MIN_PARTITION = 2
MAX_FOLDS = 100


def hold_out(dataset: Dataset, config: TrainingConfig) -> tuple[IntArray, IntArray]:
    """Return the rows to learn from and the rows that nothing may learn from, each sorted.

    Every class keeps a row to be learnt from.

    Raises:
        DataError: There are too few rows for both.
    """
    order = _spread(dataset, config.seed, by_part=True)
    n = len(order)
    # Systematic sampling along the order takes the same share of each of its stretches.
    steps = np.floor(np.arange(1, n + 1) * config.test_size + 0.5)
    is_held = np.diff(steps, prepend=0.0) > 0
    if dataset.schema.task == "classification":
        for code in np.unique(dataset.y):
            places = np.flatnonzero(dataset.y[order] == code)
            if is_held[places].all():
                is_held[places[0]] = False
    held, kept = np.sort(order[is_held]), np.sort(order[~is_held])
    if len(held) < MIN_HELD_OUT or len(kept) < MIN_PARTITION:
        raise DataError(
            f"{n} rows are too few: test_size {config.test_size:g} holds out {len(held)} of them",
            f"at least {MIN_HELD_OUT} must be held out and {MIN_PARTITION} learnt from",
        )
    return kept, held


def partitions(dataset: Dataset, config: TrainingConfig, rows: IntArray) -> list[IntArray]:
    """Return the rows of each partition, sorted: disjoint, and together all of `rows`.

    A dataset in parts keeps them as partitions, unless `num_partitions` says another number.

    Raises:
        DataError: There are too few rows for that many.
    """
    is_given = dataset.n_parts > 1 and config.num_partitions in (None, dataset.n_parts)
    if is_given:
        found = [rows[dataset.part[rows] == part] for part in np.unique(dataset.part)]
    else:
        n = config.num_partitions or DEFAULT_PARTITIONS
        order = _spread(dataset, config.seed, by_part=False, rows=rows)
        found = [np.sort(order[i::n]) for i in range(n)]
    smallest = min(len(part) for part in found)
    if smallest < MIN_PARTITION:
        raise DataError(
            f"{len(rows)} rows to learn from are too few for {len(found)} partitions: "
            f"one has {smallest}",
            "lower num_partitions" + (", which also joins small parts" if is_given else ""),
        )
    return found


def folds(dataset: Dataset, n_folds: int, seed: int) -> list[tuple[IntArray, IntArray]]:
    """Return (learnt from, held out) for each fold of a cross-validation.

    They are those of scikit-learn's `KFold` or `StratifiedKFold` with `shuffle=True` and
    `random_state=seed`, so that others can check a score.

    Raises:
        DataError: There are too few rows, or too few of some class.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    n = len(dataset.y)
    if n < 2 * n_folds:
        raise DataError(f"{n} rows are too few for {n_folds} folds", "lower cv")
    if dataset.schema.task == "regression":
        return list(KFold(n_folds, shuffle=True, random_state=seed).split(dataset.X))
    rarest, n_rarest = _rarest(dataset)
    if n_rarest < n_folds:
        raise DataError(
            f"class '{dataset.schema.classes[rarest]}' has {n_rarest} rows, fewer than the "
            f"{n_folds} folds",
            "lower cv, or leave the class out",
        )
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    return list(splitter.split(dataset.X, dataset.y))


def item_seed(seed: int, index: int) -> int:
    """Return the seed of one partition, the same wherever and whenever it is trained."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0])


def _rarest(dataset: Dataset) -> tuple[int, int]:
    counts = np.bincount(dataset.y.astype(np.intp))
    return int(np.argmin(counts)), int(counts.min())


def _spread(
    dataset: Dataset, seed: int, *, by_part: bool, rows: IntArray | None = None
) -> IntArray:
    """Return rows in random order within each class (and part), group after group."""
    rows = np.arange(len(dataset.y)) if rows is None else rows
    order = np.random.default_rng([seed, int(by_part)]).permutation(rows)
    groups = [dataset.part[order]] if by_part else []
    if dataset.schema.task == "classification":
        groups.append(dataset.y[order])
    return order[np.lexsort(groups)] if groups else order
