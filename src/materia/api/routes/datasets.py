"""Datasets: list the tables that tasks may read, and look into one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from materia.api import resources, schemas
from materia.api.answers import answer
from materia.api.documentation import says
from materia.api.paging import Cursor, Limit, by_name, page
from materia.api.requests import PLAIN
from materia.services import datasets

router = APIRouter(prefix="/datasets", tags=["datasets"])

DatasetPath = Annotated[str, Path(min_length=1, max_length=4096, pattern=PLAIN)]
Delimiter = Annotated[str, Query(pattern=r"^[,;|\t]$", description="of CSV files")]


@router.get("", responses=says(schemas.Page[schemas.Dataset]))
def list_datasets(limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List the tables below the data root and the other allowed folders, by path."""
    rows = datasets.every()
    after = by_name(cursor)
    return page(
        [row for row in rows if row["path"] > after][: limit + 1],
        limit,
        len(rows),
        resource=resources.dataset,
        place=lambda row: (row["path"],),
    )


@router.get("/{dataset_path:path}", responses=says(schemas.DatasetDetails, 403, 404, 501))
def get(dataset_path: DatasetPath, delimiter: Delimiter = ",") -> Response:
    """Return what is in a dataset: columns and types, rows, and what would be learnt from it."""
    return answer(resources.dataset(datasets.describe(dataset_path, delimiter)))
