"""`materia validate FILE`: everything that is wrong with a definition, before anything is run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from materia.cli.definition_file import DefinitionFile


def validate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="campaign definition, YAML or JSON")],
    as_json: Annotated[
        bool, typer.Option("--json", help="one JSON object: valid, file, findings")
    ] = False,
) -> None:
    """Report everything wrong with a file.

    Exit status 0 when it can be run, 3 when it has errors.
    """
    import json

    from rich.console import Console

    from materia.cli import INVALID, messages
    from materia.cli.messages import counted
    from materia.services import validation

    source = DefinitionFile.read(file)
    definition, findings = validation.validate(
        source.content, data_roots=source.data_roots, base_dir=source.base_dir
    )
    plain = [finding.as_dict() for finding in findings]
    if as_json:
        result = {"valid": definition is not None, "file": str(file), "findings": plain}
        typer.echo(json.dumps(result, indent=2))
    else:
        console = Console(highlight=False, soft_wrap=True)
        messages.show_findings(console, plain)
        n_errors = sum(finding.level == "error" for finding in findings)
        n_warnings = len(findings) - n_errors
        counts = f"{counted(n_errors, 'error')}, {counted(n_warnings, 'warning')}"
        verdict = "[green]valid[/]" if definition is not None else "[bold red]invalid[/]"
        console.print(f"{verdict} ({counts})")
    if definition is None:
        raise typer.Exit(INVALID)
