"""`materia keys …`: who may use a server. Asks the server, or goes to its database directly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from materia.cli.connection import AsJson, DataDir, Server, connect, print_json

HELP = """Keys of the API: create, list, revoke, and what was done with them.

A server is asked with an admin's key. On the machine of the database
--database works without any key, on the database of the settings.

\b
  materia keys create anna --scope write
  materia keys create anna-wall --scope read --owner anna --days 90
"""
app = typer.Typer(no_args_is_help=True, help=HELP)

MAX_DAYS = 3660
DIRECT = "go to the database of the settings, not to a server"
Database = Annotated[bool, typer.Option("--database", help=DIRECT)]


@contextmanager
def opened(is_direct: bool, server: str | None, data_dir: Path | None) -> Iterator[Any]:
    """Provide what can be done with keys: by a server, or by the database."""
    if is_direct:
        from materia.cli.keys_of_database import KeysOfDatabase

        yield KeysOfDatabase(data_dir)
        return
    with connect(server, data_dir) as client:
        yield client.keys


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="whose it is, or what it is for")],
    scope: Annotated[
        str,
        typer.Option(
            metavar="read|write|admin", help="what it may do; each includes the ones before"
        ),
    ] = "write",
    owner: Annotated[
        str | None, typer.Option(help="keys of one owner share their work [default: NAME]")
    ] = None,
    days: Annotated[
        float | None, typer.Option(min=0.001, max=MAX_DAYS, help="it expires after so many")
    ] = None,
    as_json: AsJson = False,
    database: Database = False,
    server: Server = None,
    data_dir: DataDir = None,
) -> None:
    """Make a key and print its secret, which is kept nowhere."""
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    with opened(database, server, data_dir) as keys:
        made = keys.create(name, scopes=[scope], owner=owner, expires_at=expires_at)
    if as_json:
        print_json(made)
        return
    from materia.cli import tables

    console = tables.stdout()
    console.print(f"key of {made['name']}, scope {', '.join(made['scopes'])}; shown this once:")
    console.print(made["key"], soft_wrap=True, markup=False)


@app.command("list")
def list_keys(
    limit: Annotated[int, typer.Option(min=1, max=200, help="at most so many")] = 100,
    as_json: AsJson = False,
    database: Database = False,
    server: Server = None,
    data_dir: DataDir = None,
) -> None:
    """List keys, the newest first; secrets are kept nowhere."""
    with opened(database, server, data_dir) as keys:
        page = keys.list(limit=limit)
    if as_json:
        print_json(page)
        return
    from materia.cli import tables

    console = tables.stdout()
    if not page["items"]:
        console.print("no keys; `materia keys create NAME` makes one")
        return
    rows = [
        (
            tables.shown_id(console, row["id"]),
            row["name"],
            row["prefix"],
            ", ".join(row["scopes"]),
            row["owner"],
            row["state"],
            tables.local_time(row["expires_at"]) or "never",
            tables.local_time(row["last_used_at"]) or "never",
        )
        for row in page["items"]
    ]
    headings = ("id", "name", "begins", "scopes", "owner", "state", "expires", "last used")
    console.print(tables.table_of(headings, rows))
    tables.more(console, page)


@app.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="its id, or the beginning of it")],
    as_json: AsJson = False,
    database: Database = False,
    server: Server = None,
    data_dir: DataDir = None,
) -> None:
    """Let a key open nothing from now on; it cannot be taken back."""
    from materia.cli import tables

    with opened(database, server, data_dir) as keys:
        found = tables.the_one("key", key, keys.list(limit=200)["items"])
        row = keys.revoke(found["id"])
    if as_json:
        print_json(row)
    else:
        tables.stdout().print(f"the key {row['name']!r} is revoked", markup=False)


@app.command()
def audit(
    refused: Annotated[bool, typer.Option("--refused", help="only what was refused")] = False,
    limit: Annotated[int, typer.Option(min=1, max=200, help="at most so many")] = 50,
    as_json: AsJson = False,
    database: Database = False,
    server: Server = None,
    data_dir: DataDir = None,
) -> None:
    """List who changed what, and what was refused, the newest first."""
    with opened(database, server, data_dir) as keys:
        page = keys.audit(refused=refused or None, limit=limit)
    if as_json:
        print_json(page)
        return
    from materia.cli import tables

    console = tables.stdout()
    if not page["items"]:
        console.print("nothing was changed or refused yet")
        return
    rows = [
        (
            tables.local_time(row["time"]),
            row["name"] or "-",
            row["address"] or "-",
            row["method"],
            row["path"],
            row["status"],
            row["refused"] or "",
        )
        for row in page["items"]
    ]
    headings = ("time", "key", "address", "method", "path", "status", "refused")
    console.print(tables.table_of(headings, rows))
    tables.more(console, page)
