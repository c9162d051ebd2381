"""`materia version`: which MatCraft this is."""

from __future__ import annotations

import typer

from materia.version import __version__


def version() -> None:
    """Print the version."""
    typer.echo(__version__)
