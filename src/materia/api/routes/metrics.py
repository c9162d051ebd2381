"""Metrics in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import PlainTextResponse, Response

from materia.api.documentation import refusals
from materia.api.scopes import READ
from materia.events.figures import BOUNDS_S, Figures, Histogram
from materia.services import figures
from materia.services.figures import Scrape
from materia.version import __version__

router = APIRouter(tags=["metrics"], dependencies=[READ])

TEXT = {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "figures"}


@router.get(
    "/metrics", response_class=PlainTextResponse, responses={200: TEXT, **refusals(401, 422)}
)
def metrics() -> Response:
    """Tell Prometheus how much waits, how long it takes, and who is alive."""
    registry = CollectorRegistry()
    registry.register(_Families(figures.scrape()))
    ProcessCollector(namespace="materia_api", registry=registry)
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Families:
    """The families of one scrape, as a collector."""

    def __init__(self, found: Scrape) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        """Yield every family."""
        yield InfoMetricFamily("materia_build", "Version.", {"version": __version__})
        yield from _parts(self._found)
        yield from _queues(self._found)
        if self._found.counters is not None:
            yield from _counters(self._found.counters)


def _gauge(name: str, text: str, values: dict[tuple[str, ...], float], *labels: str) -> Metric:
    family = GaugeMetricFamily(f"materia_{name}", text, labels=labels)
    for of, value in values.items():
        family.add_metric(of, value)
    return family


def _counter(name: str, text: str, values: dict[tuple[str, ...], float], *labels: str) -> Metric:
    family = CounterMetricFamily(f"materia_{name}", text, labels=labels)
    for of, value in values.items():
        family.add_metric(of, value)
    return family


def _parts(found: Scrape) -> Iterator[Metric]:
    up = {
        "database": found.queues is not None,
        "broker": found.messages is not None,
        "events": found.counters is not None,
        "scheduler": bool(found.has_leader),
    }
    values = {(part,): float(is_up) for part, is_up in up.items()}
    yield _gauge(
        "up", "Whether a part answers; of the scheduler, whether one leads.", values, "part"
    )
    campaigns = {(state,): float(n) for state, n in found.campaigns.items()}
    yield _gauge("campaigns", "Campaigns by state.", campaigns, "state")


def _queues(found: Scrape) -> Iterator[Metric]:
    if found.queues is not None:
        jobs = {(row["queue"], row["state"].lower()): row["n"] for row in found.queues}
        yield _gauge("queue_jobs", "Jobs that are not final.", jobs, "queue", "state")
        ages: dict[tuple[str, ...], float] = {}
        for row in found.queues:
            if row["oldest_s"] is not None:
                key = (row["queue"],)
                ages[key] = max(ages.get(key, 0.0), row["oldest_s"])
        text = "Age of the oldest job that could be taken."
        yield _gauge("queue_oldest_seconds", text, ages, "queue")
        yield from _workers(found)
    if found.messages is not None:
        messages = {(queue,): float(n) for queue, n in found.messages.items()}
        yield _gauge("queue_messages", "Messages that wait in Redis.", messages, "queue")
        aside = {(): float(found.n_put_aside or 0)}
        yield _gauge("messages_put_aside", "What lay in queues and was no message.", aside)


def _workers(found: Scrape) -> Iterator[Metric]:
    queues = {(row["queue"],): 0.0 for row in found.queues or ()}
    for worker in found.workers:
        for queue in worker["queues"]:
            queues[queue,] = queues.get((queue,), 0.0) + 1
    yield _gauge("queue_workers", "Workers alive that take a queue.", queues, "queue")
    yield _gauge("workers", "Workers alive.", {(): float(len(found.workers))})
    n_processes = float(sum(worker["n_processes"] for worker in found.workers))
    yield _gauge("worker_processes", "Jobs that may run at a time.", {(): n_processes})


def _counters(found: Figures) -> Iterator[Metric]:
    ended = {(task, outcome.lower()): float(n) for (task, outcome), n in found.ended.items()}
    yield _counter("jobs", "Jobs that ended.", ended, "task", "outcome")
    retries = {(task,): float(n) for task, n in found.retries.items()}
    yield _counter("job_retries", "Attempts to be made again.", retries, "task")
    crashes = {(task,): float(n) for task, n in found.crashes.items()}
    yield _counter("job_crashes", "Deaths of a job's own process.", crashes, "task")
    yield _counter("lease_expiries", "Claims that were abandoned.", {(): float(found.expiries)})
    text = "Events that the scheduler had to publish again."
    yield _counter("events_refilled", text, {(): float(found.refilled)})
    if found.lag_s is not None:
        text = "Age of the oldest event not published at the scheduler's last look."
        yield _gauge("event_lag_seconds", text, {(): found.lag_s})
    durations = HistogramMetricFamily(
        "materia_job_duration_seconds", "From claim to end.", labels=("task", "outcome")
    )
    for (task, outcome), histogram in found.durations.items():
        durations.add_metric((task, outcome.lower()), **_cumulated(histogram))
    yield durations
    iterations = HistogramMetricFamily(
        "materia_iteration_duration_seconds", "From the start of an iteration to its end."
    )
    iterations.add_metric((), **_cumulated(found.iterations))
    yield iterations


def _cumulated(histogram: Histogram) -> dict[str, Any]:
    bounds = (*map(str, BOUNDS_S), "+Inf")
    buckets = zip(bounds, accumulate(histogram.buckets), strict=True)
    return {"buckets": list(buckets), "sum_value": histogram.total_s}
