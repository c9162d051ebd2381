"""Check a definition: every finding at once, with its place and a fix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from materia.mdl.definition import Definition
from materia.mdl.finding import Finding, as_error

__all__ = ["Finding", "check", "load"]

Source = str | bytes | Mapping[str, Any]


def check(source: Source) -> tuple[Definition | None, list[Finding]]:
    """Return the definition, or None when it has errors, and all findings in order of lines."""
    if isinstance(source, str | bytes):
        try:
            source = yaml.safe_load(source)
        except yaml.YAMLError as error:
            return None, [Finding("error", "", None, f"this is not valid YAML: {error}")]
    try:
        return Definition.model_validate(source), []
    except ValidationError as error:
        return None, [
            Finding("error", ".".join(map(str, item["loc"])), None, item["msg"])
            for item in error.errors()
        ]


def load(source: Source) -> Definition:
    """Return the definition of `source`.

    Raises:
        DefinitionError: It has errors; `findings` holds all of them, warnings included.
    """
    definition, findings = check(source)
    if definition is None:
        raise as_error(findings)
    return definition
