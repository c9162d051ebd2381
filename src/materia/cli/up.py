"""`materia up`: the whole stack in the foreground."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from materia import log
from materia.cli.tables import stdout
from materia.settings import Settings
from materia.stack import up as stack
from materia.stack.display import Display
from materia.stack.environment import dashboard_url, read_settings
from materia.stack.ports import any_port
from materia.stack.supervisor import Supervisor


def up(
    data_dir: Annotated[
        Path | None, typer.Option(help="folder of everything that is kept [default: materia-data]")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="port of the API, 0 for any [default: 8000]"),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(help="address that the API listens on, 0.0.0.0 for all [default: 127.0.0.1]"),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="jobs that run at a time")] = 4,
    ray: Annotated[
        bool, typer.Option("--ray", help="start a Ray cluster of this machine and compute there")
    ] = False,
    flower: Annotated[
        bool, typer.Option("--flower", help="start Flower too, on loopback, for a look at Celery")
    ] = False,
    open_browser: Annotated[
        bool, typer.Option("--open", help="open the dashboard when it is ready")
    ] = False,
) -> None:
    """Start API, workers, scheduler and database here; Ctrl-C stops all of them."""
    log.configure("WARNING")
    settings = read_settings(
        data_dir=data_dir, api_host=host, api_port=any_port() if port == 0 else port
    )
    to_open = [open_browser]
    with Display(stdout(), has_own_key=settings.api_key is not None) as display:

        def show(decided: Settings, supervisor: Supervisor) -> None:
            display.update(decided, supervisor)
            if supervisor.is_ready and to_open[0]:
                to_open[0] = False
                webbrowser.open(dashboard_url(decided))

        stack.run(settings, n_workers=workers, has_ray=ray, has_flower=flower, on_change=show)
