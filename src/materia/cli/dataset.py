"""`materia dataset …`: tables that tasks of a server may read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from materia.cli.connection import Reach, of_server, print_json

app = typer.Typer(
    no_args_is_help=True, help="Look at the tables that tasks may read; send and delete some."
)

Delimiter = Annotated[str, typer.Option(help="between the cells of CSV files")]


@app.command("list")
@of_server
def list_datasets(
    reach: Reach,
    as_json: bool,
    limit: Annotated[int, typer.Option(min=1, max=200, help="at most so many")] = 100,
) -> None:
    """List tables below the data root, by path; parts of one table are one line."""
    from materia.cli import tables

    with reach() as client:
        page = client.datasets.list(limit=limit)
    if as_json:
        print_json(page)
        return
    console = tables.stdout()
    if not page["items"]:
        none = "there is no table below the data root; `materia dataset add FILE` sends one there"
        console.print(none, soft_wrap=True)
        return
    rows = [
        (
            d["path"],
            d["kind"],
            d["n_files"],
            _known(d["rows"]),
            _known(d["n_columns"]),
            types(d),
            size(d["size_bytes"]),
            tables.local_time(d["changed_at"]),
        )
        for d in page["items"]
    ]
    headings = ("path", "kind", "files", "rows", "columns", "types", "size", "changed")
    console.print(tables.table_of(headings, rows))
    if any(d["n_columns"] is None for d in page["items"]):
        console.print("?: not looked into yet; `materia dataset show PATH` does", style="dim")
    tables.more(console, page, "further")


@app.command()
@of_server
def show(
    reach: Reach,
    as_json: bool,
    dataset: Annotated[
        str, typer.Argument(metavar="PATH", help="as `materia dataset list` has it")
    ],
    delimiter: Delimiter = ",",
) -> None:
    """Show what is in a table: columns and types, rows, and what would be learnt from it."""
    with reach() as client:
        _told(client.datasets.get(dataset, delimiter=delimiter), as_json)


@app.command()
@of_server
def add(
    reach: Reach,
    as_json: bool,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, gzipped CSV or Parquet")],
    path: Annotated[
        str | None,
        typer.Option("--as", metavar="PATH", help="below the data root [default: its name]"),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="the dataset of this path, if there is one")
    ] = False,
    delimiter: Delimiter = ",",
) -> None:
    """Send a table of this machine to the server, and show what is in it.

    It appears on the server whole or not at all, and only if it is a table.

    \b
    Examples:
      materia dataset add alloys.csv
      materia dataset add alloys.csv --as 2026/alloys.csv --replace
    """
    with reach() as client:
        found = client.datasets.upload(file, path, replace=replace, delimiter=delimiter)
        _told(found, as_json)


@app.command()
@of_server
def delete(
    reach: Reach,
    as_json: bool,
    dataset: Annotated[
        str, typer.Argument(metavar="PATH", help="as `materia dataset list` has it")
    ],
) -> None:
    """Delete a table that was sent to the server; one that something needs stays.

    Files that were copied below the data root are their owner's, and stay too.
    """
    with reach() as client:
        deleted = client.datasets.delete(dataset)
    if as_json:
        print_json(deleted)
        return
    typer.echo(f"{deleted['path']} is deleted")


def types(found: dict[str, Any]) -> str:
    """Return how many columns of a dataset are of each type."""
    return ", ".join(f"{n} {name}" for name, n in (found["types"] or {}).items())


def _known(count: int | None) -> int | str:
    return "?" if count is None else count


def _told(found: dict[str, Any], as_json: bool) -> None:
    from materia.cli import tables

    if as_json:
        print_json(found)
        return
    learning = found["learning"]
    counted = "not counted, the table is large" if found["rows"] is None else found["rows"]
    console = tables.stdout()
    tables.details(
        console,
        {
            "path": found["path"],
            "kind": f"{found['kind']} ({found['n_files']} files)",
            "size": size(found["size_bytes"]),
            "changed": tables.local_time(found["changed_at"]),
            "rows": counted,
            "columns": f"{found['n_columns']} ({types(found)})",
            "rejected": found["rows_rejected"] or None,
            "target": learning["target"],
            "task": learning["task"],
            "remarks": "; ".join(learning["remarks"]),
            "sha256": found["sha256"],
        },
    )
    console.print()
    rows = [(c["name"], c["type"], c["n_missing"] or "") for c in found["columns"]]
    console.print(tables.table_of(("column", "type", "missing"), rows))


def size(n_bytes: int) -> str:
    """Return a number of bytes for people."""
    amount, units = float(n_bytes), ["B", "kB", "MB", "GB", "TB"]
    while amount >= 1000 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.3g} {units[0]}"
