"""`materia model retraining …`: the table of models that are trained again."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from materia.cli.arguments import compact, settings_of
from materia.cli.connection import Reach, of_server, print_json

HELP = """Models that are trained again: list, add, change, delete, history.

The daily job trains each entry on its dataset, compares the new model with the
one in use on rows that neither has learnt from, and keeps the better one.

\b
  materia model retraining add stock_predictor prices.csv target=price
  materia model retraining history stock_predictor
"""
app = typer.Typer(no_args_is_help=True, help=HELP)

Name = Annotated[str, typer.Argument(metavar="NAME", help="of the model")]
Settings = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME=VALUE]...", help="of model_config, such as target=y"),
]
Metric = Annotated[str | None, typer.Option(help="what decides, such as r2 or accuracy")]
Channel = Annotated[str | None, typer.Option(help="where notifications go")]
Daily = Annotated[
    bool | None, typer.Option("--daily/--not-daily", help="whether the daily job takes it")
]
Enabled = Annotated[
    bool | None, typer.Option("--enabled/--disabled", help="whether it is taken at present")
]


@app.command("list")
@of_server
def list_retrainings(
    reach: Reach,
    as_json: bool,
    limit: Annotated[int, typer.Option(min=1, max=200, help="at most so many")] = 100,
) -> None:
    """List entries by name, with the model in use."""
    from materia.cli import tables

    with reach() as client:
        page = client.retrainings.list(limit=limit)
    if as_json:
        print_json(page)
        return
    console = tables.stdout()
    rows = [
        (r["name"], r["dataset_path"], _when(r), r["champion_id"] or "-") for r in page["items"]
    ]
    if not rows:
        console.print("no model is retrained; `materia model retraining add --help` tells how")
        return
    console.print(tables.table_of(("name", "dataset", "trained", "in use"), rows))
    tables.more(console, page, "further")


@app.command()
@of_server
def add(
    reach: Reach,
    as_json: bool,
    name: Name,
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="path; it may come later")],
    settings: Settings = None,
    metric: Metric = None,
    channel: Channel = None,
    daily: Daily = None,
    enabled: Enabled = None,
) -> None:
    """Add a model to retrain.

    One that is not daily is trained by `materia model retrain NAME`, or by a
    schedule of its own:

    \b
      materia schedule add stock ml_tasks.retrain_model name=stock_predictor --every 6h
    """
    config = settings_of(settings)
    fields = _given(metric=metric, channel=channel, is_daily=daily, is_enabled=enabled)
    with reach() as client:
        _told(client.retrainings.create(name, dataset, config, **fields), as_json)


@app.command()
@of_server
def change(
    reach: Reach,
    as_json: bool,
    name: Name,
    settings: Settings = None,
    dataset: Annotated[str | None, typer.Option(metavar="PATH", help="another dataset")] = None,
    metric: Metric = None,
    channel: Channel = None,
    daily: Daily = None,
    enabled: Enabled = None,
) -> None:
    """Change an entry; settings that are given replace all that it had."""
    values = _given(
        dataset_path=dataset,
        model_config=settings_of(settings) if settings else None,
        metric=metric,
        channel=channel,
        is_daily=daily,
        is_enabled=enabled,
    )
    if not values:
        raise typer.BadParameter("say what to change: NAME=VALUE, or an option such as --dataset")
    with reach() as client:
        _told(client.retrainings.change(name, **values), as_json)


@app.command()
@of_server
def delete(reach: Reach, as_json: bool, name: Name) -> None:
    """Delete an entry and its history; its models stay."""
    with reach() as client:
        deleted = client.retrainings.delete(name)
    if as_json:
        print_json(deleted)
        return
    typer.echo(f"{deleted['name']} is deleted")


@app.command()
@of_server
def history(
    reach: Reach,
    as_json: bool,
    name: Name,
    limit: Annotated[int, typer.Option(min=1, max=200, help="at most so many")] = 20,
) -> None:
    """Show how its trainings ended, newest first, and why."""
    from materia.cli import tables

    with reach() as client:
        page = client.retrainings.runs(name, limit=limit)
    if as_json:
        print_json(page)
        return
    console = tables.stdout()
    if not page["items"]:
        console.print(f"{name} has not been trained yet; `materia model retrain {name}` does it")
        return
    rows = [
        (tables.local_time(run["finished_at"]), run["outcome"], run["reason"])
        for run in page["items"]
    ]
    table = tables.table_of(("ended", "outcome", "because"), rows)
    table.columns[-1].no_wrap, table.columns[-1].overflow = False, "fold"
    console.print(table)
    tables.more(console, page)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _when(entry: dict[str, Any]) -> str:
    if not entry["is_enabled"]:
        return "disabled"
    return "daily" if entry["is_daily"] else "on demand"


def _told(entry: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(entry)
        return
    config = compact(entry["model_config"]) or json.dumps({})
    typer.echo(f"{entry['name']}: {_when(entry)} from {entry['dataset_path']} with {config}")
