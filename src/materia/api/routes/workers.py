"""Workers, and the cluster that they compute on."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from starlette.responses import Response

from materia.api import resources, schemas
from materia.api.answers import answer, written_time
from materia.api.documentation import says
from materia.api.paging import Cursor, Limit, by_number, page
from materia.api.scopes import READ, Who
from materia.services import cluster_health, workers

router = APIRouter(dependencies=[READ])

State = Literal["online", "draining", "offline", "lost"]


@router.get("/workers", tags=["workers"], responses=says(schemas.Page[schemas.Worker]))
def list_workers(
    who: Who, limit: Limit = 50, cursor: Cursor = None, state: State | None = None
) -> Response:
    """List workers, those that live first; one that has ended is remembered for a day."""
    rows = [row for row in workers.every(who.sees) if state in (None, row["state"])]
    first = by_number(cursor, 0)
    shown = [{**row, "place": i + 1} for i, row in enumerate(rows)][max(first, 0) :]
    return page(
        shown[: limit + 1],
        limit,
        len(rows),
        resource=resources.worker,
        place=lambda row: (row["place"],),
    )


@router.get("/cluster", tags=["cluster"], responses=says(schemas.Cluster))
def cluster() -> Response:
    """Return the nodes of the Ray cluster, as the last check of health found them."""
    found = cluster_health.known_cluster()
    return answer({**found, "checked_at": written_time(found["checked_at"])})
