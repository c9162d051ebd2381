"""What Prometheus scrapes: from the API, and from workers and schedulers on ports of their own."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

from campaigns_under_test import branin_currin
from fixtures import only_sqlite
from materia.errors import TransientError
from materia.events import stream
from materia.services import dispatch, execution, figures, workers
from materia.services.dispatch import LEADER, Dispatcher
from materia.services.execution import Claimant
from materia.services.submission import NewJob, submit
from materia.store import leases, queues
from materia.store.database import database, driver_of
from materia.store.tables import jobs
from servers import RedisServer, free_port, wait_until
from serving import BASE, in_process
from workers import Cluster

PING = "tasks.simple_tasks.ping"
WORKER = Claimant(boot="boot-1", worker="w@host")
Samples = dict[tuple[str, ...], float]


def scraped() -> Samples:
    """Return every sample of the API by its name and the values of its labels, in their order."""
    with in_process() as client:
        answer = client.get(f"{BASE}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return samples(answer.text)


def samples(text: str) -> Samples:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def run(body: Callable[[], Any]) -> str:
    """Submit a job, run it with a body and return its id."""
    job_id = submit(NewJob(PING))["id"]
    with suppress(ValueError, TransientError):
        execution.run(execution.claim(job_id, WORKER), body, (), {}, KeyboardInterrupt)
    return job_id


def fail(error: Exception) -> Callable[[], Any]:
    def body() -> None:
        raise error

    return body


@pytest.mark.usefixtures("backends")
def test_jobs_are_counted_once_by_task_and_outcome() -> None:
    for _ in range(3):
        run(lambda: "pong")
    run(fail(ValueError("cold")))
    run(fail(TransientError("not yet")))
    # Published again, as the scheduler does with what Redis lacks, nothing counts twice.
    with stream.connection() as client:
        client.delete(*client.keys("materia:events:*"))
    dispatch.refill_events()

    found = scraped()
    assert found["materia_jobs_total", "succeeded", PING] == 3
    assert found["materia_jobs_total", "failed", PING] == 1
    assert found["materia_job_retries_total", PING] == 1
    assert found["materia_job_duration_seconds_count", "succeeded", PING] == 3
    assert found["materia_job_duration_seconds_bucket", "3600.0", "succeeded", PING] == 3
    assert 0 <= found["materia_job_duration_seconds_sum", "succeeded", PING] < 3600
    assert found["materia_events_refilled_total",] > 0
    assert found["materia_event_lag_seconds",] >= 0


@pytest.mark.usefixtures("backends")
def test_queues_show_their_depth_and_the_age_of_the_oldest() -> None:
    ids = [submit(NewJob(PING, queue="ml"))["id"] for _ in range(3)]
    later = submit(NewJob(PING, queue="ml"))["id"]
    with database().write() as connection:
        past = {"queued_at": jobs.c.queued_at - 1000}
        connection.execute(update(jobs).where(jobs.c.id == ids[0]).values(past))
        # A retry that is not yet due waits for nobody.
        hidden = {"queued_at": jobs.c.queued_at - 9000, "run_at": 32_503_680_000.0}
        connection.execute(update(jobs).where(jobs.c.id == later).values(hidden))
        leases.acquire(database(), connection, LEADER, "test", 600.0)
    execution.claim(ids[1], WORKER)
    workers.seen("b", "ml@lab", ["ml", "default"], 2)

    found = scraped()
    assert found["materia_queue_jobs", "ml", "queued"] == 3
    assert found["materia_queue_jobs", "ml", "running"] == 1
    assert 1000 <= found["materia_queue_oldest_seconds", "ml"] < 2000
    assert found["materia_queue_messages", "ml"] == 4
    assert found["materia_queue_workers", "ml"] == 1
    assert (found["materia_workers",], found["materia_worker_processes",]) == (1, 2)
    parts = ("database", "broker", "events", "scheduler")
    assert {part: found["materia_up", part] for part in parts} == dict.fromkeys(parts, 1)


@pytest.mark.usefixtures("backends")
def test_crashes_quarantines_and_abandoned_claims_are_counted() -> None:
    job_id = submit(NewJob(PING))["id"]
    for _ in range(3):
        execution.crashed(execution.claim(job_id, WORKER).row, "killed by signal 9")
    abandoned = submit(NewJob(PING))["id"]
    execution.claim(abandoned, WORKER)
    with database().write() as connection:
        connection.execute(update(jobs).where(jobs.c.id == abandoned).values(lease_until=1.0))
    assert dispatch.reap() == 1

    found = scraped()
    assert found["materia_job_crashes_total", PING] == 3
    assert found["materia_jobs_total", "quarantined", PING] == 1
    assert found["materia_lease_expiries_total",] == 1


@only_sqlite
def test_without_redis_the_rest_is_shown(
    redis_backed: Callable[[RedisServer], dict[str, str]], start_redis: Callable[[], RedisServer]
) -> None:
    server = start_redis()
    redis_backed(server)
    submit(NewJob(PING))
    server.kill()
    found = scraped()
    assert (found["materia_up", "database"], found["materia_up", "broker"]) == (1, 0)
    assert found["materia_queue_jobs", "default", "queued"] == 1


@only_sqlite
@pytest.mark.usefixtures("backends")
def test_a_scrape_looks_at_open_jobs_only() -> None:
    plans: list[str] = []
    with database().read() as connection:
        driver: sqlite3.Connection = driver_of(connection)
        statements: list[str] = []
        driver.set_trace_callback(statements.append)
        queues.depths(database(), connection, without_step="root")
        driver.set_trace_callback(None)
        for statement in statements:
            plans += [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}")]
    assert any("ix_jobs_open" in plan for plan in plans), plans


@only_sqlite
def test_workers_and_schedulers_show_their_process_on_a_port(cluster: Cluster) -> None:
    ports = {"worker": free_port(), "scheduler": free_port()}

    def shown(kind: str) -> Samples:
        try:
            return samples(httpx.get(f"http://127.0.0.1:{ports[kind]}/metrics").text)
        except httpx.TransportError:
            return {}

    cluster.environment["MATERIA_METRICS_PORT"] = str(ports["worker"])
    cluster.worker(concurrency=2)
    # A second one on the host finds the port taken, says so, and works all the same.
    second = cluster.worker(concurrency=1)
    assert "figures_not_served" in second.text()
    cluster.environment["MATERIA_METRICS_PORT"] = str(ports["scheduler"])
    cluster.scheduler()
    wait_until(lambda: shown("scheduler"), "the scheduler shows its figures")
    found = shown("worker")
    assert found["materia_worker_children",] == 2
    assert found["materia_worker_process_resident_memory_bytes",] > 1e6
    assert shown("scheduler")["materia_scheduler_last_look_seconds",] > 1e9


@pytest.mark.usefixtures("backends")
def test_the_scheduler_tells_how_late_events_were() -> None:
    Dispatcher().tick()
    counters = figures.scrape().counters
    assert counters is not None
    assert counters.lag_s == 0.0


@only_sqlite
def test_the_logs_of_api_and_worker_carry_the_ids_of_a_job(cluster: Cluster) -> None:
    with in_process() as client, structlog.testing.capture_logs() as logged:
        sent = client.post(f"{BASE}/campaigns/run", json=branin_currin()).json()
    (line,) = [line for line in logged if line["event"] == "accepted"]
    assert (line["job_id"], line["campaign_id"]) == (sent["task_id"], sent["campaign_id"])

    of_campaign = {"campaign_id": sent["campaign_id"], "step": "other"}
    job_id = submit(NewJob("tasks.test.progress", args=[1, 0.0], **of_campaign))["id"]
    worker = cluster.worker(concurrency=1)
    assert cluster.wait(job_id)["state"] == "SUCCEEDED"
    lines = [json.loads(line) for line in worker.text().splitlines() if line.startswith("{")]
    # Logged by the body itself, through Python's own logging.
    (line,) = [line for line in lines if line["event"] == "at part 0"]
    assert (line["job_id"], line["campaign_id"]) == (job_id, sent["campaign_id"])
