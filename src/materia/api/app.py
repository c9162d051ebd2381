"""The application: routes, errors, admission, and the live view behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from materia import settings
from materia.api import docs_page, live
from materia.api.admission import Admission
from materia.api.answers import answer
from materia.api.documentation import refusals
from materia.api.pace import Pace
from materia.api.problems import translate_errors
from materia.api.requests import only_known_parameters
from materia.api.resources import BASE
from materia.api.routes import (
    campaigns,
    choices,
    dashboard,
    datasets,
    health,
    jobs,
    keys,
    metrics,
    models,
    retrainings,
    schedules,
    workers,
)
from materia.api.schemas import (
    Clone,
    EarlierRows,
    Extension,
    NewExport,
    NewJob,
    NewKey,
    NewModel,
    NewRetraining,
    NewSchedule,
    Problem,
    Results,
    RetrainingChange,
    ScheduleChange,
)
from materia.api.scopes import admit, needed
from materia.events import tally
from materia.mdl import Definition
from materia.services.audit import Record
from materia.version import __version__

OPENAPI = f"{BASE}/openapi.json"
DOCS = "/docs"
PUBLIC = frozenset({DOCS, OPENAPI, f"{BASE}/health/live"})
BODIES = (
    Definition,
    Clone,
    EarlierRows,
    Extension,
    NewExport,
    NewJob,
    NewKey,
    NewModel,
    NewSchedule,
    ScheduleChange,
    NewRetraining,
    Results,
    RetrainingChange,
    Problem,
)
DESCRIPTION = "Materials-optimisation campaigns and background jobs of a lab."


def create_app(config: settings.Settings | None = None) -> FastAPI:
    """Return the application; settings of the process unless others are given."""
    config = config or settings.current()
    key = config.api_key.get_secret_value() if config.api_key else None
    record, pace = Record(), Pace(config.requests_per_s, config.changes_per_s)
    # Docs and OpenAPI are served below: the framework's pages load scripts from the internet.
    app = FastAPI(
        title="MatCraft",
        version=__version__,
        description=DESCRIPTION,
        lifespan=_lifespan,
        dependencies=[Depends(admit)],
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.hub = live.hub(config.events)
    app.state.feed = live.feed_reader()
    app.state.record, app.state.pace = record, pace
    for noun in (
        campaigns,
        jobs,
        schedules,
        models,
        datasets,
        retrainings,
        choices,
        keys,
        workers,
        health,
        metrics,
    ):
        app.include_router(noun.router, prefix=BASE, dependencies=[Depends(only_known_parameters)])
    app.include_router(live.router, prefix=BASE)
    pages = dashboard.assets()
    app.include_router(dashboard.router(pages))
    _add_description(app)
    translate_errors(app)
    uploads = {f"{BASE}{datasets.router.prefix}": config.max_upload_bytes}
    app.add_middleware(
        Admission,
        key=key,
        public=PUBLIC | pages.keys(),
        uploads=uploads,
        pace=pace,
        record=record,
    )
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    sharing = asyncio.create_task(app.state.pace.share(tally.add))
    yield
    sharing.cancel()
    await app.state.hub.close()
    await app.state.feed.close()
    await run_in_threadpool(app.state.record.close)


def _add_description(app: FastAPI) -> None:
    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = describe(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]

    @app.get(OPENAPI, include_in_schema=False)
    def openapi_file() -> Response:
        return answer(app.openapi())

    @app.get(DOCS, include_in_schema=False)
    def docs() -> Response:
        return HTMLResponse(docs_page.render(app.openapi()), headers=docs_page.HEADERS)


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, with the shapes of bodies and problems and the key."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
    )
    shapes = document.setdefault("components", {}).setdefault("schemas", {})
    for model in BODIES:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        shapes.update(schema.pop("$defs", {}))
        shapes[model.__name__] = schema
    # The framework's own shape of request errors is never sent.
    for unused in ("HTTPValidationError", "ValidationError"):
        shapes.pop(unused, None)
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}]
    for route in iter_route_contexts(app.routes):
        for method in route.methods or ():
            operation = document["paths"].get(route.path_format, {}).get(method.lower())
            if operation is not None:
                _add_admission(operation, None if route.path in PUBLIC else needed(route, method))
    return document


def _add_admission(operation: dict[str, Any], scope: str | None) -> None:
    """Add to an operation the scope that it needs, and how a key is refused; None is public."""
    operation["security"] = [{"key": [scope]}] if scope else []
    if scope:
        said = {str(status): text for status, text in refusals(401, 403, 429).items()}
        operation["responses"] = dict(sorted({**said, **operation["responses"]}.items()))
