"""`materia status`: is a stack running on a data folder, and where is it?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from materia.log import redact
from materia.stack import state
from materia.stack.environment import read_settings

# Of the server, which may be busy; workers beyond so many are in `materia worker list`.
TIMEOUT_S = 2.0
LISTED = 20


def status(
    data_dir: Annotated[
        Path | None, typer.Option(help="folder given to `materia up` [default: materia-data]")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="one JSON object, secrets included, for scripts")
    ] = False,
) -> None:
    """Show where a stack listens and how its processes are; exit status 1 when none runs."""
    found = state.look(read_settings(data_dir=data_dir).data_dir)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        _print(found)
    if not found["running"]:
        raise typer.Exit(1)


def _print(found: dict[str, Any]) -> None:
    from materia.cli.tables import stdout

    console = stdout()
    if not found["running"]:
        console.print(
            f"no stack runs on {found['data_dir']}; start one with `materia up`,"
            " or name another folder with --data-dir",
            markup=False,
            soft_wrap=True,
        )
        return
    console.print("ready" if found["ready"] else "not ready yet")
    for key in state.KEYS[1:]:
        console.print(f"{key:16}{redact({key: found[key]})[key]}", markup=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for column in ("process", "state", "pid", "restarts"):
        table.add_column(column)
    for process in found["processes"]:
        table.add_row(*(str(process[k] or "") for k in ("name", "state", "pid", "restarts")))
    console.print(table)
    if found["ready"]:
        _print_workers(console, found)


def _print_workers(console: Console, found: dict[str, Any]) -> None:
    """Print which workers are alive; a server that does not answer just now is left out."""
    from materia.cli.tables import table_of
    from materia.client import Client
    from materia.errors import MateriaError

    try:
        with Client(found["api_url"], found["api_key"], timeout_s=TIMEOUT_S) as client:
            workers = client.workers.list(limit=LISTED)["items"]
    except MateriaError:
        return
    living = [worker for worker in workers if worker["state"] in ("online", "draining")]
    rows = [
        (w["name"], w["state"], f"{w['running']} of {w['concurrency']}", ", ".join(w["queues"]))
        for w in living
    ]
    console.print()
    console.print(table_of(("worker", "state", "busy", "queues"), rows))
