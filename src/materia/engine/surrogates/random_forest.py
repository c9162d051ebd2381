"""Random forest: extremely randomised trees on bootstrap samples, grown level by level at once.

The variance of a prediction is that between trees plus that within leaves (F. Hutter, L. Xu,
H. H. Hoos, K. Leyton-Brown, "Algorithm runtime prediction: methods & evaluation", Artificial
Intelligence 206, 2014), scaled so that errors of observations by trees that did not draw them are
as large as promised. Splits follow P. Geurts, D. Ernst, L. Wehenkel, "Extremely randomized trees",
Machine Learning 63 (2006).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materia.engine.surrogates.standardised import StandardisedKind, spread_of

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

_N_TREES = 64
# Features tried at each split; more of them cost time, not quality.
_MAX_TRIED = 12
# A node of fewer observations is not split.
_MIN_SPLIT = 4
_MIN_NOISE = 1e-6
# A stated variance weighs an observation down beyond this much of the outcome's own.
_WEIGHT_VARIANCE = 0.05
# Points that walk down the trees together, to bound memory.
_BLOCK = 8192


@dataclass(frozen=True)
class Trees:
    """Nodes of all trees; a leaf is its own child, so that walks may go on beyond it.

    Attributes:
        feature: Feature that a node asks, (k,).
        threshold: Values above it go right, (k,); infinity in a leaf.
        left: Left child, (k,); the right one is next to it.
        mean: Of the observations in a node, (k,).
        variance: Of the observations in a node, (k,).
        depth: Most steps from a root to a leaf.
    """

    feature: IntArray
    threshold: FloatArray
    left: IntArray
    mean: FloatArray
    variance: FloatArray
    depth: int

    def leaves(self, F: FloatArray) -> IntArray:
        """Return the leaf of each tree for points (n, p), (trees, n)."""
        place = np.tile(np.arange(_N_TREES)[:, None], len(F))
        rows = np.arange(len(F))
        for _ in range(self.depth):
            place = self.left[place] + (F[rows, self.feature[place]] > self.threshold[place])
        return place


def grow(
    F: FloatArray, t: FloatArray, weights: FloatArray, drawn: IntArray, rng: np.random.Generator
) -> Trees:
    """Return trees, each grown on its own draw of rows.

    Args:
        F: Features, (n, p).
        t: Outcomes, (n,).
        weights: Of the observations, (n,), above 0.
        drawn: Rows of each tree, (trees, b).
        rng: Draws features and thresholds.
    """
    p = F.shape[1]
    n_tried = min(p, _MAX_TRIED)
    rows, node = drawn.ravel(), np.repeat(np.arange(len(drawn)), drawn.shape[1])
    levels: list[tuple[NDArray[np.generic], ...]] = []
    first = 0
    while len(rows):
        # Rows are sorted by node; nodes of this level are numbered from `first` on.
        starts = np.flatnonzero(np.diff(node, prepend=-1))
        n_nodes = len(starts)
        w, wt = weights[rows], weights[rows] * t[rows]
        total_w, total = np.add.reduceat(w, starts), np.add.reduceat(wt, starts)
        mean = total / total_w
        variance = np.add.reduceat(w * (t[rows] - mean[node]) ** 2, starts) / total_w
        counts = np.diff(starts, append=len(rows))

        if p == n_tried:
            tried = np.tile(np.arange(p), (n_nodes, 1))
        else:
            tried = np.argpartition(rng.random((n_nodes, p)), n_tried, axis=1)[:, :n_tried]
        x = F[rows[:, None], tried[node]]
        low, high = np.minimum.reduceat(x, starts), np.maximum.reduceat(x, starts)
        threshold = low + rng.random((n_nodes, n_tried)) * (high - low)
        is_right = x > threshold[node]
        right_w = np.add.reduceat(w[:, None] * is_right, starts)
        right = np.add.reduceat(wt[:, None] * is_right, starts)
        left_w, left = total_w[:, None] - right_w, total[:, None] - right
        # Without a range a threshold leaves one side empty.
        is_split = (high > low) & (threshold < high)
        safe = np.where(is_split, right_w, 1.0), np.where(is_split, left_w, 1.0)
        gain = np.where(is_split, right**2 / safe[0] + left**2 / safe[1], -np.inf)
        best = np.argmax(gain, axis=1)
        nodes = np.arange(n_nodes)
        is_open = is_split[nodes, best] & (counts >= _MIN_SPLIT) & (variance > 1e-12)

        rank = np.cumsum(is_open) - 1
        after = first + n_nodes
        levels.append(
            (
                np.where(is_open, tried[nodes, best], 0),
                np.where(is_open, threshold[nodes, best], np.inf),
                np.where(is_open, after + 2 * rank, first + nodes),
                mean,
                variance,
            )
        )
        goes_on = is_open[node]
        side = is_right[np.arange(len(rows)), best[node]]
        child = (2 * rank[node] + side)[goes_on]
        order = np.argsort(child, kind="stable")
        rows, node, first = rows[goes_on][order], child[order], after
    feature, threshold_, left_, mean_, variance_ = (
        np.concatenate([level[k] for level in levels]) for k in range(5)
    )
    return Trees(
        feature.astype(np.intp),
        threshold_.astype(np.float64),
        left_.astype(np.intp),
        mean_.astype(np.float64),
        variance_.astype(np.float64),
        len(levels) - 1,
    )


def _combined(
    trees: Trees, leaves: IntArray, asked: FloatArray, n: int
) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance over the trees that are asked.

    Args:
        trees: All nodes.
        leaves: Leaf per tree and point, (trees, k).
        asked: 1 where a tree is asked, else 0, broadcast to (trees, k).
        n: Observations; the fewer, the more of the outcome's own variance is left.
    """
    share = asked / np.maximum(asked.sum(axis=0), 1.0)
    means = trees.mean[leaves]
    mean = np.sum(share * means, axis=0)
    between = np.sum(share * (means - mean) ** 2, axis=0)
    within = np.sum(share * trees.variance[leaves], axis=0)
    has_none = asked.sum(axis=0) == 0
    return mean, np.where(has_none, 1.0, between + within + _MIN_NOISE + 1.0 / n**2)


