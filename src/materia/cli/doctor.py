"""`materia doctor`: every setting with its source, and what is wrong with this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from pydantic import SecretStr
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from materia.compute.cluster.place import FILE
from materia.settings import Settings
from materia.stack import state
from materia.stack.checks import Check, Place, examine
from materia.stack.environment import absolute_places, read_settings
from materia.stack.folder import DataFolder
from materia.stack.sources import SourcedSetting, sourced

MARKS = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}


def doctor(
    data_dir: Annotated[
        Path | None, typer.Option(help="folder given to `materia up` [default: materia-data]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object, for scripts")] = False,
) -> None:
    """Print every setting with its source, and examine this machine; exit status 1 on fail."""
    given = read_settings(data_dir=data_dir)
    place = _place(given)
    changed = {name for name, value in place.settings if value != getattr(given, name)}
    settings = sourced(
        place.settings,
        flags={"data_dir"} if data_dir else (),
        decided=changed - set(absolute_places(given)) if place.stack["running"] else (),
    )
    checks = list(examine(place))
    has_failed = any(check.level == "fail" for check in checks)
    if as_json:
        found = {
            "ok": not has_failed,
            "settings": [asdict(setting) for setting in settings],
            "checks": [asdict(check) for check in checks],
        }
        typer.echo(json.dumps(found, indent=2))
    else:
        _print(settings, checks)
    if has_failed:
        raise typer.Exit(1)


def _place(given: Settings) -> Place:
    """Return what to examine: a running stack's own addresses go before the settings."""
    settings = given.model_copy(update=absolute_places(given))
    stack = state.look(settings.data_dir)
    if stack["running"]:
        names = ("broker_url", "result_backend")
        values = {name: stack[name] for name in names if stack[name]}
        values["api_key"] = SecretStr(stack["api_key"] or "")
        if stack["database_url"] != settings.database:
            values["database_url"] = stack["database_url"]
        if port := urlsplit(str(stack["api_url"])).port:
            values["api_port"] = port
        folder = DataFolder(settings.data_dir)
        if not settings.ray_address and folder.ray_place.exists():
            values["ray_address"] = f"{FILE}{folder.ray_place}"
            values["ray_token"] = SecretStr(folder.secret("ray_token"))
        settings = settings.model_copy(update=values)
    return Place(settings, stack, has_own_broker="broker_url" in given.model_fields_set)


def _print(settings: list[SourcedSetting], checks: list[Check]) -> None:
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    for column in ("setting", "value", "source"):
        table.add_column(column, overflow="fold")
    for setting in settings:
        table.add_row(setting.variable, escape(setting.value), setting.source)
    console.print(table)
    console.print()
    table = Table(box=None, pad_edge=False)
    for column in ("", "check", "found"):
        table.add_column(column, overflow="fold")
    for check in checks:
        fix = f"\n[dim]→ {escape(check.fix)}[/]" if check.fix else ""
        table.add_row(MARKS[check.level], check.name, escape(check.message) + fix)
    console.print(table)
