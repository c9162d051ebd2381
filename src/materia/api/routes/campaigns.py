"""Campaigns: run, list, look at, tell, start, pause, resume, extend, clone, stop, delete."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from materia import mdl
from materia.api import resources, schemas
from materia.api.answers import accepted, answer
from materia.api.bodies import Definition, Raw, media_type, read
from materia.api.documentation import CSV_TYPES, says, takes, takes_definition, takes_rows
from materia.api.paging import Cursor, Limit, by_number, by_value, newest_first, page
from materia.api.requests import PLAIN, Id, MaybeOnce, harmless
from materia.api.scopes import READ, USUAL, Who
from materia.events.models import campaign_topic
from materia.mdl.definition import WarmStart
from materia.services import (
    campaign_course,
    campaign_models,
    campaign_views,
    campaigns,
    earlier_import,
    events,
    explanation,
    exports,
    manual_results,
    quotas,
)

router = APIRouter(prefix="/campaigns", tags=["campaigns"], dependencies=[USUAL])

State = Literal[
    "created", "running", "paused", "waiting", "completed", "converged", "stopped", "failed"
]
Name = Annotated[str | None, Query(max_length=128, pattern=PLAIN)]
Parameter = Annotated[str, Query(max_length=128, pattern=PLAIN, description="a key of `params`")]
At = Annotated[
    str | None,
    Query(max_length=128, pattern=PLAIN, description="candidate it goes through; the best one"),
]


@router.post(
    "/run",
    status_code=202,
    responses=says(schemas.Started, 409, 413, 415, status=202),
    openapi_extra=takes_definition(),
)
def run(definition: Definition, once: MaybeOnce, who: Who) -> Response:
    """Create a campaign from its definition (JSON or YAML) and start it."""
    quotas.require_room(who.owner)
    started = campaigns.run(definition, requested_by=who.name, owner=who.owner, once=once)
    links = resources.campaign_links(started["campaign_id"], started["task_id"])
    return accepted(started, links)


@router.post(
    "",
    status_code=201,
    responses=says(schemas.Campaign, 409, 413, 415, status=201),
    openapi_extra=takes_definition(),
)
def create(definition: Definition, once: MaybeOnce, who: Who) -> Response:
    """Create a campaign without starting it, so that it may be given earlier data first."""
    made = campaigns.run(
        definition, requested_by=who.name, owner=who.owner, once=once, starts=False
    )
    here = f"{resources.BASE}/campaigns/{made['campaign_id']}"
    content = resources.campaign(campaigns.get(made["campaign_id"]))
    return answer(content, 201, headers={"Location": here})


@router.post("/{campaign_id}/start", responses=says(schemas.Campaign, 404, 409))
def start(campaign_id: Id, once: MaybeOnce, who: Who) -> Response:
    """Start a campaign that was only created. Twice is fine."""
    quotas.require_room(who.owner)
    return answer(harmless(once, lambda: resources.campaign(campaign_course.start(campaign_id))))


@router.post(
    "/{campaign_id}/earlier",
    responses=says(schemas.Earlier, 404, 409, 413, 415),
    openapi_extra=takes_rows(),
)
def take_earlier(
    request: Request,
    campaign_id: Id,
    body: Raw,
    once: MaybeOnce,
    bad_rows: Annotated[
        Literal["reject", "skip"], Query(description="skip: take in the others")
    ] = "reject",
    replace: Annotated[bool, Query(description="rows that it was given before")] = False,
    delimiter: Annotated[str, Query(pattern=r"^[,;|\t]$", description="of a CSV file")] = ",",
) -> Response:
    """Give a campaign that has not started earlier measurements: all of them, or nothing.

    Either a CSV file, with a column for each parameter and objective, or JSON. They cost no budget.
    The same ones twice are fine.
    """
    if media_type(request) in CSV_TYPES:
        choice = WarmStart(dataset="body", delimiter=delimiter, bad_rows=bad_rows)
        take = partial(earlier_import.take, campaign_id, body, choice, replace=replace)
    else:
        rows = [row.model_dump() for row in read(schemas.EarlierRows, body, request).rows]
        skips = bad_rows == "skip"
        take = partial(earlier_import.take_rows, campaign_id, rows, skips=skips, replace=replace)
    return answer(harmless(once, take))


@router.post(
    "/validate",
    dependencies=[READ],
    responses=says(schemas.Validation, 409, 413, 415),
    openapi_extra=takes_definition(),
)
def validate(definition: Definition, once: MaybeOnce) -> Response:
    """Report everything that is wrong or doubtful in a definition; nothing is created."""

    def found() -> dict[str, Any]:
        checked, findings = campaigns.check(definition)
        return {"valid": checked is not None, "findings": [one.as_dict() for one in findings]}

    return answer(harmless(once, found))


@router.get("", responses=says(schemas.Page[schemas.Campaign]))
def list_campaigns(
    who: Who,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: State | None = None,
    name: Name = None,
) -> Response:
    """List campaigns, newest first."""
    before = newest_first(cursor)
    rows, total = campaigns.page(limit + 1, before, state=state, name=name, owner=who.sees)
    return page(
        rows,
        limit,
        total,
        resource=resources.campaign,
        place=lambda row: (row["created_at"], row["id"]),
    )


@router.get("/{campaign_id}", responses=says(schemas.Campaign, 404))
def get(campaign_id: Id) -> Response:
    """Return one campaign."""
    return answer(resources.campaign(campaigns.get(campaign_id)))


@router.delete("/{campaign_id}", responses=says(schemas.Campaign, 404, 409))
def delete(campaign_id: Id) -> Response:
    """Delete a campaign that has ended, and return it as it was."""
    return answer(resources.campaign(campaigns.delete(campaign_id)))


@router.post("/{campaign_id}/stop", responses=says(schemas.Campaign, 404, 409))
def stop(campaign_id: Id, once: MaybeOnce) -> Response:
    """Stop a campaign: nothing new starts, results on their way are kept. Twice is fine."""
    return answer(harmless(once, lambda: resources.campaign(campaigns.stop(campaign_id))))


@router.post("/{campaign_id}/pause", responses=says(schemas.Campaign, 404, 409))
def pause(campaign_id: Id, once: MaybeOnce) -> Response:
    """Start no further evaluation; those that run finish. Twice is fine."""
    return answer(harmless(once, lambda: resources.campaign(campaign_course.pause(campaign_id))))


@router.post("/{campaign_id}/resume", responses=says(schemas.Campaign, 404, 409))
def resume(campaign_id: Id, once: MaybeOnce) -> Response:
    """Go on with the same candidates as if there had been no pause. Twice is fine."""
    return answer(harmless(once, lambda: resources.campaign(campaign_course.resume(campaign_id))))


@router.post(
    "/{campaign_id}/extend",
    responses=says(schemas.Campaign, 404, 409, 413, 415),
    openapi_extra=takes(schemas.Extension),
)
def extend(request: Request, campaign_id: Id, body: Raw, once: MaybeOnce) -> Response:
    """Raise the budget; a completed or converged campaign goes on. Twice is fine."""
    budget = read(schemas.Extension, body, request).budget
    act = partial(campaign_course.extend, campaign_id, budget)
    return answer(harmless(once, lambda: resources.campaign(act())))


@router.post(
    "/{campaign_id}/results",
    responses=says(schemas.Campaign, 404, 409, 413, 415),
    openapi_extra=takes(schemas.Results),
)
def tell(request: Request, campaign_id: Id, body: Raw, once: MaybeOnce) -> Response:
    """Tell what people measured, all of it or nothing. The same results twice are fine."""
    results = read(schemas.Results, body, request).results
    act = partial(manual_results.tell, campaign_id, results)
    return answer(harmless(once, lambda: resources.campaign(act())))


@router.post(
    "/{campaign_id}/clone",
    dependencies=[READ],
    responses=says(mdl.Definition, 404, 409, 413, 415),
    openapi_extra=takes(schemas.Clone),
)
def clone(request: Request, campaign_id: Id, body: Raw, once: MaybeOnce) -> Response:
    """Return the campaign's definition under another name, ready to be run."""
    name = read(schemas.Clone, body, request).name
    return answer(harmless(once, lambda: campaigns.clone(campaign_id, name)))


