"""`materia worker`: start a worker of some role here, or look at the workers of a server."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from materia.cli.connection import Reach, of_server, print_json
from materia.settings import QUEUES

app = typer.Typer(
    invoke_without_command=True,
    help="Start a worker here, in the foreground; or list the workers of a server.",
)


class Role(StrEnum):
    """What a worker is there for."""

    GENERAL = "general"
    GPU = "gpu"
    ML = "ml"
    DATA = "data"


# The queues of each role, and how many jobs it runs at a time; more in docs/workers.md.
ROLES: dict[Role, tuple[tuple[str, ...], int]] = {
    Role.GENERAL: (("high_priority", "default", "low_priority"), 4),
    Role.GPU: (("gpu_training",), 1),
    Role.ML: (("ml",), 2),
    Role.DATA: (("data",), 4),
}

# Where a running stack says that its workers find each of these.
PLACES = {
    "broker_url": "MATERIA_BROKER_URL",
    "result_backend": "MATERIA_RESULT_BACKEND",
    "database_url": "MATERIA_DATABASE_URL",
}


@app.callback()
def worker(
    context: typer.Context,
    role: Annotated[
        Role | None, typer.Option(help="queues of this role only [default: all queues]")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", "-c", min=1, max=1024, help="jobs at a time")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="such as gpu-2@%h, where %h is the host")
    ] = None,
    loglevel: Annotated[str, typer.Option(help="debug, info, warning or error")] = "info",
    data_dir: Annotated[
        Path | None,
        typer.Option(help="join the stack that `materia up` runs there [default: materia-data]"),
    ] = None,
) -> None:
    """Start a worker here, in the foreground; Ctrl-C lets its jobs finish for a while.

    It joins the broker and the database of the settings, or where none are set those of the stack
    that runs on the data folder. It is `celery -A materia.tasks worker` with the queues of a role.

    \b
    Examples:
      materia worker --role gpu
      materia worker --role ml --concurrency 8
      materia worker list
    """
    if context.invoked_subcommand is not None:
        return
    command = ["-A", "materia.tasks", "worker", *_options(role, concurrency, name, loglevel)]
    environment = {**os.environ, **_places(data_dir)}
    # A worker whose numerics take all cores for each of its jobs is slower than one with one each.
    environment.setdefault("OMP_NUM_THREADS", "1")
    environment.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.execve(sys.executable, [sys.executable, "-m", "celery", *command], environment)


def _options(
    role: Role | None, concurrency: int | None, name: str | None, loglevel: str
) -> list[str]:
    queues, n_processes = ROLES[role] if role is not None else (QUEUES, 4)
    # Several on one host need different names; process ids differ.
    named = name or f"{role or 'worker'}-{os.getpid()}@%h"
    options = [f"--concurrency={concurrency or n_processes}", f"--hostname={named}"]
    if role is not None:
        options.append(f"--queues={','.join(queues)}")
    return [*options, f"--loglevel={loglevel}"]


def _places(data_dir: Path | None) -> dict[str, str]:
    """Return the environment that makes a worker join a stack of this machine, where one runs.

    Raises:
        NotFoundError: None runs on the folder that was named.
    """
    from materia.errors import NotFoundError
    from materia.stack import state
    from materia.stack.environment import read_settings

    settings = read_settings(data_dir=data_dir)
    if data_dir is None and "broker_url" in settings.model_fields_set:
        return {}
    found = state.look(settings.data_dir)
    if not found["running"]:
        if data_dir is None:
            return {}
        raise NotFoundError(
            f"no stack runs on {found['data_dir']}",
            "`materia up` starts one; or set MATERIA_BROKER_URL and MATERIA_DATABASE_URL",
        )
    places = {name: str(found[key]) for key, name in PLACES.items() if found[key]}
    return {**places, "MATERIA_DATA_DIR": str(found["data_dir"])}


@app.command("list")
@of_server
def list_workers(
    reach: Reach,
    as_json: bool,
    state: Annotated[
        str | None, typer.Option(help="online, draining, offline or lost; the last two for a day")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="at most so many")] = 50,
) -> None:
    """List workers: where they run, which queues they take, what they do."""
    from materia.cli import tables

    with reach() as client:
        page = client.workers.list(state=state, limit=limit)
    if as_json:
        print_json(page)
        return
    console = tables.stdout()
    if not page["items"]:
        none = "no worker" if state is None else f"no worker is {state}"
        console.print(f"{none}; `materia up` or `materia worker` starts one", soft_wrap=True)
        return
    rows = [
        (
            worker["name"],
            worker["state"],
            worker["pid"] or "",
            f"{worker['running']} of {worker['concurrency']}",
            tables.local_time(worker["heartbeat_at"]),
            worker["device"] or "",
            ", ".join(worker["queues"]),
        )
        for worker in page["items"]
    ]
    headings = ("name", "state", "pid", "busy", "heard of", "device", "queues")
    console.print(tables.table_of(headings, rows))
    tables.more(console, page)
