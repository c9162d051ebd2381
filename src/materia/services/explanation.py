"""What the surrogate of a campaign has learnt, for people to look at.

Computed where it is asked for, in a process that serves others too: therefore one at a time, from
the fit that a worker has kept where there is one, and not again while nothing was measured.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from materia.errors import NotFoundError, StateError, SurrogateError, TransientError
from materia.services import campaigns, outcomes
from materia.store.campaigns import CandidateState

MIN_RESULTS = 3
"""With fewer, what a surrogate says is what was put into it."""
MOST_MEASURED = 500
"""Points shown beside a slice or a contour: the latest ones."""
N_KEPT = 8
N_PICTURES = 64
LONGEST_WAIT_S = 20.0

Row = dict[str, Any]

_lock = threading.Lock()
_kept: dict[str, _Known] = {}


@dataclass
class _Known:
    """A campaign with its surrogate, and what was computed from them.

    Attributes:
        state: Of the campaign, when all this held.
        missing: Why there is no surrogate, None where there is one.
        measured: Of each candidate with outcomes: id, params, outcomes.
    """

    state: tuple[Any, ...]
    engine: Any
    measured: list[Row]
    missing: str | None
    found: dict[tuple[Any, ...], Any] = field(default_factory=dict)


def explain(campaign_id: str) -> Row:
    """Return importance of the parameters, leave-one-out parity and the gain that remains.

    Returns:
        {"n_results", "needed", "reason", "importance", "parity", "quality", "remaining"}; `reason`
        says why there is nothing to show, else it is None; `needed` is the number of results that
        are missing until there is.
    """
    with _campaign(campaign_id) as known:
        n = len(known.measured)
        can_come = known.engine.definition.optimizer.surrogate != "none"
        learnt = {} if known.missing else _once(known, ("explain",), lambda: _learnt(known.engine))
        return {
            "n_results": n,
            "needed": max(0, MIN_RESULTS - n) if can_come else 0,
            "reason": known.missing,
            **{"importance": {}, "parity": {}, "quality": {}, "remaining": None},
            **learnt,
        }


def _learnt(engine: Any) -> Row:
    parity = engine.parity()
    return {
        "importance": engine.importance(),
        "parity": parity,
        "quality": {name: _quality(points) for name, points in parity.items()},
        "remaining": engine.convergence()["remaining"],
    }


def along(campaign_id: str, parameter: str, at: str | None = None, n: int = 50) -> Row:
    """Return predictions along one parameter, as `Campaign.slice` does, and what was measured.

    Args:
        at: Id of the candidate through which it goes; the best one if None.

    Raises:
        NotFoundError: There is no such campaign or candidate.
        StateError: There is no surrogate, and why.
        DataError: There is no such parameter.
    """

    def draw(known: _Known) -> Row:
        found = known.engine.slice(parameter, _params(known, at), n)
        return {**found, "measured": _shown(known, parameter)}

    return _picture(campaign_id, ("slice", parameter, at, n), draw)


def over(campaign_id: str, first: str, second: str, at: str | None = None, n: int = 25) -> Row:
    """Return predictions over two parameters, as `Campaign.contour` does; see `along`."""

    def draw(known: _Known) -> Row:
        found = known.engine.contour(first, second, _params(known, at), n)
        return {**found, "measured": _shown(known, first, second)}

    return _picture(campaign_id, ("contour", first, second, at, n), draw)


def _picture(campaign_id: str, key: tuple[Any, ...], draw: Callable[[_Known], Row]) -> Row:
    with _campaign(campaign_id) as known:
        if known.missing is not None:
            raise StateError(f"there is nothing to show yet: {known.missing}", _hint(known))
        found: Row = _once(known, key, lambda: draw(known))
        return found


def _once(known: _Known, key: tuple[Any, ...], compute: Callable[[], Any]) -> Any:
    if key not in known.found:
        found = compute()
        while len(known.found) >= N_PICTURES:
            del known.found[next(iter(known.found))]
        known.found[key] = found
    return known.found[key]


def _hint(known: _Known) -> str:
    if known.engine.definition.optimizer.surrogate == "none":
        return "a campaign with `surrogate: auto` has one"
    return "try again when there are more results"


@contextmanager
def _campaign(campaign_id: str) -> Iterator[_Known]:
    row = campaigns.get(campaign_id)
    state = (row["evaluations_completed"], row["evaluations_failed"], row["iteration"])
    if not _lock.acquire(timeout=LONGEST_WAIT_S):
        raise TransientError("others are being explained at present", "try again in a moment")
    try:
        known = _kept.pop(campaign_id, None)
        if known is None or known.state != state:
            known = _load(campaign_id, state)
        _kept[campaign_id] = known
        while len(_kept) > N_KEPT:
            del _kept[next(iter(_kept))]
        yield known
    finally:
        _lock.release()


def _load(campaign_id: str, state: tuple[Any, ...]) -> _Known:
    # Numerics, which the API loads when they are asked for.
    from materia.services.campaign_steps import load_engine

    _, engine = load_engine(campaign_id)
    rows, _ = campaigns.candidates(campaign_id)
    measured = [
        {"id": row["id"], "params": row["params"], "outcomes": told}
        for row in rows
        if row["state"] == CandidateState.TOLD and (told := outcomes.values(row["outcomes"]))
    ]
    return _Known(state, engine, measured, _missing(campaign_id, engine, len(measured)))


def _missing(campaign_id: str, engine: Any, n: int) -> str | None:
    """Return why there is no surrogate to look at, or None after it was fitted or read."""
    from materia.services import checkpoints

    if engine.definition.optimizer.surrogate == "none":
        return "this campaign searches without a surrogate"
    if n < MIN_RESULTS:
        more = MIN_RESULTS - n
        return f"it needs {more} more result{'s' if more > 1 else ''}"
    fits = [row for row in campaigns.iterations(campaign_id) if row["checkpoint"]]
    stored = checkpoints.read(fits[-1]["checkpoint"]) if fits else None
    if stored is not None and engine.use_surrogate(*stored):
        return None
    try:
        engine.fit()
    except (StateError, SurrogateError) as error:
        return str(error.message)
    return None


def _params(known: _Known, at: str | None) -> Row | None:
    if at is None:
        return None
    found = next((row for row in known.measured if row["id"] == at), None)
    if found is None:
        raise NotFoundError(
            f"there is no candidate {at!r} with a result", "`materia campaign show` lists the best"
        )
    params: Row = found["params"]
    return params


def _shown(known: _Known, *parameters: str) -> list[Row]:
    return [
        {
            "id": row["id"],
            "values": [row["params"].get(name) for name in parameters],
            "outcomes": row["outcomes"],
        }
        for row in known.measured[-MOST_MEASURED:]
    ]


def _quality(points: Row) -> Row:
    import numpy as np

    from materia.engine.diagnostics import quality

    columns = [np.array(points[key], dtype=float) for key in ("measured", "predicted", "std")]
    return quality(*columns)
