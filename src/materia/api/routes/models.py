"""Models: list, look at, delete. Training and prediction are jobs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from materia.api import resources, schemas
from materia.api.answers import answer
from materia.api.documentation import says
from materia.api.paging import Cursor, Limit, newest_first, page
from materia.api.requests import PLAIN, Id
from materia.api.scopes import USUAL
from materia.services import models, retrainings

router = APIRouter(prefix="/models", tags=["models"], dependencies=[USUAL])

Filter = Annotated[str | None, Query(max_length=128, pattern=PLAIN)]


@router.get("", responses=says(schemas.Page[schemas.Model]))
def list_models(limit: Limit = 50, cursor: Cursor = None, name: Filter = None) -> Response:
    """List models, newest first."""
    rows, total = models.page(limit + 1, newest_first(cursor), name)
    return page(
        rows,
        limit,
        total,
        resource=resources.model,
        place=lambda row: (row["created_at"], row["id"]),
    )


@router.get("/{model_id}", responses=says(schemas.ModelDetails, 404))
def get(model_id: Id) -> Response:
    """Return one model; the name of a retrained model stands for the one in use."""
    row = models.get(model_id)
    user = retrainings.using(row["id"])
    details = {"card": row["card"], "in_use_for": user and user["name"]}
    return answer({**resources.model(row), **details})


@router.delete("/{model_id}", responses=says(schemas.Model, 404, 409))
def delete(model_id: Id) -> Response:
    """Delete a model with its file, and return it as it was; one in use stays."""
    return answer(resources.model(models.delete(model_id)))
