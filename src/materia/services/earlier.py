"""Earlier measurements of a campaign: fixed when it starts, the same whoever reads them later.

The file is copied into the artifact folder under the hash of its content, so that it may be edited
or moved while the campaign runs. Evaluators are imported where they are needed: a process that only
sends messages stays small.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from materia import settings
from materia.errors import DataError
from materia.mdl import Definition
from materia.mdl.definition import WarmStart

Rows = list[dict[str, Any]]


def pin(
    definition: Definition, *, data_roots: Sequence[Path], base_dir: Path | None = None
) -> Definition:
    """Return the definition with the content of every file that it begins with named."""
    from materia import evaluators

    pinned = evaluators.pin(definition, data_roots=data_roots, base_dir=base_dir)
    choice = pinned.warm_start
    earlier = evaluators.earlier_of(pinned, data_roots=data_roots, base_dir=base_dir)
    if choice is None or earlier is None:
        return pinned
    named = choice.model_copy(update={"sha256": earlier.sha256})
    return pinned.model_copy(update={"warm_start": named})


def keep(definition: Definition) -> None:
    """Copy the earlier data of a pinned definition to where every worker finds them."""
    choice = definition.warm_start
    if choice is None or choice.sha256 is None:
        return
    from materia.evaluators.places import Places
    from materia.report.files import write_whole

    copy = _copy(choice)
    if not copy.exists():
        content = Places.of(settings.current().allowed_roots).find(choice.dataset).read_bytes()
        if hashlib.sha256(content).hexdigest() != choice.sha256:
            raise DataError(f"'{choice.dataset}' has just been changed", "start the campaign again")
        write_whole(copy, content)


def rows_of(definition: dict[str, Any]) -> Rows:
    """Return the rows that a campaign began with, in the order of the file.

    Args:
        definition: As the campaign's row holds it.

    Raises:
        MateriaError: The copy is gone, and the file is no longer the same.
    """
    if not definition.get("warm_start"):
        return []
    return _rows(Definition.model_validate(definition).model_dump_json())


@lru_cache(maxsize=8)
def _rows(definition: str) -> Rows:
    from materia.evaluators import warm_start
    from materia.evaluators.places import Places

    read = Definition.model_validate_json(definition)
    assert read.warm_start is not None
    copy = _copy(read.warm_start)
    if copy.exists():
        return warm_start.read_file(read, copy).rows
    return warm_start.read(read, Places.of(settings.current().allowed_roots)).rows


def _copy(choice: WarmStart) -> Path:
    suffix = ".parquet" if choice.dataset.lower().endswith(".parquet") else ".csv"
    return settings.current().artifact_dir / "datasets" / f"{choice.sha256}{suffix}"
