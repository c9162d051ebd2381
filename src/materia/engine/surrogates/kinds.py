"""The table of surrogates."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import cast

from materia.engine.surrogates.model import Kind
from materia.errors import StateError

GROUP = "materia.surrogates"
BUILT_IN = {
    "gp": "materia.engine.surrogates.gp",
    "mlp_ensemble": "materia.engine.surrogates.mlp_ensemble",
    "random_forest": "materia.engine.surrogates.random_forest",
}
"""Name in the definition, and the module whose `KIND` it is."""


@lru_cache(maxsize=64)
def kind_of(name: str) -> Kind:
    """Return a kind of surrogate by its name in the definition.

    Raises:
        StateError: It is neither built in nor installed.
    """
    if name in BUILT_IN:
        return cast(Kind, import_module(BUILT_IN[name]).KIND)
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        raise StateError(
            f"the surrogate '{name}' is not installed",
            f"install the package that provides it, or use one of auto, {', '.join(BUILT_IN)}",
        )
    return cast(Kind, found[0].load())
