"""`materia campaign create|import|start`: a campaign that begins with what is known already."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from materia.cli.connection import Reach, of_server, print_json

Which = Annotated[str, typer.Argument(metavar="ID", help="id, its beginning, or a name")]


@of_server
def create(
    reach: Reach,
    as_json: bool,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="definition, YAML or JSON")],
) -> None:
    """Create a campaign without starting it, so that it may be given earlier data first."""
    with reach() as client:
        made = client.campaigns.create(file)
    if as_json:
        print_json(made)
        return
    typer.echo(f"{made['name']} ({made['id']}) is created; `materia campaign start` starts it")


@of_server
def import_earlier(
    reach: Reach,
    as_json: bool,
    campaign: Which,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV: a column for each parameter and objective")
    ],
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="take in the others, and say which were left")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="what it was given before, if anything")
    ] = False,
    delimiter: Annotated[str, typer.Option(help="between cells")] = ",",
) -> None:
    """Give a campaign that has not started earlier measurements; they cost no budget.

    All rows are taken in, or nothing changes and every bad row is named.

    \b
    Example:
      materia campaign create cathode.yaml
      materia campaign import cathode measured.csv
      materia campaign start cathode
    """
    from materia.cli.campaign import find
    from materia.cli.messages import counted, stderr

    with reach() as client:
        taken = client.campaigns.import_earlier(
            find(client, campaign)["id"],
            file,
            bad_rows="skip" if skip_bad_rows else "reject",
            replace=replace,
            delimiter=delimiter,
        )
    if as_json:
        print_json(taken)
        return
    for fault in taken["skipped"]:
        stderr().print(f"left out: {fault}", markup=False, soft_wrap=True)
    typer.echo(f"{counted(taken['n_rows'], 'earlier measurement')} taken in")


@of_server
def start(reach: Reach, as_json: bool, campaign: Which) -> None:
    """Start a campaign that was only created."""
    from materia.cli.campaign import find

    with reach() as client:
        started = client.campaigns.start(find(client, campaign)["id"])
    if as_json:
        print_json(started)
        return
    typer.echo(f"{started['name']} ({started['id']}) is {started['state']}")


def register(app: typer.Typer) -> None:
    """Add the commands to those of campaigns."""
    app.command("create")(create)
    app.command("import")(import_earlier)
    app.command("start")(start)
