"""How a campaign begins: its root job, its first step, and what computes its fits."""

from __future__ import annotations

from typing import Any

from materia.events.models import EventType
from materia.services import campaign_life as life
from materia.services import workers
from materia.services.work import Work
from materia.store import campaigns as campaign_rows
from materia.store.campaigns import CampaignState
from materia.store.jobs import Row

TORCH = "torch"
# What PyTorch can compute: the kinds of surrogate that are or may be a Gaussian process.
ON_DEVICES = ("auto", "gp")


def begin(work: Work, campaign: Row) -> None:
    """Start a locked campaign: its root job, and the first step of its first iteration."""
    campaign_id, definition = campaign["id"], campaign["definition"]
    life.add_root(work, campaign_id, campaign["task_id"], campaign["requested_by"])
    values = {"started_at": work.database.now(), "backend": _backend(work, definition)}
    life.change_state(work, campaign, CampaignState.RUNNING, values)
    data = {"iteration": 0, "budget": campaign["budget"]}
    work.campaign_event(campaign_id, EventType.ITERATION_STARTED, data)
    campaign_rows.add_iteration(work.database, work.connection, campaign_id, 0)
    # With earlier data there is a surrogate from the first candidate on.
    first = life.TRAIN if definition.get("warm_start") else life.PROPOSE
    life.add_step(work, campaign_id, 0, first, {"iteration": 0})


def _backend(work: Work, definition: dict[str, Any]) -> str | None:
    """Return what is to compute all fits of a campaign; None is NumPy.

    Last digits differ between the two, and the candidates that follow from them.
    """
    if definition["optimizer"]["surrogate"] not in ON_DEVICES:
        return None
    there = workers.gpu_workers(work.database, work.connection)
    return TORCH if any(map(workers.device_of, there)) else None
