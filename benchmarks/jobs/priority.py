"""How soon an urgent job starts while 10 000 others wait, beside raw Celery.

    python benchmarks/jobs/priority.py [--smoke] [--rounds N] [--waiting N] [--urgent N]

10 000 jobs of low priority, of 20 ms each, lie in the queue `low_priority` when a worker of two
processes starts on them. Meanwhile urgent ones come, one after another at random moments: half of
them in the queue `high_priority`, half in the same queue as the others with priority 9. What is
measured is the time from before the submission until the job's code starts. Raw Celery has the same
worker settings and says "urgent" as its Redis transport understands it, with priority 0.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery import Celery
from rich.progress import Progress

sys.path.insert(0, str(Path(__file__).parents[1]))

import record
import stand
from stand import RedisServer

CONCURRENCY = 2
LASTS_S = 0.02
# Between two urgent jobs, on average; so that the others are worked on meanwhile.
PAUSE_S = 0.1
QUEUES = ("high_priority", "low_priority")
KINDS = ("raw", "sqlite", "postgresql")
PROMISED_S = 5.0

Submit = Callable[[str], float]
"""Submits an urgent job into a queue, waits for it and returns when it started."""


def raw(folder: Path, redis: RedisServer, n_waiting: int) -> tuple[str, dict[str, str], Submit]:
    """Queue the others of raw Celery; returns its app, its environment and how to submit."""
    client = Celery(broker=redis.url(0), backend=redis.url(1))
    for _ in range(n_waiting):
        client.send_task(
            "tasks.test.work",
            ("sleep", LASTS_S),
            queue="low_priority",
            priority=9,
            ignore_result=True,
        )

    def submit(queue: str) -> float:
        return float(client.send_task("raw.started", queue=queue, priority=0).get(timeout=60))

    urls = {"RAW_BROKER_URL": redis.url(0), "RAW_RESULT_BACKEND": redis.url(1)}
    return "raw_tasks", urls, submit


def ours(
    folder: Path, redis: RedisServer, database_url: str | None, n_waiting: int
) -> tuple[str, dict[str, str], Submit]:
    """Queue the others of MatCraft; returns its app, its environment and how to submit."""
    from materia import settings
    from materia.broker.app import app
    from materia.services import jobs, submission
    from materia.services.submission import NewJob
    from materia.services.work import unit_of_work

    variables = {
        **stand.environment(folder, redis, database_url),
        "PYTHONPATH": str(stand.HERE.parent / "tests"),
        "MATERIA_CELERY_INCLUDE": '["job_bodies"]',
    }
    os.environ.update(variables)
    settings.current.cache_clear()
    app.conf.update(broker_url=redis.url(0), result_backend=redis.url(1))
    low = NewJob("tasks.test.work", args=("sleep", LASTS_S), queue="low_priority", priority=1)
    for first in range(0, n_waiting, 500):
        with unit_of_work() as work:
            submission.add(work, [low] * min(500, n_waiting - first))

    def submit(queue: str) -> float:
        job = submission.submit(NewJob("tasks.simple_tasks.ping", queue=queue, priority=9))
        stand.wait_until(lambda: jobs.get(job["id"])["started_at"], "the urgent job starts")
        return float(jobs.get(job["id"])["started_at"])

    return "materia.tasks", variables, submit


def measure(submit: Submit, n_urgent: int, seed: int) -> dict[str, list[float]]:
    """Return how long each urgent job waited, in seconds by queue."""
    chance = random.Random(seed)
    for queue in QUEUES:
        submit(queue)
    waits: dict[str, list[float]] = {queue: [] for queue in QUEUES}
    for number in range(n_urgent):
        time.sleep(chance.expovariate(1 / PAUSE_S))
        queue = QUEUES[number % 2]
        before = time.time()
        waits[queue].append(submit(queue) - before)
    return waits


def n_left(redis: RedisServer) -> int:
    """Return how many messages of others still wait."""
    with redis.client() as client:
        keys = list(client.scan_iter("low_priority*"))
        return sum(client.llen(key) for key in keys)


def main() -> int:
    """Measure, print and record; 1 where the promise does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--waiting", type=int, default=10_000)
    parser.add_argument("--urgent", type=int, default=100)
    parser.add_argument("--smoke", action="store_true", help="a short one, nothing recorded")
    chosen = parser.parse_args()
    if chosen.smoke:
        chosen.waiting, chosen.urgent = 1000, 10
    waits: dict[str, dict[str, list[float]]] = {
        kind: {queue: [] for queue in QUEUES} for kind in KINDS
    }
    left: list[int] = []
    with stand.servers() as (folder, redis, postgres), Progress() as progress:
        bar = progress.add_task("urgent jobs", total=chosen.rounds * len(KINDS))
        for number in range(chosen.rounds):
            for kind in KINDS:
                place = folder / f"{kind}-{number}"
                place.mkdir()
                if kind == "raw":
                    app, variables, submit = raw(place, redis, chosen.waiting)
                else:
                    url = postgres.create_database() if kind == "postgresql" else None
                    app, variables, submit = ours(place, redis, url, chosen.waiting)
                with stand.worker(app, place, variables, CONCURRENCY):
                    for queue, found in measure(submit, chosen.urgent, number).items():
                        waits[kind][queue] += found
                    left.append(n_left(redis))
                with redis.client() as connection:
                    connection.flushall()
                progress.advance(bar)
    summary: dict[str, Any] = {
        kind: {queue: record.spread(found) for queue, found in by_queue.items()}
        for kind, by_queue in waits.items()
    }
    for kind, by_queue in summary.items():
        for queue, line in by_queue.items():
            print(
                f"{kind:11} {queue:14} p50 {line['p50_s']:.3f}  p95 {line['p95_s']:.3f}  "
                f"max {line['max_s']:.3f} s"
            )
    print(f"at least {min(left)} of {chosen.waiting} still waited at the end of each series")
    if not chosen.smoke:
        data = {
            "summary": summary,
            "n_waiting": chosen.waiting,
            "least_left": min(left),
            "each_lasts_s": LASTS_S,
            "concurrency": CONCURRENCY,
            "promised_p95_s": PROMISED_S,
        }
        print(record.write("jobs-priority", data))
    worst = max(line["p95_s"] for kind in KINDS[1:] for line in summary[kind].values())
    return int(worst >= PROMISED_S or min(left) == 0)


if __name__ == "__main__":
    sys.exit(main())
