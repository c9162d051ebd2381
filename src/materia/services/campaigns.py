"""Use cases of campaigns: run, look at, clone, stop, delete."""

from __future__ import annotations

import uuid
from pathlib import Path

from materia import settings
from materia.errors import NotFoundError, StateError
from materia.mdl import Definition, Finding, load
from materia.mdl.breaches import broken, expressions_of
from materia.mdl.finding import as_error
from materia.mdl.validation import Source
from materia.services import campaign_life as life
from materia.services import campaign_start, earlier, validation
from materia.services.evaluation_details import bounded
from materia.services.idempotency import Once
from materia.services.work import unit_of_work
from materia.store import campaigns as campaign_rows
from materia.store import jobs as job_rows
from materia.store import retention
from materia.store.campaigns import FINAL_CAMPAIGN, CampaignState, CandidateState
from materia.store.database import database
from materia.store.jobs import Row

NO_EVALUATOR = Finding(
    "error",
    "evaluator",
    None,
    "a campaign that workers run needs an evaluator",
    "add for example `evaluator: {type: function, options: {name: branin_currin}}`",
)


def check(source: Source, base_dir: Path | None = None) -> tuple[Definition | None, list[Finding]]:
    """Return the definition, None when workers could not run it, and everything found in it."""
    definition, findings = validation.validate(
        source, data_roots=settings.current().allowed_roots, base_dir=base_dir
    )
    if definition is not None and definition.evaluator is None:
        return None, [*findings, NO_EVALUATOR]
    return definition, findings


def define(source: Source, base_dir: Path | None = None) -> Definition:
    """Return the checked definition; `DefinitionError` with every finding otherwise."""
    definition, findings = check(source, base_dir)
    if definition is None:
        raise as_error(findings)
    return definition


def run(
    source: Source,
    *,
    requested_by: str | None = None,
    owner: str | None = None,
    once: Once | None = None,
    starts: bool = True,
) -> dict[str, str]:
    """Create a campaign and start it.

    Args:
        owner: Who may see it and its jobs; None for admins only.
        starts: False leaves it created, so that it may be given earlier data first.
        once: A request that starts one campaign, however often it comes.

    Returns:
        ``campaign_id`` and ``task_id``; the latter's job ends with the campaign.
    """
    from materia import evaluators

    if once is not None and (known := once.known_answer()) is not None:
        return known
    roots = settings.current().allowed_roots
    definition = earlier.pin(define(source), data_roots=roots)
    pool = evaluators.pool_of(definition, data_roots=roots)
    earlier.keep(definition)
    campaign_id, task_id = str(uuid.uuid4()), str(uuid.uuid4())
    answer = {"campaign_id": campaign_id, "task_id": task_id}
    with unit_of_work() as work:
        if once is not None and (known := once.keep(work, answer)) is not None:
            return known
        now = work.database.now()
        row = {
            "id": campaign_id,
            "task_id": task_id,
            "name": definition.name,
            "state": CampaignState.CREATED,
            "definition": definition.model_dump(mode="json"),
            "pool": pool,
            "budget": definition.optimizer.budget,
            "requested_by": requested_by,
            "owner": owner,
            "created_at": now,
        }
        campaign_rows.add(work.connection, row)
        if starts:
            campaign_start.begin(work, campaign_rows.lock(work.connection, campaign_id) or row)
    return answer


def get(campaign_id: str) -> Row:
    """Return one campaign; `NotFoundError` when there is none."""
    with database().read() as connection:
        row = campaign_rows.get(connection, campaign_id)
    if row is None:
        raise unknown(campaign_id)
    return row


def unknown(campaign_id: str) -> NotFoundError:
    """Return the error for an id that no campaign has."""
    return NotFoundError(
        f"there is no campaign {campaign_id!r}", "`materia campaign list` shows the campaigns"
    )


def page(
    limit: int, before: tuple[float, str] | None = None, **filters: str | None
) -> tuple[list[Row], int]:
    """Return a page of campaigns, newest first, and how many match in all."""
    with database().read() as connection:
        return campaign_rows.page(connection, limit=limit, before=before, **filters)


def stop(campaign_id: str) -> Row:
    """Stop a campaign; results that are still on their way are kept."""
    with unit_of_work() as work:
        before = life.stop(work, campaign_id, "its campaign was stopped")
    if before is not None and before["state"] in FINAL_CAMPAIGN:
        if before["state"] == CampaignState.STOPPED:
            return get(campaign_id)
        raise StateError(f"campaign {before['name']!r} is {before['state']} already")
    return get(campaign_id)


def delete(campaign_id: str) -> Row:
    """Delete a campaign that has ended, and return it as it was.

    Its jobs and surrogate checkpoints go when they are old enough, as those of any other: a message
    of theirs may still be on its way.

    Raises:
        StateError: It has not ended, or a job of it still runs.
    """
    with unit_of_work() as work:
        campaign = campaign_rows.lock(work.connection, campaign_id)
        if campaign is None:
            raise unknown(campaign_id)
        if campaign["state"] not in FINAL_CAMPAIGN:
            raise StateError(
                f"campaign {campaign['name']!r} is {campaign['state']} and cannot be deleted",
                f"that is possible when it is {' or '.join(FINAL_CAMPAIGN)}: stop it first",
            )
        if job_rows.has_open(work.connection, campaign_id):
            raise StateError(
                f"jobs of campaign {campaign['name']!r} still run", "delete it when they have ended"
            )
        retention.delete_jobs(work.connection, [campaign["task_id"]])
        campaign_rows.delete(work.connection, campaign_id)
    return campaign


def clone(campaign_id: str, name: str) -> Row:
    """Return the definition of a campaign under another name; nothing is created.

    Files that it names stay pinned to the content that the campaign ran with.

    Raises:
        DefinitionError: The name is none.
    """
    definition = {**get(campaign_id)["definition"], "name": name}
    return load(definition).model_dump(mode="json")


def candidates(
    campaign_id: str, *, after: int = -1, limit: int | None = None, pareto_only: bool = False
) -> tuple[list[Row], int]:
    """Return candidates in the order of asking, and how many there are in all.

    Each says with what its evaluation came: `breaks` (outcome constraints), `metadata`, `error`.
    """
    limits = expressions_of(get(campaign_id)["definition"])
    with database().read() as connection:
        rows = campaign_rows.candidates_of(
            connection, campaign_id, after=after, limit=limit, pareto_only=pareto_only
        )
        total = campaign_rows.n_candidates(connection, campaign_id, pareto_only=pareto_only)
        told = campaign_rows.last_evaluations(connection, campaign_id, [row["id"] for row in rows])
    for row in rows:
        last = told.get(row["id"], {})
        row["breaks"] = broken(limits, row["outcomes"])
        row["metadata"] = bounded(last.get("details"))
        row["error"] = last.get("error") if row["state"] == CandidateState.FAILED else None
    return rows, total


def iterations(campaign_id: str) -> list[Row]:
    """Return the iterations in order: fit quality, hypervolume, front size, times."""
    get(campaign_id)
    with database().read() as connection:
        return campaign_rows.iterations_of(connection, campaign_id)