@router.post(
    "/{campaign_id}/models",
    status_code=202,
    responses=says(schemas.Training, 404, 409, 413, 415, status=202),
    openapi_extra=takes(schemas.NewModel),
)
def train_model(
    request: Request, campaign_id: Id, body: Raw, once: MaybeOnce, who: Who
) -> Response:
    """Train a model on what a campaign has measured; the job's result names the model."""
    new = read(schemas.NewModel, body, request)
    quotas.require_room(who.owner)
    started = campaign_models.train(
        campaign_id,
        new.objective,
        new.config,
        requested_by=who.name,
        owner=who.owner,
        once=once,
    )
    return accepted(started, resources.job_links(started["task_id"]))


@router.post(
    "/{campaign_id}/export",
    status_code=202,
    responses=says(schemas.Submitted, 404, 409, 413, 415, status=202),
    openapi_extra=takes(schemas.NewExport),
)
def export(request: Request, campaign_id: Id, body: Raw, once: MaybeOnce, who: Who) -> Response:
    """Write the candidates of a campaign as a file; `links.file` has it when the job has ended."""
    new = read(schemas.NewExport, body, request)
    quotas.require_room(who.owner)
    row = exports.submit(campaign_id, new.format, requested_by=who.name, owner=who.owner, once=once)
    links = resources.job_links(row["id"])
    return accepted({"task_id": row["id"]}, {**links, "file": f"{links['self']}/file"})


