"""Several candidates that evaluate one point, and the one observation that they amount to.

A campaign with `optimizer.replicates: r` asks every point r times in a row, so that candidates
number k r to k r + r - 1 belong to point k, whatever was asked at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine.candidates import FAILED, TOLD, Record
from materia.engine.objectives import Objectives

FloatArray = NDArray[np.float64]

_MIN_FREEDOM = 3
"""Degrees of freedom from which on the spread of replicates says how large the noise is."""


@dataclass(frozen=True)
class Asked:
    """A point that was asked, with the candidates that evaluate it, one or more."""

    records: tuple[Record, ...]

    @property
    def params(self) -> dict[str, Any]:
        """The point, in the user's units."""
        return self.records[0].candidate.params

    @property
    def source(self) -> str | None:
        """Where it comes from."""
        return self.records[0].candidate.why.get("source")

    @property
    def told(self) -> tuple[Record, ...]:
        """Candidates with some outcome."""
        return tuple(record for record in self.records if record.state == TOLD)

    @property
    def has_failed(self) -> bool:
        """Whether every answer so far is a failure, and there is one."""
        return not self.told and any(record.state == FAILED for record in self.records)

    def is_settled(self, m: int) -> bool:
        """Return whether all its candidates have failed or all m outcomes."""
        return all(record.is_settled(m) for record in self.records)


def grouped(records: Sequence[Record], replicates: int) -> list[Asked]:
    """Return the points behind candidates in the order of asking."""
    return [
        Asked(tuple(records[first : first + replicates]))
        for first in range(0, len(records), replicates)
    ]


@dataclass(frozen=True)
class Merged:
    """Means over the replicates of each of n points.

    Attributes:
        means: In the user's units, (n, m), NaN where not known.
        errors: Standard errors of the means, (n, m), NaN where not known.
    """

    means: FloatArray
    errors: FloatArray


def merged(points: Sequence[Asked], objectives: Objectives) -> Merged:
    """Return what the told candidates of each point amount to.

    The noise of one evaluation is taken to be the same everywhere: its variance is pooled over all
    points, which two or three evaluations of a single point could not say. Where the outcomes come
    with standard errors of their own, these are combined instead.
    """
    if all(len(point.told) == 1 for point in points):
        return Merged(*objectives.arrays([point.told[0].outcomes or {} for point in points]))
    m = objectives.m
    means, errors = np.full((len(points), m), np.nan), np.full((len(points), m), np.nan)
    n_known = np.zeros((len(points), m), dtype=np.int64)
    squares = np.zeros(m)
    for i, point in enumerate(points):
        values, stated = objectives.arrays([record.outcomes or {} for record in point.told])
        for j in range(m):
            is_known = ~np.isnan(values[:, j])
            n_known[i, j] = n = int(is_known.sum())
            if n == 0:
                continue
            known = values[is_known, j]
            # One value is kept as it is: a mean of equal numbers may differ in the last bit.
            means[i, j] = known[0] if np.all(known == known[0]) else known.mean()
            errors[i, j] = np.sqrt(np.sum(stated[is_known, j] ** 2)) / n
            squares[j] += np.sum((known - means[i, j]) ** 2)
    freedom = np.maximum(n_known - 1, 0).sum(axis=0)
    variance = np.where(freedom >= _MIN_FREEDOM, squares / np.maximum(freedom, 1), np.nan)
    pooled = np.sqrt(variance / np.maximum(n_known, 1))
    pooled[n_known == 0] = np.nan
    return Merged(means, np.where(np.isnan(errors), pooled, errors))