@dataclass(frozen=True)
class Forest:
    """A forest of standardised outcomes; see `standardised.Learnt`.

    Attributes:
        trees: All nodes.
        n: Observations it was grown from.
        spread: Factor of all standard deviations.
        noise: Variance of an observation.
        left: Means and standard deviations of left-out observations, (2, n).
    """

    trees: Trees
    n: int
    spread: float
    noise: float
    left: FloatArray

    def posterior(self, F: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation at features (n, p), each (n,)."""
        means, stds = [np.empty(0)], [np.empty(0)]
        everyone = np.ones((_N_TREES, 1))
        for start in range(0, len(F), _BLOCK):
            leaves = self.trees.leaves(F[start : start + _BLOCK])
            mean, variance = _combined(self.trees, leaves, everyone, self.n)
            means.append(mean)
            stds.append(self.spread * np.sqrt(variance))
        return np.concatenate(means), np.concatenate(stds)

    def left_out(self) -> tuple[FloatArray, FloatArray]:
        """Return mean and std of each observation by the trees that did not draw it."""
        return self.left[0], self.left[1]

    def arrays(self) -> dict[str, FloatArray]:
        """Return all nodes and the calibration."""
        trees = self.trees
        return {
            "feature": trees.feature.astype(np.float64),
            "threshold": trees.threshold,
            "left": trees.left.astype(np.float64),
            "mean": trees.mean,
            "variance": trees.variance,
            "left_out": self.left,
            "scalars": np.array([trees.depth, self.n, self.spread, self.noise]),
        }


class _Growth:
    """How forests are learnt."""

    def learn(
        self, F: FloatArray, t: FloatArray, variances: FloatArray, rng: np.random.Generator
    ) -> Forest:
        """Return a forest; the cost grows with n log n."""
        n = len(t)
        drawn = rng.integers(n, size=(_N_TREES, n))
        stated = np.nan_to_num(variances, nan=0.0)
        weights = _WEIGHT_VARIANCE / (_WEIGHT_VARIANCE + np.maximum(stated - _MIN_NOISE, 0.0))
        trees = grow(F, t, weights, drawn, rng)
        is_drawn = np.zeros((_N_TREES, n), dtype=np.bool_)
        is_drawn[np.arange(_N_TREES)[:, None], drawn] = True
        leaves = trees.leaves(F)
        mean, variance = _combined(trees, leaves, np.where(is_drawn, 0.0, 1.0), n)
        std = np.sqrt(variance + stated)
        spread = spread_of((t - mean) / std)
        noise = float(np.mean(trees.variance[leaves])) * spread**2
        noise = min(max(noise, _MIN_NOISE), 1.0)
        return Forest(trees, n, spread, noise, np.stack([mean, spread * std]))

    def restore(self, arrays: Mapping[str, FloatArray]) -> Forest:
        """Return the forest that `Forest.arrays` described."""
        depth, n, spread, noise = (float(value) for value in arrays["scalars"])
        trees = Trees(
            np.asarray(arrays["feature"], dtype=np.intp),
            np.asarray(arrays["threshold"], dtype=np.float64),
            np.asarray(arrays["left"], dtype=np.intp),
            np.asarray(arrays["mean"], dtype=np.float64),
            np.asarray(arrays["variance"], dtype=np.float64),
            int(depth),
        )
        return Forest(trees, int(n), spread, noise, np.asarray(arrays["left_out"]))


KIND = StandardisedKind(_Growth(), version=1, max_observations=2000)
