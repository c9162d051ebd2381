"""`materia.Campaign`: the engine's campaign, which also reads the files that a definition names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from materia import evaluators, settings
from materia.engine import campaign
from materia.mdl.definition import Definition


class Campaign(campaign.Campaign):
    """One optimisation campaign, in memory.

    Rows of a table of candidates and earlier data that a definition names are read when they are
    not given; a relative path starts at the folder of the definition, else at the working folder.
    """

    @classmethod
    def _beside_files(
        cls,
        definition: Definition,
        pool: Iterable[Mapping[str, Any]] | None,
        earlier: Iterable[Mapping[str, Any]] | None,
        base_dir: Path,
    ) -> campaign.Campaign:
        folder = base_dir.resolve()
        roots = (folder, *settings.current().allowed_roots)
        places: dict[str, Any] = {"data_roots": roots, "base_dir": folder}
        chosen = definition.evaluator is not None and definition.evaluator.type == "table"
        if pool is None and (definition.candidates is not None or chosen):
            pool = evaluators.pool_of(definition, **places)
        if earlier is None and (found := evaluators.earlier_of(definition, **places)) is not None:
            earlier = found.rows
        return cls.from_definition(definition, pool, earlier)
