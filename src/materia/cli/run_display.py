"""What a local run shows: a live line while it works, tables when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from materia import report
from materia.cli.front import MAX_ROWS, front_table
from materia.cli.messages import counted
from materia.mdl.definition import Definition
from materia.report.content import number

if TYPE_CHECKING:
    from materia.services import local_run


class RunDisplay:
    """A progress bar on a terminal, one line per iteration elsewhere; use as a context manager."""

    def __init__(self, console: Console, definition: Definition) -> None:
        self._console = console
        self._definition = definition
        self._units = {o.name: o.unit for o in definition.objectives}
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
        )
        total = definition.optimizer.budget
        self._task = self._bar.add_task("starting  ", total=total, start=False)
        self._result_line = Text(no_wrap=True, overflow="ellipsis")
        self._live = Live(Group(self._bar, self._result_line), console=console)
        self._last = ""
        self._begun = False

    def __enter__(self) -> RunDisplay:
        return self

    def __exit__(self, *_: object) -> None:
        if self._begun and self._console.is_terminal:
            self._live.stop()

    def show(self, progress: local_run.Progress) -> None:
        """Show where the run stands; at the first call also what it is."""
        if not self._begun:
            self._begun = True
            self._console.print(Text(self._definition.name, style="bold"))
            if self._console.is_terminal:
                self._live.start()
        result = self._result(progress)
        if self._console.is_terminal:
            # The time that is left is judged by this session's own speed, not by work of before.
            if not self._bar.tasks[0].started:
                self._bar.update(self._task, completed=progress.n_done)
                self._bar.start_task(self._task)
            phase = f"{progress.phase:10}"
            self._bar.update(self._task, completed=progress.n_done, description=phase)
            self._result_line.plain = result
        elif progress.phase in ("choosing", "finished"):
            line = f"{progress.n_done}/{progress.budget} evaluations  {result}"
            if progress.n_done and line != self._last:
                self._console.print(line, markup=False, soft_wrap=True)
            self._last = line

    def _result(self, progress: local_run.Progress) -> str:
        parts = []
        if len(self._units) > 1 and progress.hypervolume is not None:
            parts.append(f"hypervolume {number(progress.hypervolume)}")
        if progress.best is not None:
            outcomes = [_with_unit(name, v, self._units[name]) for name, v in progress.best.items()]
            parts.append(f"{'best' if len(self._units) == 1 else 'compromise'} "
                         f"{', '.join(outcomes)}")  # fmt: skip
        if progress.n_failed:
            parts.append(f"{progress.n_failed} failed")
        return " · ".join(parts)


def show_results(
    console: Console, finished: local_run.Finished, written: Mapping[str, Path], folder: Path
) -> None:
    """Print why the run ended, the front and where everything is."""
    campaign = finished.campaign
    failed = sum(candidate["state"] == "failed" for candidate in campaign.candidates)
    console.print(f"finished: {finished.reason}", markup=False, soft_wrap=True)
    if failed:
        console.print(
            f"{counted(failed, 'evaluation')} failed; results.csv says why", style="yellow"
        )
    front = campaign.pareto_front()
    if front:
        console.print(front_table(campaign.definition, front, console))
        if len(front) > MAX_ROWS:
            console.print(f"… and {len(front) - MAX_ROWS} more in results.csv")
    for name, path in written.items():
        console.print(f"{name.replace('_', ' '):22}{path}", markup=False, soft_wrap=True)
    if not report.has_figures():
        console.print("figures need matplotlib: pip install 'materia[report]'", markup=False)


def _with_unit(name: str, value: float, unit: str | None) -> str:
    return f"{name} {number(value)}{f' {unit}' if unit else ''}"
