"""The stand of the benchmarks: real servers and workers, the same for every competitor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import httpx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

from materia.store import migrate  # noqa: E402
from servers import (  # noqa: E402
    PostgresServer,
    RedisServer,
    die_with_tests,
    free_port,
    wait_until,
)

__all__ = [
    "PostgresServer",
    "RedisServer",
    "api",
    "die_with_tests",
    "environment",
    "free_port",
    "scheduler",
    "servers",
    "wait_until",
    "worker",
]


def environment(folder: Path, redis: RedisServer, database_url: str | None) -> dict[str, str]:
    """Return the settings of MatCraft on a migrated database; SQLite when no URL is given."""
    url = database_url or f"sqlite:///{folder / 'materia.db'}"
    migrate.upgrade(url)
    return {
        "MATERIA_DATA_DIR": str(folder / "data"),
        "MATERIA_DATABASE_URL": url,
        "MATERIA_BROKER_URL": redis.url(0),
        "MATERIA_RESULT_BACKEND": redis.url(1),
    }


@contextmanager
def servers() -> Iterator[tuple[Path, RedisServer, PostgresServer]]:
    """Run a Redis and a PostgreSQL as long as the block lasts; yields a folder for the rest too."""
    with tempfile.TemporaryDirectory() as name:
        redis = RedisServer(Path(name) / "redis")
        redis.start()
        postgres = PostgresServer()
        postgres.start()
        try:
            yield Path(name), redis, postgres
        finally:
            postgres.remove()
            redis.kill()


@contextmanager
def worker(app: str, folder: Path, variables: dict[str, str], concurrency: int) -> Iterator[None]:
    """Run a worker of a Celery app as long as the block lasts."""
    arguments = ["worker", f"--concurrency={concurrency}", "--loglevel=info"]
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with _celery(app, folder / "worker.log", variables, [*arguments, *quiet]) as process:
        log = folder / "worker.log"
        wait_until(lambda: " ready." in log.read_text() or process.poll() is not None, "ready")
        yield


@contextmanager
def scheduler(folder: Path, variables: dict[str, str]) -> Iterator[None]:
    """Run a scheduler as long as the block lasts."""
    with _celery("materia.tasks", folder / "scheduler.log", variables, ["beat"]):
        yield


@contextmanager
def api(folder: Path, variables: dict[str, str]) -> Iterator[str]:
    """Run an API as long as the block lasts; yields its URL."""
    host = variables.get("MATERIA_API_HOST", "127.0.0.1")
    port = free_port(host)
    url, log = f"http://{host}:{port}", folder / "api.log"
    variables = {**variables, "MATERIA_API_PORT": str(port)}
    with _process(["materia.api"], log, variables) as process:

        def answers() -> bool:
            with suppress(httpx.TransportError):
                return httpx.get(f"{url}/api/v1/health/live").status_code == 200
            return process.poll() is not None

        wait_until(answers, "the API answers")
        yield url


def _celery(
    app: str, log: Path, variables: dict[str, str], arguments: list[str]
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    return _process(["celery", "-A", app, *arguments], log, variables)


@contextmanager
def _process(
    module: list[str], log: Path, variables: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            env={**os.environ, **variables, "OMP_NUM_THREADS": "1"},
            cwd=HERE / "jobs",
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=die_with_tests(signal.SIGKILL),
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)
