"""`materia model …`: trained models of a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from materia.cli import retraining
from materia.cli.arguments import settings_of
from materia.cli.connection import Reach, of_server, print_json
from materia.cli.dataset import size
from materia.cli.job import report

if TYPE_CHECKING:
    from materia.client import Client

app = typer.Typer(no_args_is_help=True, help="Train models, look at them, predict with them.")
app.add_typer(retraining.app, name="retraining")

ModelId = Annotated[
    str, typer.Argument(metavar="ID", help="id or its beginning, or the name of a retrained model")
]
Wait = Annotated[bool, typer.Option("--wait", help="show progress, and print the result")]
SEARCHED = 200


@app.command("list")
@of_server
def list_models(
    reach: Reach,
    as_json: bool,
    name: Annotated[str | None, typer.Option(help="only those of this name")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="at most so many")] = 20,
) -> None:
    """List models, newest first."""
    from materia.cli import tables

    with reach() as client:
        page = client.models.list(name=name, limit=limit)
    if as_json:
        print_json(page)
        return
    console = tables.stdout()
    if not page["items"]:
        none = "there is no model; `materia model train DATASET` makes one"
        console.print(none, soft_wrap=True)
        return
    rows = [
        (m["id"], m["estimator"], m["target"], _score(m), tables.local_time(m["created_at"]))
        for m in page["items"]
    ]
    console.print(tables.table_of(("id", "estimator", "target", "score", "made"), rows))
    tables.more(console, page)


@app.command()
@of_server
def show(reach: Reach, as_json: bool, model: ModelId) -> None:
    """Show one model: what it predicts, from which columns, and how well."""
    from materia.cli import tables

    with reach() as client:
        found = client.models.get(find(client, model))
    if as_json:
        print_json(found)
        return
    card = found["card"]
    training, features = card["training"], card["schema"]["features"]
    console = tables.stdout()
    tables.details(
        console,
        {
            "id": found["id"],
            "in use for": found["in_use_for"],
            "estimator": found["estimator"],
            "task": found["task"],
            "target": found["target"],
            "score": _score(found),
            "rows": training.get("total_samples"),
            "held out": training.get("n_held_out"),
            "partitions": training.get("num_partitions"),
            "file": found["path"],
            "size": size(found["size_bytes"]),
            "sha256": found["sha256"],
            "job": found["job_id"],
            "made": tables.local_time(found["created_at"]),
            "remarks": "; ".join(training.get("remarks", [])),
        },
    )
    importances = training.get("feature_importances", {})
    rows = [
        (f["name"], f["type"], f"{importances.get(f['name'], 0.0):.4g}")
        for f in sorted(features, key=lambda f: -importances.get(f["name"], 0.0))
    ]
    console.print()
    console.print(tables.table_of(("column", "type", "importance"), rows))


@app.command()
@of_server
def train(
    reach: Reach,
    as_json: bool,
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="path below the data root")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="of model_config, such as target=y"),
    ] = None,
    wait: Wait = False,
) -> None:
    """Train a model on a dataset.

    \b
    Example:
      materia model train alloys.csv target=strength n_estimators=200 --wait
    """
    config = settings_of(settings)
    with reach() as client:
        report(client, client.models.train(dataset, config), wait, as_json)


@app.command()
@of_server
def predict(
    reach: Reach,
    as_json: bool,
    model: ModelId,
    batches: Annotated[list[str], typer.Argument(metavar="FILE...", help="below the data root")],
    output_dir: Annotated[str | None, typer.Option(help="folder below the data root")] = None,
    output_format: Annotated[str | None, typer.Option(help="csv or parquet")] = None,
    id_column: Annotated[str | None, typer.Option(help="column that names a row")] = None,
    wait: Wait = False,
) -> None:
    """Predict every row of some files."""
    given = {"output_dir": output_dir, "output_format": output_format, "id_column": id_column}
    options = {name: value for name, value in given.items() if value is not None}
    with reach() as client:
        submitted = client.models.predict(find(client, model), batches, **options)
        report(client, submitted, wait, as_json)


@app.command()
@of_server
def retrain(
    reach: Reach,
    as_json: bool,
    name: Annotated[str, typer.Argument(metavar="NAME", help="of the table of retrained models")],
    wait: Wait = False,
) -> None:
    """Train a model of the table again, now; it is replaced only by a better one."""
    with reach() as client:
        report(client, client.retrainings.run(name), wait, as_json)


@app.command()
@of_server
def delete(reach: Reach, as_json: bool, model: ModelId) -> None:
    """Delete a model with its file; one that is in use stays."""
    with reach() as client:
        deleted = client.models.delete(find(client, model))
    if as_json:
        print_json(deleted)
        return
    typer.echo(f"{deleted['id']} is deleted")


def find(client: Client, text: str) -> str:
    """Return the id of a model by its id, its beginning, or the name of a retrained model."""
    from materia.cli.tables import the_one
    from materia.errors import NotFoundError

    try:
        return str(client.models.get(text)["id"])
    except NotFoundError:
        return str(the_one("model", text, client.models.list(limit=SEARCHED)["items"])["id"])


def _score(model: dict[str, Any]) -> str:
    if model["score"] is None:
        return ""
    return f"{model['score']:.4g} {model['metric'] or ''}".rstrip()
