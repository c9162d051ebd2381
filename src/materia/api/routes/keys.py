"""API keys: make, list, revoke; who did what with them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from materia.api import resources, schemas
from materia.api.answers import answer
from materia.api.bodies import Raw, read
from materia.api.documentation import says, takes
from materia.api.paging import Cursor, Limit, by_number, newest_first, page
from materia.api.requests import Id, MaybeOnce, harmless
from materia.api.scopes import ADMIN, READ, Who
from materia.services import audit, keys
from materia.services.keys import NewKey

router = APIRouter(prefix="/api-keys", tags=["api-keys"], dependencies=[ADMIN])


@router.post(
    "",
    status_code=201,
    responses=says(schemas.MadeKey, 409, 413, 415, status=201),
    openapi_extra=takes(schemas.NewKey),
)
def create(request: Request, body: Raw, once: MaybeOnce, who: Who) -> Response:
    """Make a key; the answer is the only one that ever holds its secret."""
    new = read(schemas.NewKey, body, request)
    row, secret = keys.create(NewKey(**new.model_dump(), created_by=who.name), once=once)
    here = f"{resources.BASE}/api-keys/{row['id']}"
    return answer({**resources.key(row), "key": secret}, 201, headers={"Location": here})


@router.get("", responses=says(schemas.Page[schemas.Key]))
def list_keys(limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List all keys, the newest first; a revoked one stays in the list."""
    rows, before = keys.every(), newest_first(cursor)
    left = [row for row in rows if before is None or (row["created_at"], row["id"]) < before]
    return page(
        left[: limit + 1],
        limit,
        len(rows),
        resource=resources.key,
        place=lambda row: (row["created_at"], row["id"]),
    )


@router.get("/current", dependencies=[READ], responses=says(schemas.CurrentKey))
def current(who: Who) -> Response:
    """Return what the key of this request may do."""
    return answer(resources.caller(who))


@router.get("/audit", responses=says(schemas.Page[schemas.AuditEntry]))
def list_audit(
    limit: Limit = 50,
    cursor: Cursor = None,
    refused: Annotated[
        bool | None, Query(description="only what was refused, or only what was done")
    ] = None,
) -> Response:
    """List who changed what, and what was refused, the newest first."""
    before = None if cursor is None else by_number(cursor, 0)
    rows, total = audit.page(limit + 1, before, refused)
    return page(
        rows, limit, total, resource=resources.audit_entry, place=lambda row: (row["number"],)
    )


@router.get("/{key_id}", responses=says(schemas.Key, 404))
def get(key_id: Id) -> Response:
    """Return one key, without its secret."""
    return answer(resources.key(keys.get(key_id)))


@router.post("/{key_id}/revoke", responses=says(schemas.Key, 404, 409))
def revoke(key_id: Id, once: MaybeOnce) -> Response:
    """Let a key open nothing from now on. Twice is fine."""
    return answer(harmless(once, lambda: resources.key(keys.revoke(key_id))))


@router.delete("/{key_id}", responses=says(schemas.Key, 404))
def delete(key_id: Id) -> Response:
    """Do the same as `revoke`: the key stays in the list, for the record of what it did."""
    return answer(resources.key(keys.revoke(key_id)))
