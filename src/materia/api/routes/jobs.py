"""Jobs: submit, list, look at, cancel, retry."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import FileResponse, Response

from materia.api import resources, schemas
from materia.api.answers import accepted, answer
from materia.api.bodies import Raw, read
from materia.api.documentation import says, sends_a_file, takes
from materia.api.paging import Cursor, Limit, by_number, newest_first, page
from materia.api.requests import PLAIN, Id, MaybeOnce, harmless
from materia.api.scopes import USUAL, Who
from materia.services import access, exports, jobs, quotas, tasks
from materia.services.submission import NewJob, submit

router = APIRouter(prefix="/jobs", tags=["jobs"], dependencies=[USUAL])

State = Literal["QUEUED", "RUNNING", "RETRYING", "SUCCEEDED", "FAILED", "CANCELLED", "QUARANTINED"]
Filter = Annotated[str | None, Query(max_length=255, pattern=PLAIN)]


@router.post(
    "",
    status_code=202,
    responses=says(schemas.Submitted, 409, 413, 415, status=202),
    openapi_extra=takes(schemas.NewJob),
)
def submit_job(request: Request, body: Raw, once: MaybeOnce, who: Who) -> Response:
    """Submit a task as a job."""
    new = read(schemas.NewJob, body, request)
    access.require_task(who, new.task, new.args, new.kwargs)
    tasks.require(new.task, new.args, new.kwargs, new.queue)
    quotas.require_room(who.owner)
    job = NewJob(**new.model_dump(), requested_by=who.name, owner=who.owner)
    row = submit(job, once=once)
    return _submitted(row["id"])


def _submitted(job_id: str) -> Response:
    return accepted({"task_id": job_id}, resources.job_links(job_id))


@router.get("", responses=says(schemas.Page[schemas.Job]))
def list_jobs(
    who: Who,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: State | None = None,
    task: Filter = None,
    campaign_id: Filter = None,
    queue: Filter = None,
) -> Response:
    """List jobs, newest first."""
    rows, total = jobs.page(
        limit + 1,
        newest_first(cursor),
        state=state,
        task=task,
        campaign_id=campaign_id,
        queue=queue,
        owner=who.sees,
    )
    return page(
        rows,
        limit,
        total,
        resource=resources.job,
        place=lambda row: (row["queued_at"], row["id"]),
    )


@router.get("/{job_id}", responses=says(schemas.Job, 404))
def get(job_id: Id) -> Response:
    """Return one job."""
    return answer(resources.job(jobs.get(job_id)))


@router.get("/{job_id}/log", responses=says(schemas.Page[schemas.LogLine], 404))
def log(
    job_id: Id,
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="a line's number")] = 0,
    limit: Limit = 200,
    cursor: Cursor = None,
) -> Response:
    """List what the task logged, in order; of a long log the newest lines are kept."""
    rows, total = jobs.log_page(job_id, by_number(cursor, after), limit + 1)
    return page(rows, limit, total, resource=resources.log_line, place=lambda row: (row["number"],))


@router.get("/{job_id}/progress", responses=says(schemas.JobProgress, 404))
def progress(job_id: Id) -> Response:
    """Return how far a job is."""
    row = jobs.get(job_id)
    return answer({key: row[key] for key in ("id", "state", "progress")})


@router.get("/{job_id}/result", responses=says(schemas.JobResult, 404, 409))
def result(job_id: Id) -> Response:
    """Return what a job ended with; 409 while it has not ended."""
    job = resources.job(jobs.ended(job_id))
    return answer({key: job[key] for key in ("id", "state", "result", "error")})


@router.get("/{job_id}/file", responses=sends_a_file(404, 409))
def file(job_id: Id) -> Response:
    """Return the file that an export has written; 409 while its job has not ended."""
    path = exports.file_of(job_id)
    # A file is read anew each time: one that was deleted must not live on in a cache.
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    media_type = exports.MEDIA_TYPES[path.suffix[1:]]
    return FileResponse(path, media_type=media_type, filename=path.name, headers=headers)


@router.post("/{job_id}/cancel", status_code=202, responses=says(schemas.Job, 404, 409, status=202))
def cancel(job_id: Id, once: MaybeOnce) -> Response:
    """Cancel a job, now or through its worker; cancelling a final job changes nothing."""
    return answer(harmless(once, lambda: resources.job(jobs.cancel(job_id))), 202)


@router.post(
    "/{job_id}/retry",
    status_code=202,
    responses=says(schemas.Submitted, 404, 409, status=202),
)
def retry(job_id: Id, once: MaybeOnce, who: Who) -> Response:
    """Submit the task of a failed, cancelled or quarantined job again, as a new job."""
    quotas.require_room(who.owner)
    return _submitted(jobs.retry(job_id, once=once)["id"])
