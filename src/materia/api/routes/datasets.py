"""Datasets: list the tables that tasks may read, look into one, send and delete others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from materia.api import resources, schemas
from materia.api.answers import answer
from materia.api.bodies import media_type
from materia.api.documentation import says, takes_a_file
from materia.api.paging import Cursor, Limit, page_by_name
from materia.api.problems import Refusal
from materia.api.requests import PLAIN, Key, once_of
from materia.api.scopes import USUAL
from materia.services import dataset_removal, datasets, uploads
from materia.services.idempotency import Once

router = APIRouter(prefix="/datasets", tags=["datasets"], dependencies=[USUAL])

DatasetPath = Annotated[str, Path(min_length=1, max_length=4096, pattern=PLAIN)]
Delimiter = Annotated[str, Query(pattern=r"^[,;|\t]$", description="of CSV files")]
# So much is gathered before a thread writes it.
PIECE = 2**20


@dataclass(frozen=True, slots=True)
class Upload:
    """A request with a file, all of it received."""

    arrival: uploads.Arrival
    replace: bool
    delimiter: str
    once: Once | None


async def _upload(
    request: Request,
    path: Annotated[
        str,
        Query(
            min_length=1,
            max_length=1024,
            pattern=PLAIN,
            description="where it will be, below the data root; ends in .csv, .csv.gz or .parquet",
            examples=["alloys.csv"],
        ),
    ],
    replace: Annotated[bool, Query(description="another dataset of this path")] = False,
    delimiter: Delimiter = ",",
    key: Key = None,
) -> AsyncIterator[Upload]:
    if media_type(request).startswith("multipart/"):
        raise Refusal(
            415,
            "a form is not read here",
            "send the file itself as the body: curl -X POST -T alloys.csv",
            path="Content-Type",
        )
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise Refusal(
            415,
            "a body with a `Content-Encoding` is not read here",
            "send the file as it is; one that ends in .csv.gz may be compressed itself",
            path="Content-Encoding",
        )
    length = request.headers.get("content-length")
    arrival = await run_in_threadpool(
        uploads.begin, path, int(length) if length else None, replace=replace
    )
    try:
        await _receive(request, arrival)
        body = f"{path}\n{replace}\n{arrival.sha256}".encode()
        yield Upload(arrival, replace, delimiter, once_of(request, key, body))
    finally:
        await run_in_threadpool(arrival.close)


async def _receive(request: Request, arrival: uploads.Arrival) -> None:
    waiting = bytearray()
    try:
        async for content in request.stream():
            waiting += content
            if len(waiting) >= PIECE:
                await run_in_threadpool(arrival.write, bytes(waiting))
                waiting.clear()
    except ClientDisconnect:
        raise Refusal(400, "the body ended before all of it had come") from None
    await run_in_threadpool(arrival.write, bytes(waiting))
    await run_in_threadpool(arrival.complete)


@router.post(
    "",
    status_code=201,
    responses=says(schemas.DatasetDetails, 403, 409, 413, 415, 501, status=201),
    openapi_extra=takes_a_file(),
)
def upload(sent: Annotated[Upload, Depends(_upload)]) -> Response:
    """Send a table, whose file is the body; it appears whole, or not at all if it is no table."""
    row = uploads.keep(sent.arrival, replace=sent.replace, delimiter=sent.delimiter, once=sent.once)
    here = f"{resources.BASE}/datasets/{quote(row['path'], safe='')}"
    return answer(resources.dataset(row), 201, headers={"Location": here})


@router.get("", responses=says(schemas.Page[schemas.Dataset]))
def list_datasets(limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List the tables below the data root and the other allowed folders, by path."""
    return page_by_name(datasets.every(), limit, cursor, name="path", resource=resources.dataset)


@router.get("/{dataset_path:path}", responses=says(schemas.DatasetDetails, 403, 404, 501))
def get(dataset_path: DatasetPath, delimiter: Delimiter = ",") -> Response:
    """Return what is in a dataset: columns and types, rows, and what would be learnt from it."""
    return answer(resources.dataset(datasets.look(dataset_path, delimiter)))


@router.delete("/{dataset_path:path}", responses=says(schemas.Dataset, 403, 404, 409, 501))
def delete(dataset_path: DatasetPath) -> Response:
    """Delete a dataset that was sent here, with its files; one that something needs stays."""
    return answer(resources.dataset(dataset_removal.delete(dataset_path)))
