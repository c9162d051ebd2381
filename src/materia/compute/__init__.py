"""Where heavy work runs: one map over items with progress, partial results, retry and cancel."""

from materia.compute.backend import backend
from materia.compute.cluster.nodes import cluster_nodes
from materia.compute.cluster.place import is_clustered
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
    "cluster_nodes",
    "is_clustered",
    "map_items",
    "seed_of",
]
