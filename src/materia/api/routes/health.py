"""Health: alive means that this process answers, ready that work gets done."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from materia.api import schemas
from materia.api.answers import answer
from materia.api.documentation import refusals, says
from materia.api.problems import RETRY_AFTER_S, problem
from materia.api.scopes import READ
from materia.services import cluster_health, health
from materia.version import __version__

router = APIRouter(tags=["health"], dependencies=[READ])


@router.get("/health/live", responses={200: {"model": schemas.Liveness}, **refusals(422)})
def live() -> Response:
    """Say that this process answers; needs no key."""
    return answer({"status": "alive", "version": __version__})


@router.get(
    "/health/ready", responses={200: {"model": schemas.Readiness}, **refusals(401, 422, 503)}
)
def ready() -> Response:
    """Say whether database, broker and scheduler are there."""
    found = health.checks()
    checks = {part: fault or "ok" for part, fault in found.items()}
    faults = [f"{part}: {fault}" for part, fault in found.items() if fault]
    if faults:
        return problem(
            503,
            "not_ready",
            "; ".join(faults),
            hint="`materia doctor` looks closer",
            headers={"Retry-After": str(RETRY_AFTER_S)},
            checks=checks,
        )
    return answer({"status": "ready", "checks": checks})


@router.get("/health/cluster", responses=says(schemas.ClusterHealth))
def cluster() -> Response:
    """Say how every part of the installation is; 200 also when it is not well: read `status`."""
    return answer(cluster_health.look())


@router.get(
    "/queues",
    tags=["queues"],
    responses={200: {"model": schemas.Page[schemas.Queue]}, **refusals(401, 422, 503)},
)
def queues() -> Response:
    """List how many jobs wait and run in each queue."""
    lines = health.queues()
    return answer({"items": lines, "next_cursor": None, "total": len(lines)})
