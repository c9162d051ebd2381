"""The process table of `materia up`."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from materia.settings import Settings
from materia.stack import probes
from materia.stack.child import ProcessSpec
from materia.stack.environment import reachable
from materia.stack.folder import DataFolder
from materia.stack.orphans import MARK
from materia.stack.ray_head import n_cpus
from materia.stack.redis import find_server

API_READY = "/api/v1/health/ready"
FLOWER = "flower"


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
    has_ray: bool = False,
    has_flower: bool = False,
) -> list[ProcessSpec]:
    """Return every process of the stack; each names those that must be ready before it starts.

    Args:
        settings: Decided settings, places absolute.
        folder: The data folder, prepared.
        env: Environment of our own processes.
        redis: The embedded Redis, or None when the broker is somebody else's.
        n_workers: Pool size of the general worker.
        has_ray: A Ray head is part of the stack.
        has_flower: So is Flower.
    """
    python = sys.executable
    ours = [_redis(folder, redis, env[MARK])] if redis else []
    broker = tuple(spec.name for spec in ours)
    migrate = ProcessSpec(
        "migrate", (python, "-m", "materia.store.migrate"), env=env, is_one_shot=True
    )
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    api = ProcessSpec(
        "api",
        (python, "-m", "materia.api"),
        env=env,
        ready=probes.http_ok(reachable(settings.api_host), settings.api_port, API_READY, key),
        # It loads while the schema is made, and says itself that it is not ready until then.
        after=broker,
    )
    ray = [_ray(folder, env)] if has_ray else []
    worker_ready = folder.run / "worker.ready"
    worker = ProcessSpec(
        "worker",
        (python, "-m", "materia.stack.worker", str(n_workers), str(worker_ready)),
        env=env,
        ready=probes.file_names(worker_ready),
        after=(*broker, migrate.name, *(spec.name for spec in ray)),
        leaves=(worker_ready,),
    )
    beat_pid = folder.run / "scheduler.pid"
    scheduler = ProcessSpec(
        "scheduler",
        (python, "-m", "materia.stack.scheduler", str(beat_pid)),
        env=env,
        ready=probes.file_names(beat_pid),
        after=(*broker, migrate.name),
        leaves=(beat_pid,),
    )
    flower = [_flower(settings, env, broker)] if has_flower else []
    return [*ours, *ray, migrate, api, worker, scheduler, *flower]


def _flower(settings: Settings, env: dict[str, str], broker: tuple[str, ...]) -> ProcessSpec:
    host, port = "127.0.0.1", settings.flower_port
    program = (sys.executable, "-m", "celery", "-A", "materia.tasks", "flower")
    return ProcessSpec(
        FLOWER,
        (*program, f"--address={host}", f"--port={port}"),
        env=env,
        ready=probes.http_ok(host, port, "/healthcheck", ""),
        after=broker,
        stop_s=4.0,
    )


def _ray(folder: DataFolder, env: dict[str, str]) -> ProcessSpec:
    ready = folder.run / "ray.ready"
    program = (sys.executable, "-m", "materia.stack.ray_head")
    names = (
        "PATH",
        "HOME",
        "LANG",
        MARK,
        "MATERIA_RAY_TOKEN",
        "PYTHONSAFEPATH",
        "PYTHONUNBUFFERED",
    )
    return ProcessSpec(
        "ray",
        (*program, str(folder.ray_place), str(ready), str(n_cpus())),
        # Not the keys of database and broker: what runs on Ray needs none.
        env={name: env[name] for name in names if name in env},
        ready=probes.file_names(ready),
        stop_s=6.0,
        leaves=(ready,),
    )


def _redis(folder: DataFolder, redis: EmbeddedRedis, stack_id: str) -> ProcessSpec:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return ProcessSpec(
        "redis",
        (str(find_server()), str(folder.redis / "redis.conf")),
        env={**inherited, MARK: stack_id},
        ready=probes.redis_answers(redis.port, redis.password),
        stop_s=4.0,
    )
