"""The choice of where items are computed."""

from __future__ import annotations

from materia.compute import processes
from materia.compute.cluster import mapping
from materia.compute.cluster.place import is_clustered
from materia.compute.outcomes import MapItems
from materia.errors import DefinitionError

BACKENDS: dict[str, MapItems] = {"processes": processes.map_items, "ray": mapping.map_items}


def backend(name: str | None = None) -> MapItems:
    """Return the function that maps items over one kind of machine.

    `processes` are those of this machine, `ray` those of the cluster that the settings name. Both
    keep the same promises. Without a name it is the cluster wherever one is configured.

    Raises:
        DefinitionError: There is no backend of that name.
    """
    if name is None:
        name = "ray" if is_clustered() else "processes"
    if name not in BACKENDS:
        allowed = ", ".join(f"'{known}'" for known in BACKENDS)
        raise DefinitionError(f"there is no compute backend '{name}'", f"choose one of {allowed}")
    return BACKENDS[name]
