"""What a job's process and its driver say to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from materia.compute.shared import Spans


@dataclass(frozen=True, slots=True)
class Connect:
    """Become the driver of a cluster."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Begin:
    """Get ready for a map; the descriptor of the shared object's file follows.

    Attributes:
        labels: Ids that lines of log carry on the cluster too.
    """

    key: str
    function: bytes
    spans: Spans
    memory_limit_bytes: int | None
    n_processes: int
    labels: dict[str, str]


@dataclass(frozen=True, slots=True)
class Compute:
    """Compute an item."""

    index: int
    content: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The map has ended, every item answered."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A process of the cluster is ready for items."""


@dataclass(frozen=True, slots=True)
class NotLoaded:
    """None of the processes of the cluster could load."""

    reason: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The pickled outcome of an item."""

    index: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """The process of an item has died, or its node."""

    index: int
    how: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """The driver cannot go on.

    Attributes:
        kind: Code of the error that the job gets.
    """

    kind: str
    message: str
    hint: str | None = None


Request: TypeAlias = Connect | Begin | Compute | End
Report: TypeAlias = Loaded | NotLoaded | Answered | Lost | Unusable
