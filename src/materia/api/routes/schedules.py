"""Schedules: make, list, look at, change, pause, run now, delete."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from materia.api import resources, schemas
from materia.api.answers import accepted, answer
from materia.api.bodies import Raw, read
from materia.api.documentation import says, takes
from materia.api.paging import Cursor, Limit, newest_first, page, page_by_name
from materia.api.requests import Id, MaybeOnce, harmless
from materia.api.scopes import USUAL, Who
from materia.services import access, quotas, schedules
from materia.services.schedules import NewSchedule

router = APIRouter(prefix="/schedules", tags=["schedules"], dependencies=[USUAL])


@router.post(
    "",
    status_code=201,
    responses=says(schemas.Schedule, 409, 413, 415, status=201),
    openapi_extra=takes(schemas.NewSchedule),
)
def create(request: Request, body: Raw, once: MaybeOnce, who: Who) -> Response:
    """Make a schedule."""
    new = read(schemas.NewSchedule, body, request)
    access.require_task(who, new.task, (), new.kwargs)
    made = NewSchedule(**new.model_dump(), requested_by=who.name, owner=who.owner)
    row = schedules.create(made, once=once)
    here = f"{resources.BASE}/schedules/{row['id']}"
    return answer(resources.schedule(row), 201, headers={"Location": here})


@router.get("", responses=says(schemas.Page[schemas.Schedule]))
def list_schedules(who: Who, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List schedules by id."""
    rows = schedules.every(who.sees)
    return page_by_name(rows, limit, cursor, name="id", resource=resources.schedule)


@router.get("/{schedule_id}", responses=says(schemas.Schedule, 404))
def get(schedule_id: Id) -> Response:
    """Return one schedule."""
    return answer(resources.schedule(schedules.get(schedule_id)))


@router.patch(
    "/{schedule_id}",
    responses=says(schemas.Schedule, 404, 413, 415),
    openapi_extra=takes(schemas.ScheduleChange),
)
def change(request: Request, schedule_id: Id, body: Raw, who: Who) -> Response:
    """Change a schedule; its clock goes on unless the timing itself changes."""
    values = read(schemas.ScheduleChange, body, request).model_dump(exclude_unset=True)
    access.require_task(who, schedules.get(schedule_id)["task"], (), values.get("kwargs", {}))
    return answer(resources.schedule(schedules.change(schedule_id, values)))


@router.delete("/{schedule_id}", responses=says(schemas.Schedule, 404, 409))
def delete(schedule_id: Id) -> Response:
    """Delete a schedule and return it as it was; its jobs stay."""
    row = schedules.get(schedule_id)
    schedules.delete(schedule_id)
    return answer(resources.schedule(row))


@router.post("/{schedule_id}/pause", responses=says(schemas.Schedule, 404, 409))
def pause(schedule_id: Id, once: MaybeOnce) -> Response:
    """Let due times pass without firing; pausing twice changes nothing."""
    return answer(harmless(once, lambda: resources.schedule(schedules.pause(schedule_id))))


@router.post("/{schedule_id}/resume", responses=says(schemas.Schedule, 404, 409))
def resume(schedule_id: Id, once: MaybeOnce) -> Response:
    """Fire again from the next due time on."""
    return answer(harmless(once, lambda: resources.schedule(schedules.resume(schedule_id))))


@router.post(
    "/{schedule_id}/run",
    status_code=202,
    responses=says(schemas.Submitted, 404, 409, status=202),
)
def run(schedule_id: Id, once: MaybeOnce, who: Who) -> Response:
    """Submit the job of a schedule now, besides its due times."""
    quotas.require_room(who.owner)
    job_id = schedules.run_now(schedule_id, once=once)["id"]
    return accepted({"task_id": job_id}, resources.job_links(job_id))


@router.get("/{schedule_id}/runs", responses=says(schemas.Page[schemas.ScheduleRun], 404))
def runs(schedule_id: Id, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List the times at which a schedule fired, newest first, with the job of each."""
    before = newest_first(cursor)
    rows, total = schedules.history(schedule_id, before and before[0], limit + 1)
    return page(
        rows,
        limit,
        total,
        resource=resources.schedule_run,
        place=lambda row: (row["due_at"], row["job_id"]),
    )
