"""Durable pings a second against raw Celery, side by side, from the same plain client.

    python benchmarks/jobs/throughput.py [--smoke] [--rounds N] [--jobs N]

Raw Celery runs with the same worker settings (late acknowledgement, prefetch 1, result backend, two
processes, the same queues) on the same Redis. Each round measures raw Celery, SQLite and PostgreSQL
one after the other, each alone with its worker; the figure is the median of the ratios in a round.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

from celery import Celery
from rich.progress import Progress

sys.path.insert(0, str(Path(__file__).parents[1]))

import record
import stand
from stand import PostgresServer, RedisServer

TASK = "tasks.simple_tasks.ping"
CONCURRENCY = 2


def measure(redis: RedisServer, n_jobs: int) -> dict[str, float]:
    """Return jobs a second end to end, and the round trip of single jobs in milliseconds."""
    client = Celery(broker=redis.url(0), backend=redis.url(1))
    for _ in range(20):
        client.send_task(TASK).get(timeout=60)
    started = time.perf_counter()
    answers = [client.send_task(TASK) for _ in range(n_jobs)]
    for answer in answers:
        answer.get(timeout=120)
    rate = n_jobs / (time.perf_counter() - started)
    trips = []
    for _ in range(200):
        before = time.perf_counter()
        client.send_task(TASK).get(timeout=60)
        trips.append(1e3 * (time.perf_counter() - before))
    client.close()
    quantiles = statistics.quantiles(trips, n=100)
    return {
        "jobs_per_s": rate,
        "round_trip_p50_ms": quantiles[49],
        "round_trip_p99_ms": quantiles[98],
    }


def setting(
    kind: str, folder: Path, redis: RedisServer, postgres: PostgresServer
) -> tuple[str, Path, dict[str, str]]:
    """Return the Celery app of a competitor, its folder and its environment."""
    if kind == "raw":
        urls = {"RAW_BROKER_URL": redis.url(0), "RAW_RESULT_BACKEND": redis.url(1)}
        return "raw_tasks", folder, urls
    url = postgres.create_database() if kind == "postgresql" else None
    return "materia.tasks", folder, stand.environment(folder, redis, url)


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--smoke", action="store_true", help="one short round, nothing recorded")
    chosen = parser.parse_args()
    rounds, n_jobs = (1, 200) if chosen.smoke else (chosen.rounds, chosen.jobs)
    results: dict[str, list[dict[str, float]]] = {"raw": [], "sqlite": [], "postgresql": []}
    with stand.servers() as (folder, redis, postgres), Progress() as progress:
        bar = progress.add_task("pings", total=rounds * len(results))
        for number in range(rounds):
            for kind, series in results.items():
                place = folder / f"{kind}-{number}"
                place.mkdir()
                with stand.worker(*setting(kind, place, redis, postgres), CONCURRENCY):
                    series.append(measure(redis, n_jobs))
                with redis.client() as connection:
                    connection.flushall()
                progress.advance(bar)
    summary = {
        kind: {
            "jobs_per_s": statistics.median(r["jobs_per_s"] for r in series),
            "round_trip_p50_ms": statistics.median(r["round_trip_p50_ms"] for r in series),
            "round_trip_p99_ms": statistics.median(r["round_trip_p99_ms"] for r in series),
            "ratio_to_raw": statistics.median(
                ours["jobs_per_s"] / raw["jobs_per_s"]
                for ours, raw in zip(series, results["raw"], strict=True)
            ),
        }
        for kind, series in results.items()
    }
    for kind, line in summary.items():
        trips = [f"{line[f'round_trip_{q}_ms']:.1f}" for q in ("p50", "p99")]
        print(
            f"{kind:11} {line['jobs_per_s']:7.0f} jobs/s   ratio {line['ratio_to_raw']:.2f}   "
            f"round trip p50 {trips[0]} ms, p99 {trips[1]} ms"
        )
    if not chosen.smoke:
        data = {"summary": summary, "rounds": results, "n_jobs": n_jobs, "concurrency": CONCURRENCY}
        print(record.write("jobs-throughput", data))


if __name__ == "__main__":
    main()
