"""What `materia doctor` looks at. A check says how it is and what to do; none changes anything."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from materia.compute.cluster.nodes import nodes_of
from materia.compute.cluster.place import cluster_place
from materia.errors import MateriaError
from materia.log import redact
from materia.outbound.addresses import is_loopback
from materia.services.safety import dangers
from materia.settings import QUEUES, Settings
from materia.stack.folder import NETWORK_FILE_SYSTEMS, file_system
from materia.stack.ports import is_free
from materia.stack.redis import find_server, server_version

EXTRAS = {
    "ase": "ase",
    "flower": "flower",
    "notify": "apprise",
    "postgres": "psycopg",
    "ray": "ray",
    "report": "matplotlib",
}
TIMEOUT_S = 3.0
# Always spent whole: how many workers will answer is not known.
INSPECT_S = 1.5
# A job that could be taken for so long is late.
LATE_S = 60.0
# What `failed jobs` looks at, and how much of a message it shows.
LATEST_JOBS = 200
MESSAGE_LENGTH = 300

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Check:
    """What a check found.

    Args:
        name: What was looked at.
        level: ok, warn (something will not work) or fail (nothing will).
        message: How it is.
        fix: What to do, when there is something to do.
    """

    name: str
    level: Level
    message: str
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """What is examined: settings as they are in effect, and the stack on the data folder.

    Args:
        settings: With the addresses of the running stack, if there is one.
        stack: As `materia.stack.state.look` returns it.
        has_own_broker: The broker was set and is not the embedded one.
    """

    settings: Settings
    stack: dict[str, Any]
    has_own_broker: bool


def examine(place: Place) -> Iterator[Check]:
    """Yield the outcome of every check, in order; a check that breaks has failed."""
    checks: dict[str, Callable[[Place], Iterator[Check]]] = {
        "python": python,
        "extras": extras,
        "redis server": redis_server,
        "data folder": data_folder,
        ".env": env_file,
        "production": production,
        "stack": stack,
        "port": port,
        "database": database,
        "broker": broker,
        "workers": workers,
        "scheduler": scheduler,
        "waiting jobs": waiting_jobs,
        "failed jobs": failed_jobs,
        "notifications": notifications,
        "cluster": cluster,
    }
    for name, check in checks.items():
        try:
            yield from check(place)
        except MateriaError as error:
            yield Check(name, "fail", redact(error.message), error.hint)
        except Exception as error:  # noqa: BLE001 - the others must be looked at too
            yield Check(name, "fail", redact(f"{type(error).__name__}: {error}"))


def python(_: Place) -> Iterator[Check]:
    """The interpreter."""
    where = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    is_known = sys.platform in ("linux", "darwin")
    yield Check("python", "ok" if is_known else "warn", f"{where}, {sys.executable}")


def extras(_: Place) -> Iterator[Check]:
    """Optional parts of the package."""
    for extra, module in EXTRAS.items():
        if find_spec(module):
            yield Check(f"extra {extra}", "ok", "installed")
        else:
            yield Check(
                f"extra {extra}", "warn", "not installed", f"pip install 'materia[{extra}]'"
            )


def redis_server(_: Place) -> Iterator[Check]:
    """The program of the embedded Redis."""
    program = find_server()
    version = ".".join(map(str, server_version(program) or ()))
    yield Check("redis server", "ok", f"{program} {version}")


def data_folder(place: Place) -> Iterator[Check]:
    """Whether the data folder can be written, is private and lies on a good disk."""
    name, path = "data folder", place.settings.data_dir
    existing = next(p for p in (path, *path.parents) if p.exists())
    other = "choose another folder with --data-dir or MATERIA_DATA_DIR"
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        yield Check(name, "fail", f"{existing} cannot be written", other)
        return
    kind = file_system(existing)
    if kind.startswith(NETWORK_FILE_SYSTEMS) and place.settings.database.startswith("sqlite"):
        yield Check(name, "fail", f"{path} lies on a network file system ({kind})", other)
        return
    free = shutil.disk_usage(existing).free
    if free < place.settings.low_disk_bytes:
        yield Check(name, "warn", f"only {free / 1e9:.1f} GB free at {existing}", "make room")
        return
    if existing != path:
        yield Check(name, "ok", f"{path} will be made by `materia up`")
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        yield Check(name, "warn", f"{path} is open to others ({mode:o})", f"chmod 700 {path}")
        return
    yield from _exposed(path)


def env_file(_: Place) -> Iterator[Check]:
    """Whether others may read the `.env` file."""
    path = Path(".env")
    if not path.exists():
        return
    if path.stat().st_mode & 0o077:
        yield Check(".env", "warn", f"others may read {path.absolute()}", "chmod 600 .env")
    else:
        yield Check(".env", "ok", f"{path.absolute()} is private")


def production(place: Place) -> Iterator[Check]:
    """Whether others may be let in: what refuses to start in production is a warning before."""
    level: Level = "fail" if place.settings.environment == "production" else "warn"
    settings = place.settings
    if not _has_broker(place):
        settings = settings.model_copy(update={"broker_url": "", "result_backend": ""})
    found = dangers(settings)
    for danger in found:
        yield Check("production", level, danger.what, danger.fix)
    if not found:
        yield Check("production", "ok", "no weak secret, no open Redis, no file for everybody")


def _exposed(path: Path) -> Iterator[Check]:
    private = [*path.glob("secrets/*"), path / "stack.json", path / "redis" / "redis.conf"]
    exposed = [p for p in private if p.exists() and p.stat().st_mode & 0o077]
    if exposed:
        names = " ".join(map(str, exposed))
        yield Check("data folder", "warn", f"others may read {names}", f"chmod 600 {names}")
    else:
        yield Check("data folder", "ok", f"{path}, private and writable")


def stack(place: Place) -> Iterator[Check]:
    """The stack on the data folder."""
    found = place.stack
    if not found["running"]:
        yield Check("stack", "warn", "no stack runs on the data folder", "start it: materia up")
        return
    states = ", ".join(f"{p['name']} {p['state']}" for p in found["processes"])
    where = f"pid {found['pid']} at {found['api_url']}: {states}"
    if found["ready"]:
        yield Check("stack", "ok", where)
    else:
        logs = place.settings.data_dir / "logs"
        yield Check("stack", "warn", f"not ready, {where}", f"wait, or see {logs}")


def port(place: Place) -> Iterator[Check]:
    """Whether the API's port is free or ours."""
    host, number = place.settings.api_host, place.settings.api_port
    if place.stack["running"]:
        yield Check("port", "ok", f"{number} is used by the running stack")
    elif is_free(host, number):
        yield Check("port", "ok", f"{number} is free")
    else:
        fix = f"choose another one: --port {number + 1} or MATERIA_API_PORT"
        yield Check("port", "fail", f"{number} of {host} is taken by another program", fix)


