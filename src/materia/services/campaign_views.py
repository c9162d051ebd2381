"""What people look at in a campaign: its convergence, and how good its surrogate is."""

from __future__ import annotations

import threading
from typing import Any

from materia.errors import SurrogateError
from materia.mdl import Definition
from materia.services import campaigns
from materia.store.campaigns import CampaignState, Row

N_PARITIES = 16

# Computed in a process that serves others too, so one at a time and not twice.
_parity_lock = threading.Lock()
_parities: dict[str, tuple[int, dict[str, Any]]] = {}


def convergence(campaign_id: str) -> dict[str, Any]:
    """Return whether the campaign has converged, and its finished iterations as a trace.

    The `reason` says why it has converged, or why it is completed: its budget is spent, or every
    possible candidate has been asked.
    The `best` of an entry is the best value of a single objective, None when there are several.
    What the surrogate expects to gain still is `remaining`, None before its first proposal.
    """
    campaign = campaigns.get(campaign_id)
    names = [objective["name"] for objective in campaign["definition"]["objectives"]]
    has_best = len(names) == 1
    trace = [
        {**row, "best": row["best"]["outcomes"][names[0]] if row["best"] and has_best else None}
        for row in campaigns.iterations(campaign_id)
        if row["finished_at"] is not None
    ]
    converged = campaign["state"] == CampaignState.CONVERGED
    return {
        "converged": converged,
        "reason": _reason(campaign),
        "trace": trace,
        "remaining": _remaining(campaign),
    }


def _remaining(campaign: Row) -> Row | None:
    """Return the gain that was left at the last proposal, as `Campaign.remaining`; no fit."""
    from materia.services import campaign_steps

    if not campaign["iteration"]:
        return None  # The initial design knows no surrogate; nothing has to be loaded.
    return campaign_steps.load_engine(campaign["id"])[1].remaining()


def _reason(campaign: Row) -> str | None:
    from materia.services import campaign_life, campaign_steps

    if campaign["state"] == CampaignState.COMPLETED:
        return campaign_life.why_completed(campaign)
    if campaign["state"] != CampaignState.CONVERGED:
        return None
    rule = campaign["definition"]["optimizer"]["active_learning"]
    if any(o.get("stop_at") is not None for o in campaign["definition"]["objectives"]):
        found = campaign_steps.load_engine(campaign["id"])[1].convergence()["reason"]
        if found is not None:
            return str(found)
    return (
        f"{rule['convergence_patience']} iterations brought less than"
        f" {rule['convergence_threshold']:g} of the scale"
    )


def front(
    campaign_id: str, *, after: tuple[float, int] | None = None, limit: int | None = None
) -> tuple[list[Row], int]:
    """Return the candidates of the Pareto front in the order of `Campaign.pareto_front`.

    Best first objective first; each row carries its `place`, (minimised objective, number). Of
    replicates there is one row, with the mean of each objective and its standard error.

    Args:
        after: Place of the row before the first one wanted.

    Returns:
        The rows, and how many are on the front in all.
    """
    from materia.engine.objectives import Objectives

    definition = Definition.model_validate(campaigns.get(campaign_id)["definition"])
    rows, total = campaigns.candidates(campaign_id, pareto_only=True)
    if definition.optimizer.replicates > 1:
        rows = _means(campaign_id, rows)
        total = len(rows)
    objectives = Objectives(definition)
    means, _ = objectives.arrays([row["outcomes"] for row in rows])
    first = objectives.minimised(means)[:, 0].tolist()
    placed = [
        {**row, "place": (value, row["number"])} for value, row in zip(first, rows, strict=True)
    ]
    placed.sort(key=lambda row: row["place"])
    wanted = [row for row in placed if after is None or row["place"] > after]
    return wanted[:limit], total


def _means(campaign_id: str, rows: list[Row]) -> list[Row]:
    """Return the first of the replicates of each point, with outcomes (mean, standard error)."""
    from materia.services import campaign_steps

    points = {
        point["id"]: point for point in campaign_steps.load_engine(campaign_id)[1].pareto_front()
    }
    found = []
    for row in rows:
        if (point := points.get(row["id"])) is not None:
            sem = point.get("sem") or {}
            means = {
                name: value if sem.get(name) is None else [value, sem[name]]
                for name, value in point["outcomes"].items()
            }
            found.append({**row, "outcomes": means})
    return found


def parity(campaign_id: str) -> dict[str, Any]:
    """Return measured against leave-one-out predicted values of the surrogate, per objective.

    Raises:
        SurrogateError: It cannot be fitted to the observations so far.
    """
    from materia.services import campaign_steps

    observed = campaigns.get(campaign_id)["evaluations_completed"]
    with _parity_lock:
        known = _parities.get(campaign_id)
        if known is not None and known[0] == observed:
            return known[1]
        _, engine = campaign_steps.load_engine(campaign_id)
        found = engine.parity()
        _parities.pop(campaign_id, None)
        _parities[campaign_id] = (observed, found)
        if len(_parities) > N_PARITIES:
            del _parities[next(iter(_parities))]
    return found


def surrogate(campaign_id: str, *, with_parity: bool = True) -> dict[str, Any]:
    """Return the quality of each fit, and the parity of the last; `reason` when there is none."""
    fits = [row for row in campaigns.iterations(campaign_id) if row["fit"]]
    found: dict[str, Any] | None = None
    reason = None
    if with_parity:
        try:
            found = parity(campaign_id) or None
        except SurrogateError as error:
            reason = error.message
        if found is None and reason is None:
            reason = "there are no observations yet"
    return {"iterations": fits, "parity": found, "reason": reason}
