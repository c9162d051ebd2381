"""Campaign definitions as bodies of requests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from materia.errors import DefinitionError

Source = str | Path | Mapping[str, Any]

SUFFIXES = (".yaml", ".yml", ".json")


def body(definition: Source) -> tuple[bytes, str]:
    """Return a definition as bytes with their media type.

    Args:
        definition: Text in YAML or JSON, a path of a file with it, or the data itself. Text of one
            line that ends like the name of such a file is a path.
    """
    if isinstance(definition, Mapping):
        try:
            return json.dumps(definition, allow_nan=False).encode(), "application/json"
        except (TypeError, ValueError) as error:
            raise DefinitionError(f"the definition cannot be written as JSON: {error}") from error
    if isinstance(definition, str) and _is_path(definition):
        definition = Path(definition)
    if isinstance(definition, Path):
        # Loaded here: a client that sends no file needs no rules of definitions.
        from materia.mdl.files import read_file

        return read_file(definition), "application/yaml"
    return definition.encode(), "application/yaml"


def _is_path(text: str) -> bool:
    return "\n" not in text and text.lower().endswith(SUFFIXES)