def database(place: Place) -> Iterator[Check]:
    """Whether the database answers and has the newest schema."""
    from materia.store import migrate

    url = place.settings.database
    if url.startswith("sqlite") and not Path(url.partition(":///")[2]).exists():
        yield Check("database", "ok", "SQLite, will be made by `materia up`")
        return
    if not url.startswith("sqlite"):
        url += f"{'&' if '?' in url else '?'}connect_timeout={TIMEOUT_S:.0f}"
    present, newest = migrate.versions(url)
    shown = redact(place.settings.database)
    if present == newest:
        yield Check("database", "ok", f"{shown} answers, schema {present}")
    else:
        fix = "materia up brings it up to date; or python -m materia.store.migrate"
        yield Check("database", "warn", f"{shown} has schema {present}, newest is {newest}", fix)


def broker(place: Place) -> Iterator[Check]:
    """Whether the broker answers and never throws messages away."""
    import redis

    if not _has_broker(place):
        yield Check("broker", "ok", "the embedded Redis, started by `materia up`")
        return
    shown = redact(place.settings.broker_url)
    fix = "check MATERIA_BROKER_URL and that Redis runs there"
    try:
        policy = _eviction_policy(place)
    except ValueError as error:
        fix = "write MATERIA_BROKER_URL as redis://:password@host:6379/0"
        yield Check("broker", "fail", f"{shown} is no address of a Redis: {error}", fix)
        return
    except redis.RedisError as error:
        yield Check("broker", "fail", f"{shown} does not answer: {error}", fix)
        return
    if policy == "noeviction":
        yield Check("broker", "ok", f"{shown} answers")
    else:
        fix = "set maxmemory-policy noeviction in its configuration"
        yield Check("broker", "warn", f"{shown} may drop messages ({policy})", fix)


def _eviction_policy(place: Place) -> str | None:
    """Ask the broker what it does when its memory is full; an error when it does not answer."""
    import redis

    with redis.Redis.from_url(
        place.settings.broker_url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
    ) as client:
        client.ping()
        return client.info("memory").get("maxmemory_policy")


def workers(place: Place) -> Iterator[Check]:
    """Which workers take each queue."""
    import redis
    from celery import Celery
    from kombu.exceptions import OperationalError

    if not _has_broker(place):
        yield Check("workers", "warn", "none without a running stack", "start it: materia up")
        return
    try:
        # First, for Celery waits for ever for a Redis that took the connection and hangs.
        _eviction_policy(place)
        with Celery(broker=place.settings.broker_url, set_as_current=False) as app:
            answers = app.control.inspect(timeout=INSPECT_S).active_queues() or {}
    except (OperationalError, redis.RedisError, ValueError):
        yield Check("workers", "fail", "not known, since the broker does not answer")
        return
    for queue in (*QUEUES, "celery"):
        served = [w for w, queues in answers.items() if queue in {q["name"] for q in queues}]
        if served:
            yield Check(f"queue {queue}", "ok", f"taken by {', '.join(sorted(served))}")
        else:
            fix = f"celery -A materia.tasks worker --queues={queue}"
            yield Check(f"queue {queue}", "warn", "no worker takes it", fix)


