"""What `materia up` shows: a live table in a terminal, a line per change elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from materia.settings import Settings
from materia.stack.child import ProcessState
from materia.stack.environment import api_url
from materia.stack.supervisor import Supervised, Supervisor

COLOURS = {
    ProcessState.READY: "green",
    ProcessState.DONE: "green",
    ProcessState.RESTARTING: "yellow",
    ProcessState.FAILED: "red",
}
SHOWN_LINES = 5


class Display:
    """Follows a stack on a console; a context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._shown: dict[str, ProcessState] = {}
        self._announced = False
        self._said_goodbye = False

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def update(self, settings: Settings, supervisor: Supervisor) -> None:
        """Show the present state."""
        if supervisor.is_stopping and not self._said_goodbye:
            self._said_goodbye = True
            self._console.print("stopping; Ctrl-C once more does not wait")
        for process in supervisor.processes.values():
            self._print_change(process)
        if self._live:
            self._live.update(_table(settings, supervisor), refresh=True)
        elif supervisor.is_ready and not self._announced:
            self._console.print(_where(settings), highlight=False)
        self._announced = self._announced or supervisor.is_ready

    def _print_change(self, process: Supervised) -> None:
        name, state = process.spec.name, process.state
        before = self._shown.get(name)
        self._shown[name] = state
        if state == before:
            return
        if state is ProcessState.RESTARTING:
            self._console.print(f"[yellow]{name} {process.reason}; it is started again[/]")
            self._print_last_lines(process, SHOWN_LINES)
        elif state is ProcessState.FAILED:
            self._console.print(f"[red]{name} {process.reason}; its last lines:[/]")
            self._print_last_lines(process, len(process.last_lines))
        elif not self._live and before is not None:
            self._console.print(f"{name}: {state}", highlight=False)

    def _print_last_lines(self, process: Supervised, n_lines: int) -> None:
        for line in process.last_lines[-n_lines:]:
            self._console.print(f"  [dim]{escape(line)}[/]", highlight=False)


def _table(settings: Settings, supervisor: Supervisor) -> RenderableType:
    table = Table(box=None, pad_edge=False)
    for column in ("process", "state", "pid", "restarts"):
        table.add_column(column)
    for name, process in supervisor.processes.items():
        if process.state is ProcessState.DONE:
            continue
        colour = COLOURS.get(process.state, "dim")
        restarts = str(process.restarts or "")
        table.add_row(name, f"[{colour}]{process.state}[/]", str(process.pid or ""), restarts)
    return Group(table, Text.from_markup(_where(settings))) if supervisor.is_ready else table


def _where(settings: Settings) -> str:
    return (
        f"\nMatCraft is ready at [bold]{api_url(settings)}[/], documentation at /docs\n"
        f"data, key and logs are in {escape(str(settings.data_dir))};"
        " `materia status` shows them\n"
        "Ctrl-C stops everything"
    )
