"""`materia run FILE`: a whole campaign without any server, resumable at any moment."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from materia.cli.connection import DataDir
from materia.cli.definition_file import DefinitionFile

if TYPE_CHECKING:
    from materia.services.local_run import Finished

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells use it."""

TERMINATED = 143
"""Exit status after SIGTERM."""


class Terminated(KeyboardInterrupt):
    """SIGTERM came; a run ends as after Ctrl-C."""


def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="campaign definition, YAML or JSON")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="folder of state and results [default: runs/NAME]"),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="evaluations at a time [default: cores, at most 4]"),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="set an earlier run in the folder aside")
    ] = False,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="[URL]", help="run on a server instead; without URL on the stack here"
        ),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Run a campaign in this process, without any server.

    Stopped with Ctrl-C or killed, the same command goes on where it was.
    """
    source = DefinitionFile.read(file, data_dir)
    if server is not None:
        from materia.cli.watch import run_on_server

        run_on_server(source, server, output)
    else:
        _run_here(source, output, workers or min(4, os.cpu_count() or 1), restart=restart)


def _run_here(source: DefinitionFile, output: Path | None, workers: int, *, restart: bool) -> None:
    from rich.console import Console

    from materia import settings
    from materia.cli.run_display import RunDisplay, show_results
    from materia.errors import EvaluationError
    from materia.services import local_run, validation
    from materia.services.evaluation_pool import Recipe

    if source.data_dir is not None:
        # Models are looked up where the settings say, here and in processes that evaluate.
        os.environ["MATERIA_DATA_DIR"] = str(source.data_dir.expanduser().resolve())
        settings.current.cache_clear()
    definition = validation.require(
        source.content, data_roots=source.data_roots, base_dir=source.base_dir
    )
    folder = output or Path("runs") / definition.name
    console = Console(highlight=False)
    recipe = Recipe(definition, source.data_roots, source.base_dir)
    campaign = local_run.LocalRun(recipe, folder, workers=workers, restart=restart)
    try:
        with _sigterm_raised(), RunDisplay(console, definition) as display:
            finished = campaign.run(display.show)
    except KeyboardInterrupt as stop:
        console.print(f"\nstopped; the same command goes on from {folder}", markup=False)
        raise typer.Exit(TERMINATED if isinstance(stop, Terminated) else INTERRUPTED) from None
    written = local_run.write_report(finished, folder)
    show_results(console, finished, written, folder)
    if reason := _nothing_evaluated(finished):
        raise EvaluationError(f"no candidate could be evaluated: {reason}")


@contextmanager
def _sigterm_raised() -> Iterator[None]:
    """Turn SIGTERM into `Terminated`, so that the evaluating processes are ended too."""

    def stop(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _nothing_evaluated(finished: Finished) -> str | None:
    """Return why the first candidate failed, when all did."""
    candidates = finished.campaign.candidates
    if any(candidate["state"] == "told" for candidate in candidates):
        return None
    return str(finished.evaluations[candidates[0]["id"]].get("error"))
