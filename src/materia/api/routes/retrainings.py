"""Models that are trained again: add, list, look at, change, run now, delete."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from materia.api import resources, schemas
from materia.api.answers import accepted, answer
from materia.api.bodies import Raw, read
from materia.api.documentation import says, takes
from materia.api.paging import Cursor, Limit, newest_first, page, page_by_name
from materia.api.requests import Id, MaybeOnce
from materia.api.scopes import USUAL, Who
from materia.services import quotas, retrainings
from materia.services.retrainings import NewRetraining

router = APIRouter(prefix="/retrainings", tags=["retrainings"], dependencies=[USUAL])


@router.post(
    "",
    status_code=201,
    responses=says(schemas.Retraining, 409, 413, 415, status=201),
    openapi_extra=takes(schemas.NewRetraining),
)
def create(request: Request, body: Raw, once: MaybeOnce, who: Who) -> Response:
    """Add a model to retrain; its dataset may come later."""
    values = _values(read(schemas.NewRetraining, body, request))
    new = NewRetraining(**values, requested_by=who.name)
    row = retrainings.create(new, once=once)
    here = f"{resources.BASE}/retrainings/{row['name']}"
    return answer(resources.retraining(row), 201, headers={"Location": here})


def _values(model: schemas.RetrainingChange) -> dict[str, Any]:
    return model.model_dump(by_alias=True, exclude_unset=True)


@router.get("", responses=says(schemas.Page[schemas.Retraining]))
def list_retrainings(limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List the models that are retrained, by name."""
    return page_by_name(
        retrainings.every(), limit, cursor, name="name", resource=resources.retraining
    )


@router.get("/{retraining_id}", responses=says(schemas.Retraining, 404))
def get(retraining_id: Id) -> Response:
    """Return one by its name."""
    return answer(resources.retraining(retrainings.get(retraining_id)))


@router.patch(
    "/{retraining_id}",
    responses=says(schemas.Retraining, 404, 413, 415),
    openapi_extra=takes(schemas.RetrainingChange),
)
def change(request: Request, retraining_id: Id, body: Raw) -> Response:
    """Change one; the model in use stays until a better one is found."""
    values = _values(read(schemas.RetrainingChange, body, request))
    return answer(resources.retraining(retrainings.change(retraining_id, values)))


@router.delete("/{retraining_id}", responses=says(schemas.Retraining, 404))
def delete(retraining_id: Id) -> Response:
    """Delete one with its history, and return it as it was; its models stay."""
    return answer(resources.retraining(retrainings.delete(retraining_id)))


@router.post(
    "/{retraining_id}/run",
    status_code=202,
    responses=says(schemas.Submitted, 404, 409, status=202),
)
def run(retraining_id: Id, once: MaybeOnce, who: Who) -> Response:
    """Submit the job that trains it again, now."""
    quotas.require_room(who.owner)
    started = retrainings.run_now(retraining_id, requested_by=who.name, owner=who.owner, once=once)
    job_id = started["id"]
    return accepted({"task_id": job_id}, resources.job_links(job_id))


@router.get("/{retraining_id}/runs", responses=says(schemas.Page[schemas.RetrainingRun], 404))
def runs(retraining_id: Id, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List how trainings ended, newest first: scores of both models, and why one was chosen."""
    rows, total = retrainings.history(retraining_id, newest_first(cursor), limit + 1)
    return page(
        rows,
        limit,
        total,
        resource=resources.retraining_run,
        place=lambda row: (row["finished_at"], row["job_id"]),
    )
