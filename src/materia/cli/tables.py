"""How lists of a server look in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from materia.errors import ConflictError, NotFoundError

COLOURS = {
    "running": "cyan",
    "completed": "green",
    "converged": "green",
    "stopped": "yellow",
    "failed": "red",
    "RUNNING": "cyan",
    "RETRYING": "yellow",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "QUARANTINED": "red",
    "CANCELLED": "yellow",
    "online": "green",
    "draining": "yellow",
    "lost": "red",
    "healthy": "green",
    "degraded": "yellow",
    "unhealthy": "red",
}


SHORT_ID = 8
# From this width on a list has room for whole ids.
WIDE = 120


def stdout() -> Console:
    """Return the console of results; what does not go to a terminal is not wrapped."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=10_000)


def shown_id(console: Console, whole: str) -> str:
    """Return as much of an id as there is room for; commands take its beginning."""
    return whole if console.width >= WIDE else whole[:SHORT_ID]


def table_of(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """Return a plain table; a cell that is a state gets its colour."""
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(str(cell), style=COLOURS.get(str(cell), "")) for cell in row))
    return table


def details(console: Console, lines: Mapping[str, Any]) -> None:
    """Print one thing, a line a property; what is not known is left out."""
    for name, value in lines.items():
        if value is not None and value != "":
            text = Text(f"{name:14}", style="dim")
            text.append(str(value), style=f"not dim {COLOURS.get(str(value), '')}".strip())
            console.print(text, soft_wrap=True)


def local_time(written: str | None) -> str:
    """Return a time of the API in the time zone of the reader."""
    if written is None:
        return ""
    return datetime.fromisoformat(written).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def the_one(noun: str, text: str, listed: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the one thing of a list whose id begins so.

    Raises:
        ConflictError: There are several.
        NotFoundError: There is none.
    """
    found = [item for item in listed if item["id"].startswith(text)]
    if len(found) > 1:
        raise ConflictError(f"{len(found)} {noun}s begin with {text!r}", "give more of the id")
    if not found:
        raise NotFoundError(f"there is no {noun} {text!r}", f"`materia {noun} list` shows them")
    return dict(found[0])


def more(console: Console, page: Mapping[str, Any], which: str = "older") -> None:
    """End a list that is not whole: say how many there are beyond the page.

    Args:
        which: What they are to those shown; "further" where the newest does not come first.
    """
    hidden = page["total"] - len(page["items"])
    if hidden > 0:
        console.print(f"… and {hidden} {which} ones; --limit shows more", style="dim")
