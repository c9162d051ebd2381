"""The process table of `materia up`."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from materia.settings import QUEUES, Settings
from materia.stack import probes
from materia.stack.child import ProcessSpec
from materia.stack.environment import reachable
from materia.stack.folder import DataFolder
from materia.stack.redis import find_server

API_READY = "/api/v1/health/ready"


@dataclass(frozen=True, slots=True)
class EmbeddedRedis:
    """Where the stack's own Redis listens."""

    port: int
    password: str

    def url(self, db: int) -> str:
        """Return the URL of one of its databases."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/{db}"


def table(
    settings: Settings,
    folder: DataFolder,
    *,
    env: dict[str, str],
    redis: EmbeddedRedis | None,
    n_workers: int,
) -> list[ProcessSpec]:
    """Return every process of the stack; each names those that must be ready before it starts.

    Args:
        settings: Decided settings, places absolute.
        folder: The data folder, prepared.
        env: Environment of our own processes.
        redis: The embedded Redis, or None when the broker is somebody else's.
        n_workers: Pool size of the general worker.
    """
    python = sys.executable
    celery = (python, "-m", "celery", "-A", "materia.tasks")
    log_level = f"--loglevel={settings.log_level.lower()}"
    first = [_redis(folder, redis)] if redis else []
    first.append(
        ProcessSpec("migrate", (python, "-m", "materia.store.migrate"), env=env, is_one_shot=True)
    )
    after = tuple(spec.name for spec in first)
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    api = ProcessSpec(
        "api",
        (python, "-m", "materia.api"),
        env=env,
        ready=probes.http_ok(reachable(settings.api_host), settings.api_port, API_READY, key),
        after=after,
    )
    worker_ready = folder.run / "worker.ready"
    worker = ProcessSpec(
        "worker",
        (
            *(*celery, "worker", log_level, f"--concurrency={n_workers}", "-n", "general@%h"),
            *("-Q", ",".join((*QUEUES, "celery"))),
            # The only worker of a machine: looking for others would cost a second at each start.
            *("--without-gossip", "--without-mingle"),
            *("--include", "materia.stack.presence"),
        ),
        env={**env, "MATERIA_READY_FILE": str(worker_ready)},
        ready=probes.file_names(worker_ready),
        after=after,
        leaves=(worker_ready,),
    )
    beat_pid = folder.run / "scheduler.pid"
    scheduler = ProcessSpec(
        "scheduler",
        (*celery, "beat", log_level, f"--pidfile={beat_pid}"),
        env=env,
        ready=probes.file_names(beat_pid),
        after=after,
        leaves=(beat_pid,),
    )
    return [*first, api, worker, scheduler]


def _redis(folder: DataFolder, redis: EmbeddedRedis) -> ProcessSpec:
    return ProcessSpec(
        "redis",
        (str(find_server()), str(folder.redis / "redis.conf")),
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        ready=probes.redis_answers(redis.port, redis.password),
        stop_s=4.0,
    )
