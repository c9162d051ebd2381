"""The course of a campaign: start it, pause and resume it, or give it a larger budget.

A pause holds jobs, so that what follows from them is the same whenever they are released.
"""

from __future__ import annotations

import uuid
from typing import Any

from materia.errors import ConflictError, DataError, StateError
from materia.mdl import Definition
from materia.services import campaign_life as life
from materia.services import campaign_start, campaigns
from materia.services.work import Work, unit_of_work
from materia.store import campaigns as campaign_rows
from materia.store import jobs as job_rows
from materia.store.campaigns import FINAL_CAMPAIGN, CampaignState
from materia.store.jobs import Row

LARGEST_BUDGET = 10_000
EXTENDED_FROM = (*life.GOES_ON, CampaignState.COMPLETED, CampaignState.CONVERGED)


def start(campaign_id: str) -> Row:
    """Start a campaign that was only created; one that runs already is returned as it is.

    Raises:
        StateError: The campaign has ended.
    """
    with unit_of_work() as work:
        allowed = (CampaignState.CREATED, *life.GOES_ON)
        campaign = _locked(work, campaign_id, "started", allowed)
        if campaign["state"] == CampaignState.CREATED:
            campaign_start.begin(work, campaign)
    return campaigns.get(campaign_id)


def pause(campaign_id: str) -> Row:
    """Start no further evaluation or step; those that run finish, and their results are kept.

    Raises:
        StateError: The campaign has ended.
    """
    with unit_of_work() as work:
        campaign = _locked(work, campaign_id, "paused", life.GOES_ON)
        if campaign["state"] == CampaignState.RUNNING:
            life.change_state(work, campaign, CampaignState.PAUSED, {})
            life.hold_if_paused(work, {**campaign, "state": CampaignState.PAUSED})
    return campaigns.get(campaign_id)


def resume(campaign_id: str) -> Row:
    """Go on with the same candidates as if there had been no pause.

    Raises:
        StateError: The campaign has ended.
    """
    with unit_of_work() as work:
        campaign = _locked(work, campaign_id, "resumed", life.GOES_ON)
        if campaign["state"] == CampaignState.PAUSED:
            life.change_state(work, campaign, CampaignState.RUNNING, {})
            work.to_send += job_rows.release(work.database, work.connection, campaign_id)
    return campaigns.get(campaign_id)


def extend(campaign_id: str, budget: int) -> Row:
    """Raise the budget of a campaign to so many evaluations; one that has ended goes on.

    A converged campaign was told to go on: it loses its `convergence_patience`, and may be given
    the budget that it has. The size of the initial design stays what it was.

    Args:
        budget: Evaluations in all, those done included; 1-10000.

    Raises:
        DataError: The budget is no such number.
        StateError: The campaign was stopped or has failed, or has a larger budget.
        ConflictError: Somebody else changed the budget at the same moment.
    """
    if type(budget) is not int or not 1 <= budget <= LARGEST_BUDGET:
        raise DataError(
            f"budget: {budget!r:.50} is no whole number from 1 to {LARGEST_BUDGET}",
            "it counts all evaluations of the campaign, those done included",
        )
    before = campaigns.get(campaign_id)
    definition = _extended(before, budget)
    with unit_of_work() as work:
        campaign = _locked(work, campaign_id, "extended", EXTENDED_FROM)
        has_converged = campaign["state"] == CampaignState.CONVERGED
        if budget < campaign["budget"]:
            raise StateError(
                f"campaign {campaign['name']!r} has a budget of {campaign['budget']} already",
                f"a budget can only grow: {campaign['budget'] + 1} to {LARGEST_BUDGET}",
            )
        if budget > campaign["budget"] or has_converged:
            had_converged = before["state"] == CampaignState.CONVERGED
            is_same = campaign["definition"] == before["definition"]
            if not is_same or has_converged != had_converged:
                raise ConflictError(
                    f"campaign {campaign['name']!r} has just changed", "look at it, then try again"
                )
            _go_on(work, campaign, {"definition": definition, "budget": budget})
    return campaigns.get(campaign_id)


def _go_on(work: Work, campaign: Row, values: Row) -> None:
    """Give a locked campaign its new budget, and its next iteration where it had ended."""
    if campaign["state"] not in FINAL_CAMPAIGN:
        life.change_state(work, campaign, campaign["state"], values)
        return
    # The job that ended with the campaign keeps its result: final states never change.
    task_id = str(uuid.uuid4())
    values = {**values, "task_id": task_id, "finished_at": None}
    life.change_state(work, campaign, CampaignState.RUNNING, values)
    life.add_root(work, campaign["id"], task_id, campaign["requested_by"])
    life.start_iteration(work, campaign["id"], campaign["iteration"] + 1, train=True)


def _extended(campaign: Row, budget: int) -> dict[str, Any]:
    """Return the definition with a larger budget and the initial design that it had."""
    from materia.engine.campaign import Campaign

    definition = Definition.model_validate(campaign["definition"])
    # By default it follows from the budget, and must not change with it.
    n_initial = Campaign(definition, campaign["pool"]).initial_samples
    rule = definition.optimizer.active_learning.model_copy(update={"initial_samples": n_initial})
    if campaign["state"] == CampaignState.CONVERGED:
        rule = rule.model_copy(update={"convergence_patience": None})
    optimizer = definition.optimizer.model_copy(update={"budget": budget, "active_learning": rule})
    changed = definition.model_copy(update={"optimizer": optimizer})
    return changed.model_dump(mode="json")


def _locked(work: Work, campaign_id: str, verb: str, allowed: tuple[CampaignState, ...]) -> Row:
    campaign = campaign_rows.lock(work.connection, campaign_id)
    if campaign is None:
        raise campaigns.unknown(campaign_id)
    if campaign["state"] not in allowed:
        raise StateError(
            f"campaign {campaign['name']!r} is {campaign['state']} and cannot be {verb}",
            f"that is possible while it is {' or '.join(allowed)}",
        )
    return campaign
