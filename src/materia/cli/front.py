"""The Pareto front as a table that fits into the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from materia.mdl.definition import Definition, Objective
from materia.report.content import number

MAX_ROWS = 20
MAX_NAMED = 3

ARROWS = {"maximize": " ↑", "minimize": " ↓"}


class Layout(NamedTuple):
    """How a front is written.

    Attributes:
        digits: Of numbers.
        longest: Characters of a name or choice before it is cut; None for all.
        parameters: Those that are shown.
        left_out: The others.
    """

    digits: int
    longest: int | None
    parameters: Sequence[str]
    left_out: Sequence[str] = ()

    def cell(self, value: Any) -> Text:
        """Return a value as it is shown; of words and names the end may be missing."""
        text = number(value, self.digits)
        return Text(text if isinstance(value, int | float) else self.short(text))

    def short(self, text: str) -> str:
        """Return a text no longer than is allowed."""
        if self.longest is None or len(text) <= self.longest:
            return text
        return f"{text[: self.longest - 1]}…"


def front_table(
    definition: Definition, front: Sequence[Mapping[str, Any]], console: Console
) -> RenderableType:
    """Return the front, or its spread, one line a point.

    Where the console is too narrow, names are cut; after that the last parameters come in a table
    of their own below or, where they have no room there either, are left out and named.
    """
    points = _spread(front, MAX_ROWS)

    def fits(table: Table) -> bool:
        unlimited = console.options.update(width=10_000)
        return console.measure(table, options=unlimited).maximum <= console.width

    for layout in _layouts(list(front[0]["params"])):
        table = _table(definition, points, layout)
        if fits(table):
            break
    if layout.left_out:
        rest = _rest(points, layout)
        if fits(rest):
            table.caption = None
            return Group(table, "", rest)
    return table


def _rest(points: Sequence[Mapping[str, Any]], layout: Layout) -> Table:
    """Return the parameters that a table has no room for, one line a point."""
    table = _empty_table("The same candidates, further parameters")
    for name in layout.left_out:
        table.add_column(Text(layout.short(name)), justify="right", no_wrap=True)
    for point in points:
        cells = [layout.cell(point["params"][name]) for name in layout.left_out]
        table.add_row(Text(point["id"]), *cells)
    return table


def _layouts(names: Sequence[str]) -> Iterator[Layout]:
    """Yield layouts from the fullest to the narrowest."""
    yield Layout(5, None, names)
    # Names are cut before numbers: with less than four digits, different points look alike.
    for longest in (24, 14, 10, 7):
        yield Layout(4, longest, names)
    for n_shown in range(len(names) - 1, -1, -1):
        yield Layout(4, 10, names[:n_shown], names[n_shown:])


def _table(definition: Definition, points: Sequence[Mapping[str, Any]], layout: Layout) -> Table:
    title = "Pareto front" if len(definition.objectives) > 1 else "Best"
    table = _empty_table(title, caption=_not_shown(layout.left_out))
    for objective in definition.objectives:
        heading = _heading(objective, layout)
        table.add_column(heading, justify="right", no_wrap=True, style="bold")
    for name in layout.parameters:
        table.add_column(Text(layout.short(name)), justify="right", no_wrap=True)
    for point in points:
        outcomes = [layout.cell(point["outcomes"][o.name]) for o in definition.objectives]
        params = [layout.cell(point["params"][name]) for name in layout.parameters]
        table.add_row(Text(point["id"]), *outcomes, *params)
    return table


def _empty_table(title: str, caption: Text | None = None) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        caption=caption,
        caption_justify="left",
        box=None,
        pad_edge=False,
    )
    table.add_column("id", no_wrap=True)
    return table


def _not_shown(names: Sequence[str]) -> Text | None:
    if not names:
        return None
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return Text(f"not shown here: {', '.join(names[:MAX_NAMED])}{more}")


def _heading(objective: Objective, layout: Layout) -> Text:
    arrow = " →" if objective.target is not None else ARROWS[objective.direction]
    unit = f"\n{layout.short(objective.unit)}" if objective.unit else ""
    return Text(f"{layout.short(objective.name)}{arrow}{unit}")


def _spread(front: Sequence[Mapping[str, Any]], n: int) -> Sequence[Mapping[str, Any]]:
    """Return at most n points, evenly spread over the front, both ends among them."""
    if len(front) <= n:
        return front
    return [front[round(i * (len(front) - 1) / (n - 1))] for i in range(n)]
