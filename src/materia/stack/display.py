"""What `materia up` shows: a live table in a terminal, a line per change elsewhere."""

from __future__ import annotations

import re
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from materia.settings import Settings
from materia.stack.child import ProcessState
from materia.stack.environment import api_url, dashboard_url, flower_url, outside_url
from materia.stack.processes import FLOWER
from materia.stack.supervisor import Supervised, Supervisor

COLOURS = {
    ProcessState.READY: "green",
    ProcessState.DONE: "green",
    ProcessState.RESTARTING: "yellow",
    ProcessState.FAILED: "red",
}
MAX_LINE = 300
# Lines of a log that tell of a fault, as Python, Celery and our JSON write them.
FAULT = re.compile(
    r"\b(ERROR|CRITICAL|FATAL)\b|^\w*(Error|Exception)\b|\"level\": ?\"(error|critical)"
)


class Display:
    """Follows a stack on a console; a context manager.

    Args:
        has_own_key: Whether the operator chose the key of the API.
    """

    def __init__(self, console: Console, *, has_own_key: bool = False) -> None:
        self._console = console
        self._has_own_key = has_own_key
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
            self._live.update(_table(supervisor, self._where(settings, supervisor)), refresh=True)
        elif supervisor.is_ready and not self._announced:
            self._console.print(self._where(settings, supervisor), highlight=False)
        self._announced = self._announced or supervisor.is_ready

    def _where(self, settings: Settings, supervisor: Supervisor) -> str:
        flower = _flower(settings) if FLOWER in supervisor.processes else ""
        # To who sits before it only: what is not a terminal may well be a log.
        opened = _opened(settings) if self._live and not self._has_own_key else ""
        return _where(settings, has_own_key=self._has_own_key, more=opened + flower)

    def _print_change(self, process: Supervised) -> None:
        name, state = process.spec.name, process.state
        before = self._shown.get(name)
        self._shown[name] = state
        if state == before:
            return
        if state is ProcessState.RESTARTING:
            self._console.print(f"[yellow]{name} {process.reason}; it is started again[/]")
            self._print_fault(process)
        elif state is ProcessState.FAILED:
            self._console.print(f"[red]{name} {process.reason}; its last lines:[/]")
            self._print_last_lines(process)
        elif not self._live and before is not None:
            self._console.print(f"{name}: {state}", highlight=False)

    def _print_fault(self, process: Supervised) -> None:
        """Print the line that says what went wrong, if there is one, and where the others are."""
        faults = [line for line in process.last_lines if FAULT.search(line)]
        for line in faults[-1:]:
            self._print_line(line)
        self._print_line(f"its log: {process.log.path}")

    def _print_last_lines(self, process: Supervised) -> None:
        for line in process.last_lines:
            self._print_line(line)
        self._print_line(f"its log: {process.log.path}")

    def _print_line(self, line: str) -> None:
        shown = line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]} …"
        self._console.print(f"  [dim]{escape(shown)}[/]", highlight=False)


def _table(supervisor: Supervisor, where: str) -> RenderableType:
    table = Table(box=None, pad_edge=False)
    for column in ("process", "state", "pid", "restarts"):
        table.add_column(column)
    for name, process in supervisor.processes.items():
        if process.state is ProcessState.DONE:
            continue
        colour = COLOURS.get(process.state, "dim")
        restarts = str(process.restarts or "")
        table.add_row(name, f"[{colour}]{process.state}[/]", str(process.pid or ""), restarts)
    return Group(table, Text.from_markup(where)) if supervisor.is_ready else table


def _where(settings: Settings, *, has_own_key: bool, more: str = "") -> str:
    return (
        f"\nMatCraft is ready at [bold]{api_url(settings)}[/], documentation at /docs\n"
        f"{_exposure(settings, has_own_key=has_own_key)}"
        f"{more}"
        f"data, key and logs are in {escape(str(settings.data_dir))};"
        " `materia status` shows them\n"
        "Ctrl-C stops everything"
    )


def _opened(settings: Settings) -> str:
    return f"the dashboard, with its key:\n{escape(dashboard_url(settings))}\n"


def _flower(settings: Settings) -> str:
    user = escape(str(settings.flower_user))
    return (
        f"Flower is at {flower_url(settings)}, user {user}, with FLOWER_PASSWORD or else the"
        " password in secrets/flower_password of the data folder\n"
    )


def _exposure(settings: Settings, *, has_own_key: bool) -> str:
    """Return where others find the API and what that means; nothing when they cannot."""
    url = outside_url(settings)
    if url is None:
        return ""
    where = "" if url == api_url(settings) else f"other machines find it at [bold]{url}[/]\n"
    advice = (
        "keep MATERIA_API_KEY secret"
        if has_own_key
        else "MATERIA_API_KEY is not set, so the key made for this folder is in force;"
        " set it to a key of your own: export MATERIA_API_KEY=…"
    )
    return (
        f"{where}[yellow]warning: it is reachable from the network, unencrypted;"
        f" whoever has the key can use it. {advice}[/]\n"
    )
