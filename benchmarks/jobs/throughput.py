"""Durable pings a second against raw Celery, side by side, from the same plain client.

    python benchmarks/jobs/throughput.py [--smoke] [--rounds N] [--jobs N]

Raw Celery runs with the same worker settings (late acknowledgement, prefetch 1, result backend, two
processes) on the same Redis. Each round measures raw Celery, SQLite and PostgreSQL one after the
other, each alone with its worker; the figure is the median of the ratios within a round.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]

from celery import Celery  # noqa: E402
from rich.progress import Progress  # noqa: E402

import record  # noqa: E402
from materia.store import migrate  # noqa: E402
from servers import PostgresServer, RedisServer, die_with_tests, wait_until  # noqa: E402

TASK = "tasks.simple_tasks.ping"
CONCURRENCY = 2
QUEUE = "celery"


@contextmanager
def worker(app: str, folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """Run a worker of an app as long as the block lasts."""
    log = folder / "worker.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "-A", app, "worker"),
                *("--concurrency", str(CONCURRENCY), "-Q", QUEUE, "--loglevel=info"),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
            ],
            env={**os.environ, **environment, "OMP_NUM_THREADS": "1"},
            cwd=Path(__file__).parent,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=die_with_tests(signal.SIGKILL),
        )
    try:
        wait_until(
            lambda: " ready." in log.read_text() or process.poll() is not None,
            "the worker is ready",
        )
        yield
    finally:
        process.terminate()
        process.wait(30)


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


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--smoke", action="store_true", help="one short round, nothing recorded")
    chosen = parser.parse_args()
    rounds, n_jobs = (1, 200) if chosen.smoke else (chosen.rounds, chosen.jobs)
    results: dict[str, list[dict[str, float]]] = {"raw": [], "sqlite": [], "postgresql": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        redis = RedisServer(folder / "redis")
        redis.start()
        postgres = PostgresServer()
        postgres.start()
        try:
            with Progress() as progress:
                bar = progress.add_task("pings", total=rounds * len(results))
                for number in range(rounds):
                    for kind, series in results.items():
                        place = folder / f"{kind}-{number}"
                        place.mkdir()
                        app, environment = setting(kind, place, redis, postgres)
                        with worker(app, place, environment):
                            series.append(measure(redis, n_jobs))
                        with redis.client() as connection:
                            connection.flushall()
                        progress.advance(bar)
        finally:
            postgres.remove()
            redis.kill()
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
        print(
            f"{kind:11} {line['jobs_per_s']:7.0f} jobs/s   ratio {line['ratio_to_raw']:.2f}   "
            f"round trip p50 {line['round_trip_p50_ms']:.1f} ms, p99 {line['round_trip_p99_ms']:.1f} ms"
        )
    if not chosen.smoke:
        data = {"summary": summary, "rounds": results, "n_jobs": n_jobs, "concurrency": CONCURRENCY}
        print(record.write("jobs-throughput", data))


def setting(
    kind: str, folder: Path, redis: RedisServer, postgres: PostgresServer
) -> tuple[str, dict[str, str]]:
    """Return the Celery app of a competitor and its environment."""
    if kind == "raw":
        return "raw_tasks", {"RAW_BROKER_URL": redis.url(0), "RAW_RESULT_BACKEND": redis.url(1)}
    url = f"sqlite:///{folder / 'materia.db'}" if kind == "sqlite" else postgres.create_database()
    migrate.upgrade(url)
    return "materia.tasks", {
        "MATERIA_DATA_DIR": str(folder / "data"),
        "MATERIA_DATABASE_URL": url,
        "MATERIA_BROKER_URL": redis.url(0),
        "MATERIA_RESULT_BACKEND": redis.url(1),
    }


if __name__ == "__main__":
    main()
