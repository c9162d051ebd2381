"""What a definition can begin with and choose from: templates and evaluators."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from materia.api import schemas
from materia.api.answers import answer
from materia.api.documentation import refusals, says
from materia.api.scopes import READ
from materia.services import choices

router = APIRouter(dependencies=[READ])


@router.get(
    "/templates",
    tags=["templates"],
    responses={200: {"model": schemas.Page[schemas.Template]}, **refusals(401, 422)},
)
def list_templates() -> Response:
    """List definitions to begin with."""
    return _all(choices.templates())


@router.get("/templates/{name}", tags=["templates"], responses=says(schemas.Template, 404))
def get_template(name: str) -> Response:
    """Return one of them, with its text."""
    return answer(choices.template(name))


@router.get(
    "/evaluators",
    tags=["evaluators"],
    responses={200: {"model": schemas.Page[schemas.Evaluator]}, **refusals(401, 422)},
)
def list_evaluators() -> Response:
    """List the evaluators that there are, plug-ins included, with the schema of their options."""
    return _all(choices.evaluators())


@router.get("/evaluators/{name}", tags=["evaluators"], responses=says(schemas.Evaluator, 404))
def get_evaluator(name: str) -> Response:
    """Return one of them, by the type that definitions name."""
    return answer(choices.evaluator(name))


def _all(items: list[dict[str, object]]) -> Response:
    return answer({"items": items, "next_cursor": None, "total": len(items)})
