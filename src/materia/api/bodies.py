"""Bodies of requests: read once, bounded, checked before anything is allocated for them."""

from __future__ import annotations

import codecs
from email.message import Message
from typing import Annotated, Any, TypeVar

import orjson
from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from materia.api.problems import Refusal
from materia.errors import DefinitionError
from materia.mdl.finding import Finding, as_error
from materia.mdl.json_text import bare_constant, fault, is_meant

JSON_TYPES = {"application/json"}
YAML_TYPES = {"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"}
MAX_DEPTH = 32

Model = TypeVar("Model", bound=BaseModel)


async def _raw(request: Request) -> bytes:
    """Return the body as it came; `Refusal` where its bytes are not plain UTF-8 text."""
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise Refusal(
            415,
            f"a body with `Content-Encoding: {coding[:100]}` is not read here",
            "send the body as it is, without compression and without this header",
            path="Content-Encoding",
        )
    charset = _charset(request)
    if not _is_utf8(charset):
        raise Refusal(
            415,
            f"a body in the charset {charset[:100]!r} is not read here",
            "send the body as UTF-8, with `charset=utf-8` or without a charset",
            path="Content-Type",
        )
    return await request.body()


Raw = Annotated[bytes, Depends(_raw)]


def _charset(request: Request) -> str:
    """Return the charset that the type of a body names, UTF-8 where it names none."""
    header = Message()
    header["Content-Type"] = request.headers.get("content-type", "")
    return str(header.get_param("charset") or "utf-8")


def _is_utf8(charset: str) -> bool:
    try:
        return codecs.lookup(charset).name in ("utf-8", "ascii")
    except (LookupError, ValueError):
        return False


def media_type(request: Request) -> str:
    """Return the type of a body without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _called(given: str) -> str:
    return f"a body of type {given[:100]!r}" if given else "a body without a type"


async def _definition(request: Request) -> str:
    given = media_type(request)
    if given not in JSON_TYPES | YAML_TYPES and not given.endswith("+json"):
        raise Refusal(
            415,
            f"a definition cannot come as {_called(given)}",
            "send JSON with `Content-Type: application/json`,"
            " or YAML with `Content-Type: application/yaml`",
        )
    try:
        text = (await _raw(request)).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DefinitionError(
            f"the definition is not UTF-8 text (byte {error.start})", "save it as UTF-8"
        ) from error
    # What is meant as JSON is judged with the rest of the definition.
    is_other = given not in YAML_TYPES and not is_meant(text)
    if is_other and (found := fault(text)) is not None:
        fix = f"{found.fix}; YAML needs `Content-Type: application/yaml`"
        finding = Finding("error", "", found.line, found.message, fix)
        raise as_error([finding])
    return text


Definition = Annotated[str, Depends(_definition)]


def read(model: type[Model], body: bytes, request: Request) -> Model:
    """Return a JSON body as a model; unknown fields are refused by the model."""
    given = media_type(request)
    if given not in JSON_TYPES and not given.endswith("+json"):
        raise Refusal(
            415,
            f"{_called(given)} is not read here",
            "send `Content-Type: application/json`",
        )
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _no_json(body, error) from error
    _require_shallow(content)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from error


def _no_json(body: bytes, error: orjson.JSONDecodeError) -> Refusal:
    """Return why a body is refused that is no JSON, as exactly as can be said."""
    text = body.decode("utf-8", "replace")
    if (found := fault(text)) is not None:
        return Refusal(422, f"body: {found.message}", found.fix, path="body")
    if (constant := bare_constant(text)) is not None:
        message = f"body: this is not JSON: {constant} is no number in it"
        return Refusal(422, message, "send a finite number, or null for none", path="body")
    return Refusal(422, f"body: this is not JSON: {error}", path="body")


def _require_shallow(content: Any) -> None:
    level = [content]
    for _ in range(MAX_DEPTH):
        inside: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inside.extend(value.values())
            elif isinstance(value, list):
                inside.extend(value)
        if not inside:
            return
        level = inside
    raise Refusal(422, f"body: more than {MAX_DEPTH} levels of nesting", path="body")
