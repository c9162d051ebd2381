"""The choice of where items are computed."""

from __future__ import annotations

from materia.compute import processes
from materia.compute.outcomes import MapItems
from materia.errors import DefinitionError

BACKENDS: dict[str, MapItems] = {"processes": processes.map_items}


def backend(name: str = "processes") -> MapItems:
    """Return the function that maps items over one kind of machine.

    `processes` are those of this machine. A cluster (Ray) enters here under a name of its own with
    the same arguments and promises: `n_processes` tasks in flight, `shared` put into the object
    store once, a lost node counted as a process that died.

    Raises:
        DefinitionError: There is no backend of that name.
    """
    if name not in BACKENDS:
        allowed = ", ".join(f"'{known}'" for known in BACKENDS)
        raise DefinitionError(f"there is no compute backend '{name}'", f"choose one of {allowed}")
    return BACKENDS[name]
