"""How findings and errors look in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from materia.errors import DefinitionError, MateriaError

COLOURS = {"error": "bold red", "warning": "yellow"}


def counted(n: int, noun: str) -> str:
    """Return a number with its noun: 1 error, 2 errors."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def stderr() -> Console:
    """Return the console of messages; results go to standard output."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def show_findings(console: Console, findings: Sequence[Mapping[str, Any]]) -> None:
    """Print findings, keys as in `Finding.as_dict`, one paragraph each."""
    for finding in findings:
        text = Text(finding["level"], style=COLOURS[finding["level"]])
        if finding["line"]:
            text.append(f" line {finding['line']}", style="not bold default")
        if finding["path"]:
            text.append(f" {finding['path']}", style="not bold cyan")
        text.append(f"\n  {finding['message']}", style="not bold default")
        if finding["fix"]:
            text.append(f"\n  → {finding['fix']}", style="not bold green")
        console.print(text)


def show_error(error: MateriaError) -> None:
    """Print what went wrong and what to do about it."""
    console = stderr()
    if isinstance(error, DefinitionError) and error.findings:
        show_findings(console, error.findings)
        return
    text = Text("error", style="bold red")
    text.append(f" {error.message}", style="not bold default")
    if error.hint:
        text.append(f"\n  → {error.hint}", style="not bold green")
    console.print(text)
