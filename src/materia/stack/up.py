"""Bring the whole stack up on a data folder and keep it up until told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from materia import log
from materia.compute.cluster.place import FILE, cluster_place
from materia.errors import ConflictError, MissingExtraError, TransientError
from materia.services import safety
from materia.services.flower import credentials
from materia.settings import Settings
from materia.stack import orphans, processes, state
from materia.stack.environment import absolute_places, environment, with_db
from materia.stack.folder import DataFolder, write_private
from materia.stack.ports import any_port, is_free, require_free_port
from materia.stack.processes import EmbeddedRedis
from materia.stack.redis import configuration
from materia.stack.supervisor import Supervisor

logger = log.logger(__name__)

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(
    settings: Settings,
    *,
    n_workers: int,
    has_ray: bool = False,
    has_flower: bool = False,
    on_change: Callable[[Settings, Supervisor], None],
) -> None:
    """Run the stack in the foreground; nothing of it is left when this returns.

    Args:
        settings: As the user gave them; what the folder decides is filled in.
        n_workers: Pool size of the general worker.
        has_ray: Start a Ray head too, and compute there.
        has_flower: Start Flower too.
        on_change: Called with the decided settings whenever anything changed.

    Raises:
        MateriaError: When the folder or a port cannot be had or a process does not start.
    """
    os.umask(0o077)
    settings = settings.model_copy(update=absolute_places(settings))
    folder = DataFolder(settings.data_dir)
    safety.require_safe(_without_embedded(settings))
    # What can be refused at once is, before anything is made.
    if settings.database.startswith("sqlite"):
        folder.refuse_network()
    if not folder.path.exists():
        require_free_port(settings.api_host, settings.api_port)
    folder.prepare()
    lock = folder.lock()
    try:
        _run_locked(settings, folder, n_workers, has_ray, has_flower, on_change)
    finally:
        os.close(lock)


def _without_embedded(settings: Settings) -> Settings:
    """Return the settings of others: what the stack makes for itself is private and strong."""
    if "broker_url" in settings.model_fields_set:
        return settings
    own = {"broker_url", "result_backend"} - settings.model_fields_set
    return settings.model_copy(update=dict.fromkeys(own, ""))


def _run_locked(
    settings: Settings,
    folder: DataFolder,
    n_workers: int,
    has_ray: bool,
    has_flower: bool,
    on_change: Callable[[Settings, Supervisor], None],
) -> None:
    before = state.last(folder)
    if "stack_id" in before:
        # Where children do not die with their parent by themselves, or escaped into another group.
        orphans.end(str(before["stack_id"]))
    require_free_port(settings.api_host, settings.api_port)
    redis = None if "broker_url" in settings.model_fields_set else _embedded_redis(folder, before)
    settings = settings.model_copy(update=_decided(settings, folder, redis))
    if has_ray:
        settings = settings.model_copy(update=_embedded_ray(settings, folder))
    elif settings.ray_address:
        _require_safe_cluster(settings)
    if has_flower:
        settings = settings.model_copy(update=_embedded_flower(settings, folder))
    stack_id = os.urandom(8).hex()
    specs = processes.table(
        settings,
        folder,
        env=environment(settings, stack_id),
        redis=redis,
        n_workers=n_workers,
        has_ray=has_ray,
        has_flower=has_flower,
    )

    def changed(supervisor: Supervisor) -> None:
        try:
            state.write(settings, supervisor, stack_id=stack_id, pid=os.getpid())
        except OSError as error:
            # A full disk must not stop what still works.
            logger.warning("state_not_written", reason=str(error))
        # Nor must a terminal that is gone.
        with suppress(OSError):
            on_change(settings, supervisor)

    supervisor = Supervisor(specs, logs=folder.logs, folder=folder.run, on_change=changed)
    changed(supervisor)
    try:
        asyncio.run(_until_stopped(supervisor))
    finally:
        orphans.end(stack_id)


async def _until_stopped(supervisor: Supervisor) -> None:
    stop = asyncio.Event()

    def ask() -> None:
        if stop.is_set():
            supervisor.hurry()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        # Under nohup a hang-up stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, ask)
    await supervisor.run(stop)


def _decided(settings: Settings, folder: DataFolder, redis: EmbeddedRedis | None) -> dict[str, Any]:
    """Return the settings that the folder decides: its own key, its own Redis."""
    values: dict[str, Any] = {}
    if settings.api_key is None or not settings.api_key.get_secret_value():
        values["api_key"] = SecretStr(folder.secret("api_key"))
    if redis:
        values["broker_url"] = redis.url(0)
    if "result_backend" not in settings.model_fields_set:
        values["result_backend"] = with_db(values.get("broker_url", settings.broker_url), 1)
    return values


def _embedded_redis(folder: DataFolder, before: dict[str, Any]) -> EmbeddedRedis:
    """Write the configuration of the embedded Redis; the port of last time when it is free."""
    last_port = urlsplit(str(before.get("broker_url") or "")).port
    port = last_port if last_port and is_free("127.0.0.1", last_port) else any_port()
    redis = EmbeddedRedis(port, folder.secret("redis_password"))
    text = configuration(folder.redis, redis.port, redis.password)
    write_private(folder.redis / "redis.conf", text)
    return redis


def _embedded_ray(settings: Settings, folder: DataFolder) -> dict[str, Any]:
    """Return the settings of a cluster of the stack's own.

    Raises:
        ConflictError: Another cluster is configured.
        MissingExtraError: Ray is not installed.
    """
    if settings.ray_address:
        raise ConflictError(
            f"--ray starts a Ray cluster, but {settings.ray_address} is configured already",
            "leave out --ray, or unset MATERIA_RAY_ADDRESS and RAY_ADDRESS",
        )
    if find_spec("ray") is None:
        raise MissingExtraError("ray", "materia up --ray")
    return {
        "ray_address": f"{FILE}{folder.ray_place}",
        "ray_token": SecretStr(folder.secret("ray_token")),
    }


def _embedded_flower(settings: Settings, folder: DataFolder) -> dict[str, Any]:
    """Return the settings of the stack's Flower, with a password of the folder's own.

    Raises:
        AccessError: One of user and password is set without the other.
        ConflictError: Its port is taken.
        MissingExtraError: Flower is not installed.
    """
    if find_spec("flower") is None:
        raise MissingExtraError("flower", "materia up --flower")
    if not is_free("127.0.0.1", settings.flower_port):
        raise ConflictError(
            f"port {settings.flower_port}, which Flower would listen on, is taken",
            "set FLOWER_PORT to a free one, or leave out --flower",
        )
    if credentials(settings) is not None:
        return {}
    password = SecretStr(folder.secret("flower_password"))
    return {"flower_user": "materia", "flower_password": password}


def _require_safe_cluster(settings: Settings) -> None:
    """Refuse a cluster that is wrongly configured; one that is down may come up later."""
    with suppress(TransientError):
        cluster_place(settings)
