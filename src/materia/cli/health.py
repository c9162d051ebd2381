"""`materia health`: how every part of a server is, and why it is not well."""

from __future__ import annotations

from typing import Any

import typer
from rich.text import Text

from materia.cli.connection import Reach, of_server, print_json
from materia.cli.tables import COLOURS, local_time, stdout, table_of


@of_server
def health(reach: Reach, as_json: bool) -> None:
    """Show how every part of a server is; exit status 0 only when all are healthy."""
    with reach() as client:
        found = client.health()
    if as_json:
        print_json(found)
    else:
        _print(found)
    if found["status"] != "healthy":
        raise typer.Exit(1)


def _print(found: dict[str, Any]) -> None:
    console = stdout()
    status = found["status"]
    console.print(Text(f"{status} at {local_time(found['timestamp'])}", style=COLOURS[status]))
    console.print()
    rows = [
        (name, part["status"].replace("_", " "), "; ".join(part["reasons"]) or _said(name, part))
        for name, part in found["parts"].items()
    ]
    table = table_of(("part", "status", "found"), rows)
    for column in table.columns[2:]:
        column.no_wrap, column.overflow = False, "fold"
    console.print(table)
    queues = found["parts"].get("workers", {}).get("queues", {})
    if queues:
        console.print()
        lines = [
            (name, ", ".join(queue["workers"]) or "-", queue["overdue"], queue["canary"])
            for name, queue in queues.items()
        ]
        table = table_of(("queue", "workers", "overdue", "canary"), lines)
        for column in (table.columns[1], table.columns[3]):
            column.no_wrap, column.overflow = False, "fold"
        console.print(table)


def _said(name: str, part: dict[str, Any]) -> str:
    """Return what a healthy part has to tell."""
    if name == "workers":
        workers = part["workers"]
        processes = sum(worker["processes"] for worker in workers)
        return f"{len(workers)} alive, {processes} processes"
    if name == "cluster":
        if part["configured"] is None:
            return "not checked yet"
        return f"{len(part['nodes'])} nodes" if part["configured"] else "none is configured"
    if name == "disk":
        return f"{part['free_bytes'] / 1e9:.1f} GB free on {part['host']}"
    if name == "check":
        return f"last one at {local_time(part['checked_at'])}" if part["checked_at"] else "none yet"
    return ""
