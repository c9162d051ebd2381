"""Where heavy work runs: one map over items with progress, partial results, retry and cancel."""

from materia.compute.backend import backend
from materia.compute.outcomes import DIED, Done, Failed, MapItems, OnResult, Outcome, Progress
from materia.compute.processes import map_items
from materia.compute.seeds import seed_of

__all__ = [
    "DIED",
    "Done",
    "Failed",
    "MapItems",
    "OnResult",
    "Outcome",
    "Progress",
    "backend",
    "map_items",
    "seed_of",
]
