"""What a definition can begin with and choose from."""

from __future__ import annotations

from typing import Any

from materia.errors import StateError
from materia.mdl import templates as definitions


def templates() -> list[dict[str, Any]]:
    """Return every template with its text."""
    return [one.as_dict() for one in definitions.all_templates().values()]


def template(name: str) -> dict[str, Any]:
    """Return one template.

    Raises:
        NotFoundError: There is none of that name.
    """
    return definitions.template(name).as_dict()


def evaluators() -> list[dict[str, Any]]:
    """Return every evaluator; see `evaluator`."""
    # Loads numerics, which the API starts without.
    from materia import evaluators as black_boxes

    return [evaluator(type_) for type_ in black_boxes.known()]


def evaluator(type_: str) -> dict[str, Any]:
    """Return what an evaluator is for, the JSON schema of its options, and why it cannot be used.

    Raises:
        NotFoundError: There is none of that type.
    """
    from materia import evaluators as black_boxes

    missing = black_boxes.missing_extra(type_)
    found: dict[str, Any] = {"type": type_, "summary": None, "options": None, "unusable": None}
    if missing is not None:
        return {**found, "unusable": f"{missing.message}: {missing.hint}"}
    try:
        kind = black_boxes.kind_of(type_)
    except StateError as error:
        return {**found, "unusable": error.message}
    summary = (kind.__doc__ or "").strip().partition("\n")[0] or None
    return {**found, "summary": summary, "options": kind.options_model.model_json_schema()}