def scheduler(place: Place) -> Iterator[Check]:
    """Whether a scheduler leads: without one nothing is sent again and no schedule fires."""
    from materia.services.dispatch import LEADER
    from materia.store import leases

    if not (place.stack["running"] or place.has_own_broker) or not _has_schema(place):
        return
    with _reading(place) as (used, connection):
        led = leases.is_held(used, connection, LEADER)
    if led:
        yield Check("scheduler", "ok", "one leads")
    else:
        yield Check("scheduler", "fail", "none runs", "celery -A materia.tasks beat")


def waiting_jobs(place: Place) -> Iterator[Check]:
    """Whether jobs wait for longer than they should."""
    from materia.services.campaign_life import ROOT
    from materia.store import queues

    if not _has_schema(place):
        return
    with _reading(place) as (used, connection):
        rows = queues.depths(used, connection, without_step=ROOT)
    late = [row for row in rows if (row["oldest_s"] or 0) > LATE_S]
    for row in late:
        found = f"{row['n']} wait in {row['queue']}, the oldest for {row['oldest_s']:.0f} s"
        fix = "see the queues above; `materia job list --state RUNNING` shows what is being done"
        yield Check("waiting jobs", "warn", found, fix)
    if not late:
        n = sum(row["n"] for row in rows if row["state"] != "RUNNING")
        yield Check("waiting jobs", "ok", f"{n}, none for longer than {LATE_S:.0f} s")


def failed_jobs(place: Place) -> Iterator[Check]:
    """Which tasks failed more often than not among the latest jobs, and with what."""
    from materia.store import jobs

    if not _has_schema(place):
        return
    with _reading(place) as (_, connection):
        rows, _ = jobs.page(connection, limit=LATEST_JOBS)
    ended: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["state"] in ("SUCCEEDED", "FAILED", "QUARANTINED"):
            ended.setdefault(row["task"], []).append(row)
    has_failed = False
    for task, of_task in sorted(ended.items()):
        failed = [row for row in of_task if row["state"] != "SUCCEEDED"]
        if len(failed) * 2 <= len(of_task):
            continue
        has_failed = True
        last = failed[0]["error"] or {}
        found = f"{task}: {len(failed)} of the last {len(of_task)} failed, the last one with: "
        found += str(last.get("message", "no message"))[:MESSAGE_LENGTH]
        fix = last.get("hint") or f"materia job log {failed[0]['id']}"
        yield Check("failed jobs", "warn", redact(found), fix)
    if not has_failed:
        yield Check("failed jobs", "ok", f"no task fails mostly, of the last {len(rows)} jobs")


def _has_schema(place: Place) -> bool:
    """Tell whether there is a database to look into; `database` says what is wrong with it."""
    from materia.store import migrate

    url = place.settings.database
    if url.startswith("sqlite") and not Path(url.partition(":///")[2]).exists():
        return False
    present, newest = migrate.versions(url)
    return present == newest


@contextmanager
def _reading(place: Place) -> Iterator[tuple[Any, Any]]:
    from materia.store.database import Database

    used = Database(place.settings.database)
    try:
        with used.read() as connection:
            yield used, connection
    finally:
        used.close()


def notifications(place: Place) -> Iterator[Check]:
    """Whether the channels of notifications may be reached; nothing is sent."""
    from materia.outbound.delivery import deliver

    allow = place.settings.notify_allow_hosts.split(",")
    for channel, addresses in place.settings.channels.items():
        name = f"channel {channel}"
        attempts = deliver(addresses, "", allow=allow, sends=False)
        wrong = [f"{one.service}: {one.reason}" for one in attempts if one.state != "fine"]
        if wrong:
            fix = "see MATERIA_NOTIFY_CHANNELS, and MATERIA_NOTIFY_ALLOW_HOSTS for local hosts"
            yield Check(name, "fail", "; ".join(wrong), fix)
        else:
            yield Check(name, "ok", ", ".join(one.service for one in attempts))


def cluster(place: Place) -> Iterator[Check]:
    """Whether the Ray cluster answers, asks for a token, and has nodes."""
    if not place.settings.ray_address:
        yield Check("cluster", "ok", "none: computes in processes of this machine")
        return
    where = cluster_place(place.settings)
    nodes = nodes_of(where, TIMEOUT_S)
    alive = [node for node in nodes if node["alive"]]
    shown = f"{where.address}: {len(alive)} of {len(nodes)} nodes alive, "
    shown += f"{sum(node['cpus'] for node in alive):g} CPUs"
    if not alive:
        yield Check("cluster", "fail", shown, f"ray start --address={where.address}")
    elif where.token is None and not is_loopback(where.host):
        fix = "start its nodes with RAY_AUTH_MODE=token, and set MATERIA_RAY_TOKEN"
        yield Check("cluster", "warn", f"{shown}; anybody who reaches it can run code", fix)
    else:
        yield Check("cluster", "ok", shown)


def _has_broker(place: Place) -> bool:
    return place.has_own_broker or bool(place.stack["running"])
