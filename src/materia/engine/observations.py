"""What has been measured so far, as arrays in an order that does not depend on arrival."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine.candidates import INITIAL_DESIGN, Addition, Record
from materia.engine.objectives import Objectives
from materia.engine.reachable import Params, Reachable
from materia.engine.replicates import Asked, merged

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Observations:
    """All observations: additions first, then points in the order of asking.

    Attributes:
        ids: Of the first candidate with an outcome; a0001 … for additions.
        members: All candidates that the observation is the mean of, as ids.
        params: In the user's units.
        X: The same points, (n, d).
        outcomes: In the user's units, (n, m), NaN where not known.
        errors: Standard errors, (n, m), NaN where not stated.
        iteration: Of each candidate (of replicates, the last one's), (n,); -1 for additions.
        is_initial: Whether it belongs to the data that fixes the reference point, (n,).
        is_inside: Whether it is in the search space and breaks no constraint, (n,).
        is_complete: Whether every objective is known, (n,).
        counts: Whether it counts for front, best and hypervolume, (n,): complete, inside, and
            within all outcome constraints.
    """

    ids: list[str]
    members: list[tuple[str, ...]]
    params: list[dict[str, Any]]
    X: FloatArray
    outcomes: FloatArray
    errors: FloatArray
    iteration: NDArray[np.int64]
    is_initial: BoolArray
    is_inside: BoolArray
    is_complete: BoolArray
    counts: BoolArray

    def __len__(self) -> int:
        return len(self.ids)

    def point(self, row: int, names: Sequence[str]) -> dict[str, Any]:
        """Return one row as plain data: id, params, outcomes.

        The mean of replicates has their ids and its standard errors (None: not known yet) as well.
        """
        measured = zip(names, self.outcomes[row].tolist(), strict=True)
        found = {
            "id": self.ids[row],
            "params": dict(self.params[row]),
            "outcomes": dict(measured),
        }
        if len(self.members[row]) > 1:
            errors = [None if math.isnan(e) else e for e in self.errors[row].tolist()]
            found["replicates"] = list(self.members[row])
            found["sem"] = dict(zip(names, errors, strict=True))
        return found


def first_model_number(records: Sequence[Record]) -> int:
    """Return the number of the first candidate that a surrogate chose, or how many there are."""
    for record in records:
        if record.candidate.why.get("source", INITIAL_DESIGN) != INITIAL_DESIGN:
            return record.candidate.number
    return len(records)


class Places:
    """Where points lie. Of a list that only ever grows, each point is placed once.

    Args:
        reachable: The space, and what is allowed in it.
    """

    def __init__(self, reachable: Reachable) -> None:
        self._reachable = reachable
        self._X = np.empty((0, reachable.space.d))
        self._is_inside = np.empty(0, dtype=np.bool_)

    def __call__(self, params: Sequence[Params]) -> tuple[FloatArray, BoolArray]:
        """Return encoded points (n, d), and which are allowed, (n,)."""
        new = params[len(self._X) :]
        if new:
            allowed = [self._reachable.allows(one) for one in new]
            self._X = np.vstack([self._X, self._reachable.space.encode(new)])
            self._is_inside = np.append(self._is_inside, np.array(allowed, dtype=np.bool_))
        return self._X, self._is_inside


def gather(
    asked: Sequence[Asked],
    additions: Sequence[Addition],
    places: tuple[Places, Places],
    objectives: Objectives,
) -> Observations:
    """Return the observations among points (in the order of asking) and additions.

    Args:
        asked: All points that were asked.
        additions: All points that were added.
        places: Of asked points, and of added ones.
        objectives: What was measured.
    """
    is_known = np.array([bool(point.told) for point in asked], dtype=np.bool_)
    known = [point for point in asked if point.told]
    params = [a.params for a in additions] + [point.params for point in known]
    means, errors = objectives.arrays([a.outcomes for a in additions])
    of_points = merged(known, objectives)
    means, errors = np.vstack([means, of_points.means]), np.vstack([errors, of_points.errors])
    told = [[record.candidate for record in point.told] for point in known]
    added = [f"a{i + 1:04d}" for i in range(len(additions))]
    first = first_model_number([record for point in asked for record in point.records])
    is_initial = [a.after <= first for a in additions] + [t[0].number < first for t in told]
    X, is_inside = places[0]([point.params for point in asked])
    X_added, is_added_inside = places[1]([a.params for a in additions])
    is_inside = np.append(is_added_inside, is_inside[is_known])
    is_complete = np.asarray(~np.isnan(means).any(axis=1))
    return Observations(
        ids=added + [candidates[0].id for candidates in told],
        members=[(name,) for name in added] + [tuple(c.id for c in row) for row in told],
        params=params,
        X=np.vstack([X_added, X[is_known]]),
        outcomes=means,
        errors=errors,
        iteration=np.array(
            [-1] * len(additions) + [max(c.iteration for c in row) for row in told],
            dtype=np.int64,
        ),
        is_initial=np.array(is_initial, dtype=np.bool_),
        is_inside=is_inside,
        is_complete=is_complete,
        counts=is_complete & is_inside & objectives.is_feasible(means),
    )
