"""What has been measured so far, as arrays in an order that does not depend on arrival."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine.candidates import INITIAL_DESIGN, TOLD, Addition, Record
from materia.engine.objectives import Objectives
from materia.engine.reachable import Reachable

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Observations:
    """All observations: additions first, then candidates in the order of asking.

    Attributes:
        ids: Candidate ids; a0001 … for additions.
        params: In the user's units.
        X: The same points, (n, d).
        outcomes: In the user's units, (n, m), NaN where not known.
        errors: Standard errors, (n, m), NaN where not stated.
        iteration: Of each candidate, (n,); -1 for additions.
        is_initial: Whether it belongs to the data that fixes the reference point, (n,).
        is_inside: Whether it is in the search space and breaks no constraint, (n,).
        is_complete: Whether every objective is known, (n,).
        counts: Whether it counts for front, best and hypervolume, (n,): complete, inside, and
            within all outcome constraints.
    """

    ids: list[str]
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
        """Return one row as plain data: id, params, outcomes."""
        measured = zip(names, self.outcomes[row].tolist(), strict=True)
        return {
            "id": self.ids[row],
            "params": dict(self.params[row]),
            "outcomes": dict(measured),
        }


def first_model_number(records: Sequence[Record]) -> int:
    """Return the number of the first candidate that a surrogate chose, or how many there are."""
    for record in records:
        if record.candidate.why.get("source", INITIAL_DESIGN) != INITIAL_DESIGN:
            return record.candidate.number
    return len(records)


def gather(
    records: Sequence[Record],
    additions: Sequence[Addition],
    reachable: Reachable,
    objectives: Objectives,
) -> Observations:
    """Return the observations among candidates (in the order of asking) and additions."""
    told = [record for record in records if record.state == TOLD]
    params = [a.params for a in additions] + [r.candidate.params for r in told]
    outcomes = [a.outcomes for a in additions] + [r.outcomes or {} for r in told]
    means, errors = objectives.arrays(outcomes)
    first = first_model_number(records)
    is_initial = [a.after <= first for a in additions] + [r.candidate.number < first for r in told]
    is_inside = np.array([reachable.allows(p) for p in params], dtype=np.bool_)
    is_complete = np.asarray(~np.isnan(means).any(axis=1))
    return Observations(
        ids=[f"a{i + 1:04d}" for i in range(len(additions))] + [r.candidate.id for r in told],
        params=params,
        X=reachable.space.encode(params),
        outcomes=means,
        errors=errors,
        iteration=np.array(
            [-1] * len(additions) + [r.candidate.iteration for r in told], dtype=np.int64
        ),
        is_initial=np.array(is_initial, dtype=np.bool_),
        is_inside=is_inside,
        is_complete=is_complete,
        counts=is_complete & is_inside & objectives.is_feasible(means),
    )
