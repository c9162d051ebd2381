"""Following a job of a server: a bar with the time that is left, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

if TYPE_CHECKING:
    from materia.client import Client

INTERRUPTED = 130


class JobDisplay:
    """A bar that moves with the events of a job.

    Args:
        console: Where it is drawn; one that is no terminal gets a line for each new message.
    """

    def __init__(self, console: Console, name: str) -> None:
        self._console = console
        self._name = name
        self._message = ""
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[share]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> JobDisplay:
        if self._console.is_terminal:
            self._bar.start()
            self._task = self._bar.add_task(self._name, total=None, share="", left="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            self._bar.stop()

    def show(self, state: str, progress: Mapping[str, Any] | None) -> None:
        """Show how far the job is."""
        found: Mapping[str, Any] = progress or {}
        done, total, message = found.get("done") or 0, found.get("total"), found.get("message")
        said = str(message or state.lower())
        if self._task is not None:
            share = "" if not total else f"{done:g} of {total:g}"
            left = f"about {duration(found['eta_s'])} left" if found.get("eta_s") else ""
            self._bar.update(
                self._task, description=said, total=total, completed=done, share=share, left=left
            )
        elif said != self._message:
            self._console.print(Text(f"{self._name}: {said}"), soft_wrap=True)
        self._message = said


def duration(seconds: float) -> str:
    """Return a time for people: 40 s, 3 min, 2 h 05 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


def follow(client: Client, job_id: str, console: Console) -> dict[str, Any]:
    """Show a job until it has ended, and return it; Ctrl-C leaves it running."""
    job: dict[str, Any] = client.jobs.get(job_id)
    try:
        with JobDisplay(console, job["task"].removeprefix("tasks.")) as display:
            display.show(job["state"], job["progress"])
            for event in client.jobs.watch(job_id, after=job["last_event"]):
                if event["type"] == "resync":
                    job = client.jobs.get(job_id)
                elif event["type"] == "job_progress":
                    job = {**job, "progress": event["data"]}
                else:
                    job = {**job, "state": event["data"].get("state", job["state"])}
                display.show(job["state"], job["progress"])
    except KeyboardInterrupt:
        console.print(
            f"\nthe job goes on; `materia job watch {job_id}` shows it again,"
            f" `materia job cancel {job_id}` stops it",
            markup=False,
            soft_wrap=True,
        )
        raise typer.Exit(INTERRUPTED) from None
    return dict(client.jobs.get(job_id))
