"""Counters of what has happened, for Prometheus: one Redis hash, beside the streams.

They leave in the packet that publishes the events, so that counting costs no round trip, whichever
process counts. Redis that is emptied begins at zero again, which Prometheus expects of a counter;
what happens while it is away is not counted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from materia.events.models import Event, EventType

KEY = "materia:figures"
BOUNDS_S = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0)
"""Upper bounds of the buckets of durations; one more has none."""
FINAL = frozenset({"SUCCEEDED", "FAILED", "CANCELLED", "QUARANTINED"})

# First parts of the fields of the hash.
ENDED, RETRIES, CRASHES, EXPIRIES = "ended", "retries", "crashes", "expiries"
BUCKET, SUM, ITERATION = "bucket", "sum", "iteration"
REFILLED, LAG = "refilled", "lag"
SEPARATOR = "|"

_KEY = KEY.encode()


def name(*parts: object) -> str:
    """Return the field of the hash for a figure and its labels."""
    return SEPARATOR.join(map(str, parts))


def packed(events: Iterable[Event]) -> bytes:
    """Return, as Redis reads them, the commands that count events which have just been committed.

    Packed here, for each job pays for it: by the client they would cost five times as much.
    """
    counts: dict[str, int] = {}
    for event in events:
        data = event.data
        if event.type == EventType.JOB_STATE_CHANGED:
            state = data["state"]
            if state in FINAL:
                _observe(counts, data, f"{data['task']}|{state}")
            elif state == "RETRYING":
                _add(counts, name(RETRIES, data["task"]), 1)
        elif event.type == EventType.ITERATION_COMPLETED:
            _observe(counts, data, f"{ITERATION}|")
    return b"".join([addition(field_, n) for field_, n in counts.items()])


def addition(field_: str, n: int) -> bytes:
    """Return the packed command that adds to a counter."""
    which, value = field_.encode(), str(n).encode()
    return b"*4\r\n$7\r\nHINCRBY\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (
        len(_KEY),
        _KEY,
        len(which),
        which,
        len(value),
        value,
    )


def _add(counts: dict[str, int], field_: str, n: int) -> None:
    counts[field_] = counts.get(field_, 0) + n


def _observe(counts: dict[str, int], data: Mapping[str, Any], of: str) -> None:
    """Count an end, with its duration where one is told: a job may end before it was claimed."""
    duration_s = data.get("duration_s")
    if duration_s is None:
        _add(counts, f"{ENDED}|{of}", 1)
    else:
        _add(counts, f"{BUCKET}|{of}|{bisect_left(BOUNDS_S, duration_s)}", 1)
        _add(counts, f"{SUM}|{of}", int(duration_s * 1e6))


@dataclass(slots=True)
class Histogram:
    """Durations of one kind: how many in each bucket, and all together in seconds."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    total_s: float = 0.0


@dataclass(slots=True)
class Figures:
    """What the hash holds.

    Attributes:
        ended: Jobs by task and outcome.
        durations: Of jobs, from claim to end, by task and outcome.
        lag_s: Age of the oldest event that was not published at the scheduler's last look.
    """

    ended: dict[tuple[str, str], int] = field(default_factory=dict)
    durations: dict[tuple[str, str], Histogram] = field(default_factory=dict)
    iterations: Histogram = field(default_factory=Histogram)
    retries: dict[str, int] = field(default_factory=dict)
    crashes: dict[str, int] = field(default_factory=dict)
    expiries: int = 0
    refilled: int = 0
    lag_s: float | None = None


def read(found: Mapping[bytes, bytes]) -> Figures:
    """Return the figures of a hash as Redis returns it; what is not ours is passed over."""
    figures = Figures()
    for field_, value in found.items():
        kind, *labels = field_.decode().split(SEPARATOR)
        try:
            _take(figures, kind, labels, float(value))
        except (ValueError, IndexError):
            continue
    return figures


def _take(figures: Figures, kind: str, labels: list[str], value: float) -> None:
    if kind == ENDED:
        task, outcome = labels
        _ended(figures, task, outcome, int(value))
    elif kind == BUCKET:
        _histogram(figures, *labels[:2]).buckets[int(labels[2])] = int(value)
        if labels[0] != ITERATION:
            _ended(figures, labels[0], labels[1], int(value))
    elif kind == SUM:
        _histogram(figures, *labels).total_s = value / 1e6
    elif kind == RETRIES:
        figures.retries[labels[0]] = int(value)
    elif kind == CRASHES:
        figures.crashes[labels[0]] = int(value)
    elif kind == EXPIRIES:
        figures.expiries = int(value)
    elif kind == REFILLED:
        figures.refilled = int(value)
    elif kind == LAG:
        figures.lag_s = value


def _ended(figures: Figures, task: str, outcome: str, n: int) -> None:
    figures.ended[task, outcome] = figures.ended.get((task, outcome), 0) + n


def _histogram(figures: Figures, what: str, outcome: str) -> Histogram:
    if what == ITERATION:
        return figures.iterations
    return figures.durations.setdefault((what, outcome), Histogram())