@router.get("/{campaign_id}/candidates", responses=says(schemas.Page[schemas.Candidate], 404))
def candidates(campaign_id: Id, limit: Limit = 200, cursor: Cursor = None) -> Response:
    """List candidates in the order of asking."""
    rows, total = campaigns.candidates(campaign_id, after=by_number(cursor, -1), limit=limit + 1)
    return page(
        rows, limit, total, resource=resources.candidate, place=lambda row: (row["number"],)
    )


@router.get("/{campaign_id}/pareto", responses=says(schemas.Page[schemas.Candidate], 404))
def pareto(campaign_id: Id, limit: Limit = 200, cursor: Cursor = None) -> Response:
    """List the candidates of the Pareto front, those best in the first objective first."""
    rows, total = campaign_views.front(campaign_id, after=by_value(cursor), limit=limit + 1)
    return page(rows, limit, total, resource=resources.candidate, place=lambda row: row["place"])


@router.get("/{campaign_id}/convergence", responses=says(schemas.Convergence, 404))
def convergence(campaign_id: Id) -> Response:
    """Return hypervolume and best outcome after each iteration."""
    found = campaign_views.convergence(campaign_id)
    return answer({**found, "trace": [resources.iteration(row) for row in found["trace"]]})


@router.get("/{campaign_id}/surrogate", responses=says(schemas.Surrogate, 404))
def surrogate(
    campaign_id: Id,
    parity: Annotated[bool, Query(description="false leaves out what must be computed")] = True,
) -> Response:
    """Return how well the surrogate fits, by iteration and by leaving out each observation."""
    found = campaign_views.surrogate(campaign_id, with_parity=parity)
    return answer({**found, "iterations": [resources.fit(row) for row in found["iterations"]]})


@router.get("/{campaign_id}/explanation", responses=says(schemas.Explanation, 404, 503))
def explain(campaign_id: Id) -> Response:
    """Return which parameters matter, how far the surrogate is right, and what may still come."""
    return answer(explanation.explain(campaign_id))


@router.get("/{campaign_id}/slice", responses=says(schemas.Slice, 404, 409, 422, 503))
def along(
    campaign_id: Id,
    parameter: Parameter,
    at: At = None,
    points: Annotated[int, Query(ge=2, le=200, description="values of the parameter")] = 50,
) -> Response:
    """Return what the surrogate predicts along one parameter, with its uncertainty."""
    return answer(explanation.along(campaign_id, parameter, at, points))


@router.get("/{campaign_id}/contour", responses=says(schemas.Contour, 404, 409, 422, 503))
def over(
    campaign_id: Id,
    first: Parameter,
    second: Parameter,
    at: At = None,
    points: Annotated[int, Query(ge=2, le=60, description="values of each parameter")] = 25,
) -> Response:
    """Return what the surrogate predicts over two parameters, with its uncertainty."""
    return answer(explanation.over(campaign_id, first, second, at, points))


@router.get("/{campaign_id}/events", responses=says(schemas.Page[schemas.Event], 404))
def list_events(
    campaign_id: Id,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="an event's id")] = 0,
    limit: Limit = 200,
    cursor: Cursor = None,
) -> Response:
    """List what has happened in a campaign, in order."""
    campaign = campaigns.get(campaign_id)
    found = events.after(campaign_topic(campaign_id), by_number(cursor, after), limit + 1)
    return page(
        found,
        limit,
        campaign["event_number"],
        resource=lambda event: event.message(),
        place=lambda event: (event.number,),
    )
