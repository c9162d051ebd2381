"""What every operation says of itself in the OpenAPI file."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from materia.api.problems import MEDIA_TYPE
from materia.api.schemas import Problem

FILE = "application/octet-stream"
CSV_TYPES = ("text/csv", "application/csv")

REFUSALS = {
    401: "no key, or one that is unknown, expired or revoked",
    403: "the key has not the scope that is needed, or it is not allowed to anybody",
    404: "there is no such thing",
    409: "not possible in the present state, or the idempotency key came with another request",
    413: "the body is too large",
    415: "the body has another type than one of those that are read",
    422: "the request or the definition is wrong; `path` and `findings` say where",
    429: "too many requests or waiting jobs; try again after `Retry-After` seconds",
    501: "an optional part that this needs is not installed on the server",
    503: "waiting can heal it; try again after `Retry-After` seconds",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of answers that refuse."""
    return {
        status: {
            "description": REFUSALS[status],
            "content": {
                MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}
            },
        }
        for status in statuses
    }


def says(model: Any, *statuses: int, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Return the description of all answers of an operation.

    Args:
        model: Shape of the good answer.
        statuses: Of the refusals beyond those that every operation has.
    """
    return {status: {"model": model}, **refusals(401, 422, 503, *statuses)}


def sends_a_file(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of all answers of an operation whose good one is a file."""
    schema = {"type": "string", "format": "binary"}
    good = {"description": "the file", "content": {FILE: {"schema": schema}}}
    return {200: good, **refusals(401, 422, 503, *statuses)}


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """Return the description of a JSON body."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


def takes_a_file() -> dict[str, Any]:
    """Return the description of a body that is a file, whatever its type."""
    schema = {"type": "string", "format": "binary"}
    return {"requestBody": {"required": True, "content": {"*/*": {"schema": schema}}}}


def takes_rows() -> dict[str, Any]:
    """Return the description of a body that is a CSV file, or rows as JSON."""
    schema = {"$ref": "#/components/schemas/EarlierRows"}
    text = {"schema": {"type": "string"}, "example": "x1,x2,branin,currin\n0.1,0.2,24.1,8.5\n"}
    content = {CSV_TYPES[0]: text, "application/json": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


def takes_definition() -> dict[str, Any]:
    """Return the description of a body that is a campaign definition."""
    text = {"schema": {"type": "string"}, "example": EXAMPLE}
    schema = {"$ref": "#/components/schemas/Definition"}
    content = {"application/json": {"schema": schema}, "application/yaml": text}
    return {"requestBody": {"required": True, "content": content}}


EXAMPLE = """\
name: first-campaign
parameters:
  - {name: x1, type: continuous, bounds: [0, 1]}
  - {name: x2, type: continuous, bounds: [0, 1]}
objectives:
  - {name: branin, direction: minimize}
  - {name: currin, direction: minimize}
evaluator: {type: function, options: {name: branin_currin}}
optimizer: {budget: 30, seed: 1}
"""
