"""`materia init`: a definition to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    template: Annotated[
        str | None, typer.Argument(metavar="[TEMPLATE]", help="which one; all are listed if none")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="file to write [default: TEMPLATE.yaml]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the list as JSON")] = False,
) -> None:
    """Write a definition to begin with.

    Without a template: list those that there are. A file that exists is never overwritten.

    Example: materia init formulation --output coating.yaml
    """
    import json

    from rich.console import Console
    from rich.table import Table

    from materia.errors import ConflictError, DataError
    from materia.mdl import templates

    if template is None:
        known = templates.all_templates().values()
        if as_json:
            items = [{"name": one.name, "title": one.title} for one in known]
            typer.echo(json.dumps(items, indent=2))
            return
        table = Table(box=None, pad_edge=False, show_header=False)
        for one in known:
            table.add_row(f"[bold]{one.name}[/]", one.title)
        console = Console(highlight=False)
        console.print(table)
        console.print("\nwrite one of them: materia init NAME")
        return
    text = templates.template(template).text
    path = output or Path(f"{template}.yaml")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConflictError(f"'{path}' exists", "name another file: --output FILE") from None
    except OSError as error:
        raise DataError(f"cannot write '{path}': {error.strerror}") from None
    typer.echo(f"{path} written; next: edit it, then materia validate {path}")
