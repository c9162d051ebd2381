"""Campaigns that several tests run, and what they must end with."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from materia import Campaign, evaluators
from materia.mdl import load
from materia.services import campaigns
from servers import wait_until
from workers import Cluster

ENDS = {"completed", "converged", "stopped", "failed"}


def branin_currin(**changes: Any) -> dict[str, Any]:
    """Return Branin–Currin as a campaign of 22 evaluations."""
    optimizer = {"budget": 22, "batch_size": 4, "seed": 5, **changes.pop("optimizer", {})}
    return {
        "name": "branin-currin",
        "parameters": [
            {"name": "x1", "type": "continuous", "bounds": [0, 1]},
            {"name": "x2", "type": "continuous", "bounds": [0, 1]},
        ],
        "objectives": [
            {"name": "branin", "reference_point": 18},
            {"name": "currin", "reference_point": 6},
        ],
        "evaluator": {"type": "function", "options": {"name": "branin_currin"}},
        "optimizer": optimizer,
        **changes,
    }


def golden(source: dict[str, Any], begun: Campaign | None = None) -> Campaign:
    """Return what a campaign is when the library alone has run it; not to be changed.

    Args:
        begun: The campaign with points of the user's own, if it has some.
    """
    return _run(source, begun) if begun else _golden(json.dumps(source))


@cache
def _golden(text: str) -> Campaign:
    source = json.loads(text)
    # Answers that come late are the same.
    source["evaluator"]["options"].pop("delay_s", None)
    return _run(source, Campaign.from_dict(source))


def _run(source: dict[str, Any], campaign: Campaign) -> Campaign:
    evaluator = evaluators.build(load(source), data_roots=[])
    while size := campaign.next_batch_size():
        for candidate in campaign.ask(size):
            seed = evaluators.seed_for(source["optimizer"]["seed"], candidate.number)
            evaluation = evaluator.evaluate(candidate.params, seed=seed)
            campaign.tell({candidate.id: evaluation.outcomes})
        if campaign.convergence()["converged"]:
            break
    return campaign


def finished(cluster: Cluster, campaign_id: str, timeout_s: float = 120) -> dict[str, Any]:
    """Wait until a campaign has ended and return its row."""
    try:
        wait_until(
            lambda: campaigns.get(campaign_id)["state"] in ENDS, "the campaign ends", timeout_s
        )
    except AssertionError as error:
        logs = "\n".join(p.text()[-4000:] for p in cluster.programs)
        raise AssertionError(f"{error}\n{campaigns.get(campaign_id)}\n{logs}") from None
    return campaigns.get(campaign_id)


def params_of(campaign_id: str) -> list[dict[str, Any]]:
    """Return the params of every candidate in the order of asking."""
    return [row["params"] for row in campaigns.candidates(campaign_id)[0]]
