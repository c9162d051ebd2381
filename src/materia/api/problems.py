"""Problem details (RFC 9457): every refusal has a stable `code`, the offending path and a hint."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from materia import log
from materia.errors import (
    AccessError,
    ConflictError,
    DataError,
    DefinitionError,
    EvaluationError,
    MateriaError,
    MissingExtraError,
    NotFoundError,
    StateError,
    SurrogateError,
    TransientError,
)
from materia.services.quotas import NoRoomError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2

STATUS: dict[type[MateriaError], int] = {
    DefinitionError: 422,
    DataError: 422,
    EvaluationError: 422,
    StateError: 409,
    ConflictError: 409,
    SurrogateError: 409,
    NotFoundError: 404,
    AccessError: 403,
    TransientError: 503,
    MissingExtraError: 501,
}

# Codes of what no error of ours stands behind.
CODES = {
    401: "unauthorized",
    403: AccessError.code,
    404: NotFoundError.code,
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    422: "request_invalid",
    429: "too_many_requests",
    503: TransientError.code,
}
HINTS = {
    404: "/docs lists every path; all of them begin with /api/v1",
    405: "/docs lists the methods of every path",
    413: "keep tables in files below the data root and name them in the request",
}

logger = log.logger(__name__)


class Refusal(HTTPException):
    """A request refused before it reaches a service."""

    def __init__(
        self,
        status: int,
        message: str,
        hint: str | None = None,
        *,
        path: str | None = None,
    ) -> None:
        super().__init__(status, message)
        self.hint = hint
        self.path = path


def problem(
    status: int,
    code: str,
    message: str,
    *,
    hint: str | None = None,
    path: str | None = None,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """Return the answer that refuses a request; `members` extend the problem."""
    content = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": message,
        "path": path,
        "hint": hint,
        **members,
    }
    return Response(
        orjson.dumps(content), status, media_type=MEDIA_TYPE, headers=dict(headers or {})
    )


def of_error(error: MateriaError) -> Response:
    """Return the answer for an error of the tree; what has no place in it is a 500."""
    if isinstance(error, NoRoomError):
        return _no_room(error)
    status = next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)
    if status == 500:
        logger.error("request_failed", reason=str(error))
        return of_fault()
    members: dict[str, Any] = {}
    if isinstance(error, DefinitionError):
        members = {"line": error.line, "findings": error.findings}
    return problem(
        status,
        error.code,
        error.message,
        hint=error.hint,
        path=getattr(error, "path", None),
        headers={"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None,
        **members,
    )


def _no_room(error: NoRoomError) -> Response:
    """Return the answer for a job too many: of the caller's own, or of everybody's."""
    status = 429 if error.is_own else 503
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return problem(status, CODES[status], error.message, hint=error.hint, headers=headers)


def of_fault() -> Response:
    """Return the answer for a fault of ours; it tells nothing of the inside."""
    return problem(
        500,
        "internal",
        "the server met an unexpected error",
        hint="its log says more; please report it",
    )


def of_invalid_request(problems: list[dict[str, Any]]) -> Response:
    """Return the answer for a request whose shape is wrong.

    Args:
        problems: As pydantic reports them: loc, msg.
    """
    findings = [
        {
            "level": "error",
            "path": written(item["loc"]),
            "line": None,
            "message": _in_words(item),
            "fix": None,
        }
        for item in problems
    ]
    first = findings[0]
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return problem(
        422,
        CODES[422],
        f"{first['path']}: {first['message']}{more}",
        path=first["path"],
        hint="/docs lists what this path takes",
        findings=findings,
    )


def written(loc: tuple[int | str, ...]) -> str:
    """Return a place as a path such as ``kwargs.grid[2]``, without the part of the request."""
    places = loc[1:] if loc and loc[0] in ("query", "path", "header", "body") else loc
    text = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in places)
    return text.removeprefix(".") or "body"


def _in_words(item: Mapping[str, Any]) -> str:
    if item["type"] == "extra_forbidden":
        return "there is no such field"
    expected = _JSON_TYPES.get(item["type"])
    if expected is not None:
        return f"{expected} is expected, not {_json_type(item['input'])}"
    text = str(item["msg"])
    return text[:1].lower() + text[1:]


# Of a wrong type pydantic speaks in words of Python, and names the model that was expected.
_JSON_TYPES = {
    "model_type": "a JSON object",
    "model_attributes_type": "a JSON object",
    "dict_type": "a JSON object",
    "list_type": "a JSON array",
    "string_type": "a string",
    "int_type": "a whole number",
}


def _json_type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int():
            return "a number"
        case float():
            return "a number with decimals"
        case str():
            return "a string"
        case list():
            return "a JSON array"
        case _:
            return "a JSON object"


def translate_errors(app: FastAPI) -> None:
    """Make every error that leaves a route a problem."""

    async def ours(_: Request, error: Exception) -> Response:
        assert isinstance(error, MateriaError)
        return of_error(error)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return of_invalid_request(list(error.errors()))

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status = error.status_code
        known = error.detail != HTTPStatus(status).phrase
        return problem(
            status,
            CODES.get(status, f"http_{status}"),
            error.detail if known else HTTPStatus(status).description or error.detail,
            hint=getattr(error, "hint", None) or HINTS.get(status),
            path=getattr(error, "path", None),
            headers=error.headers,
        )

    async def fault(_: Request, __: Exception) -> Response:
        return of_fault()

    app.add_exception_handler(MateriaError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(Exception, fault)
