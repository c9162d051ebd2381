"""Results that people tell of candidates which nothing here evaluates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from materia.errors import ConflictError, DataError, EvaluationError, NotFoundError, StateError
from materia.mdl import Definition
from materia.mdl.breaches import expressions_of
from materia.services import campaign_life as life
from materia.services import campaigns
from materia.services.work import unit_of_work
from materia.store import campaigns as campaign_rows
from materia.store.campaigns import CandidateState
from materia.store.jobs import Row

FAILED = {"code": "evaluation_failed", "message": "the experiment failed", "hint": None}

Told = Mapping[str, Mapping[str, Any] | None]


def tell(campaign_id: str, results: Told) -> Row:
    """Take in results of candidates, all of them or none; the same ones again are fine.

    The campaign goes on when every candidate of its iteration has a result, also while it is
    paused, with the next step held.

    Args:
        results: {candidate id: {objective: value or [mean, standard error]}}, every objective of
            each; None instead of the inner mapping says that the experiment failed.

    Raises:
        NotFoundError: There is no such campaign, or no such candidate.
        DataError: A result lacks an objective, names another one or is no finite number.
        StateError: The campaign has ended, or its evaluator tells the results.
        ConflictError: A candidate has another result already.
    """
    definition = campaigns.get(campaign_id)["definition"]
    evaluations = _checked(definition, results)
    with unit_of_work() as work:
        campaign = campaign_rows.lock(work.connection, campaign_id)
        if campaign is None:
            raise campaigns.unknown(campaign_id)
        chosen = campaign_rows.candidates_of(work.connection, campaign_id, ids=list(results))
        _require_known(campaign, chosen, results)
        new = [one for one in chosen if not _has_it(one, evaluations[one["id"]])]
        if new and campaign["state"] not in life.GOES_ON:
            raise StateError(
                f"campaign {campaign['name']!r} is {campaign['state']}: it takes no more results",
                "add them to a new campaign as warm_start",
            )
        limits = expressions_of(definition)
        completed = failed = 0
        for candidate in new:
            evaluation = evaluations[candidate["id"]]
            if life.record_evaluation(
                work, campaign_id, candidate, evaluation, None, outcome_constraints=limits
            ):
                told = evaluation["state"] == CandidateState.TOLD
                completed, failed = completed + told, failed + (not told)
        if completed or failed:
            life.count_evaluations(work, campaign, completed, failed)
    return campaigns.get(campaign_id)


def _checked(definition: Row, results: Told) -> dict[str, Row]:
    """Return the evaluation of each candidate."""
    # Loads numerics, which the API starts without.
    from materia import evaluators
    from materia.engine.objectives import Objectives

    if not evaluators.kind_of(definition["evaluator"]["type"]).is_manual:
        raise StateError(
            "an evaluator tells the results of this campaign",
            "those of 'manual' are told by people",
        )
    if not results:
        raise DataError("there are no results", 'tell {"c0001": {"objective": value}}')
    objectives = Objectives(Definition.model_validate(definition))
    found: dict[str, Row] = {}
    for name, told in results.items():
        outcomes = None
        if told is not None:
            try:
                outcomes = objectives.check(told, where=f"candidate '{name}'")
            except EvaluationError as error:
                raise DataError(error.message, error.hint) from None
            missing = [objective for objective in objectives.names if objective not in outcomes]
            if missing:
                raise DataError(
                    f"the result of candidate '{name}' lacks {', '.join(missing)}",
                    "tell all objectives of a candidate at once, or null if it failed",
                )
        found[name] = {
            "state": CandidateState.FAILED if told is None else CandidateState.TOLD,
            "outcomes": outcomes,
            "details": None,
            "error": FAILED if told is None else None,
            "seed": None,
            "duration_s": None,
        }
    return found


def _require_known(campaign: Row, chosen: list[Row], results: Told) -> None:
    missing = [name for name in results if name not in {one["id"] for one in chosen}]
    if missing:
        raise NotFoundError(
            f"campaign {campaign['name']!r} has no candidate {missing[0]!r}",
            f"`materia campaign show {campaign['id']}` names its candidates",
        )


def _has_it(candidate: Row, evaluation: Row) -> bool:
    """Return whether a candidate has this result already."""
    if candidate["state"] in (CandidateState.PROPOSED, CandidateState.CANCELLED):
        return False
    same = candidate["state"] == evaluation["state"]
    if not same or candidate["outcomes"] != evaluation["outcomes"]:
        shown = candidate["outcomes"] or candidate["state"]
        raise ConflictError(
            f"candidate '{candidate['id']}' has another result already: {shown}",
            "a result that was taken in is never changed",
        )
    return True
