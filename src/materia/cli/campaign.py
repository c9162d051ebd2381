"""`materia campaign …`: campaigns of a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from materia.cli import campaign_start, explanation
from materia.cli.connection import Reach, of_server, print_json

if TYPE_CHECKING:
    from materia.client import Client

app = typer.Typer(
    no_args_is_help=True,
    help="Start campaigns on a server, look at them, pause, extend, stop and delete them.",
)

Which = Annotated[
    str, typer.Argument(metavar="ID", help="id, its beginning, or a name (then the newest)")
]
ID_LENGTH = 36
SEARCHED = 200

campaign_start.register(app)


@app.command("list")
@of_server
def list_campaigns(
    reach: Reach,
    as_json: bool,
    state: Annotated[str | None, typer.Option(help="only those in this state")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="at most so many")] = 20,
) -> None:
    """List campaigns, newest first."""
    from materia.cli import tables

    with reach() as client:
        page = client.campaigns.list(state=state, limit=limit)
    if as_json:
        print_json(page)
        return
    console = tables.stdout()
    if not page["items"]:
        which = f"no campaign is {state}" if state else "there is no campaign yet"
        console.print(f"{which}; `materia run FILE --server` starts one", soft_wrap=True)
        return
    rows = [
        (
            tables.shown_id(console, campaign["id"]),
            campaign["name"],
            campaign["state"],
            f"{campaign['evaluations_completed']}/{campaign['budget']}",
            _hypervolume(campaign),
            campaign["pareto_size"],
            tables.local_time(campaign["created_at"]),
        )
        for campaign in page["items"]
    ]
    headings = ("id", "name", "state", "evaluations", "hypervolume", "front", "created")
    console.print(tables.table_of(headings, rows))
    tables.more(console, page)


@app.command()
@of_server
def show(reach: Reach, as_json: bool, campaign: Which) -> None:
    """Show one campaign and its Pareto front."""
    from materia.cli import tables
    from materia.cli.front import front_table
    from materia.mdl import Definition

    with reach() as client:
        found = find(client, campaign)
        front = client.campaigns.pareto(found["id"])
    if as_json:
        print_json({**found, "pareto_front": front})
        return
    console = tables.stdout()
    error = found["error"] or {}
    lines = {
        "id": found["id"],
        "name": found["name"],
        "state": found["state"],
        "evaluations": f"{found['evaluations_completed']} of {found['budget']}",
        "failed": found["evaluations_failed"] or None,
        "iteration": found["iteration"],
        "hypervolume": _hypervolume(found),
        "created": tables.local_time(found["created_at"]),
        "finished": tables.local_time(found["finished_at"]),
        "task": found["task_id"],
        "error": error.get("message"),
        "hint": error.get("hint"),
    }
    tables.details(console, lines)
    if front:
        console.print()
        definition = Definition.model_validate(found["definition"])
        console.print(front_table(definition, front, console))


@app.command()
@of_server
def watch(
    reach: Reach,
    campaign: Which,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="write the report here at the end")
    ] = None,
) -> None:
    """Follow a campaign until it has ended; Ctrl-C leaves it running."""
    from rich.console import Console

    from materia.cli.watch import follow, show_end

    console = Console(highlight=False)
    with reach() as client:
        ended = follow(client, find(client, campaign)["id"], console)
        show_end(client, ended, console, output)


@app.command()
@of_server
def stop(reach: Reach, as_json: bool, campaign: Which) -> None:
    """Stop a campaign; results on their way are kept."""
    with reach() as client:
        stopped = client.campaigns.stop(find(client, campaign)["id"])
    _say(stopped, as_json, "is stopped")


@app.command()
@of_server
def pause(reach: Reach, as_json: bool, campaign: Which) -> None:
    """Start no further evaluation; those that run finish."""
    with reach() as client:
        paused = client.campaigns.pause(find(client, campaign)["id"])
    _say(paused, as_json, "is paused; `materia campaign resume` goes on")


@app.command()
@of_server
def resume(reach: Reach, as_json: bool, campaign: Which) -> None:
    """Go on with a paused campaign, as if there had been no pause."""
    with reach() as client:
        resumed = client.campaigns.resume(find(client, campaign)["id"])
    _say(resumed, as_json, "is running")


@app.command()
@of_server
def extend(
    reach: Reach,
    as_json: bool,
    campaign: Which,
    budget: Annotated[
        int, typer.Option(min=1, max=10_000, help="evaluations in all, those done included")
    ],
) -> None:
    """Raise the budget; a completed or converged campaign goes on."""
    with reach() as client:
        extended = client.campaigns.extend(find(client, campaign)["id"], budget)
    _say(extended, as_json, f"is {extended['state']}, with a budget of {extended['budget']}")


@app.command()
@of_server
def waiting(
    reach: Reach,
    as_json: bool,
    campaign: Which,
    sheet: Annotated[
        Path | None, typer.Option(help="CSV file to write, with empty cells for the results")
    ] = None,
) -> None:
    """Show the candidates that wait for a result."""
    from materia.cli import result_sheet, tables
    from materia.report.content import number

    with reach() as client:
        found = find(client, campaign)
        rows = [c for c in client.campaigns.candidates(found["id"]) if c["state"] == "proposed"]
    if sheet is not None:
        result_sheet.write(sheet, found["definition"], rows)
    if as_json:
        print_json(rows)
        return
    console = tables.stdout()
    if not rows:
        console.print(f"no candidate of '{found['name']}' waits: it is {found['state']}")
        return
    names = list(rows[0]["params"])
    lines = [(row["id"], *(number(row["params"].get(name)) for name in names)) for row in rows]
    console.print(tables.table_of(("id", *names), lines))
    if sheet is not None:
        console.print(
            f"fill in '{sheet}', then: materia campaign tell {found['name']} --sheet {sheet}"
        )


@app.command()
@of_server
def tell(
    reach: Reach,
    as_json: bool,
    campaign: Which,
    candidate: Annotated[
        str | None, typer.Argument(metavar="[CANDIDATE]", help="such as c0001")
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]...", help="each objective; VALUE or VALUE,ERROR"),
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="the experiment failed")] = False,
    sheet: Annotated[
        Path | None, typer.Option(help="CSV file of `materia campaign waiting --sheet`, filled in")
    ] = None,
) -> None:
    """Tell what was measured of candidates that people evaluate.

    In a sheet, rows without any result are left for later; a cell `failed` says that the
    experiment failed. All results are taken in, or none; the same ones again are fine.

    Example: materia campaign tell sol-gel c0001 gel_time=42 transparency=91,0.5
    """
    from materia.cli import result_sheet

    if (sheet is None) == (candidate is None):
        raise typer.BadParameter("name a candidate and its values, or a file with --sheet")
    if candidate is not None and failed == bool(values):
        raise typer.BadParameter("give NAME=VALUE of each objective, or --failed")
    with reach() as client:
        found = find(client, campaign)
        results = (
            result_sheet.read(sheet, found["definition"])
            if sheet is not None
            else {candidate: None if failed else result_sheet.pairs(values or [])}
        )
        told = client.campaigns.tell(found["id"], results)
    done = told["evaluations_completed"] + told["evaluations_failed"]
    _say(told, as_json, f"has {done} of {told['budget']} results and is {told['state']}")


@app.command()
@of_server
def clone(
    reach: Reach,
    campaign: Which,
    name: Annotated[str, typer.Argument(help="what the new campaign is called")],
) -> None:
    """Print a campaign's definition under another name, for a file that `materia run` reads."""
    with reach() as client:
        print_json(client.campaigns.clone(find(client, campaign)["id"], name))


@app.command()
@of_server
def delete(
    reach: Reach,
    as_json: bool,
    campaign: Annotated[str, typer.Argument(metavar="ID", help="the whole id")],
) -> None:
    """Delete a campaign that has ended, with its candidates and results."""
    with reach() as client:
        deleted = client.campaigns.delete(campaign)
    _say(deleted, as_json, "is deleted")


@app.command()
@of_server
def explain(
    reach: Reach,
    as_json: bool,
    campaign: Which,
    along: Annotated[
        str | None, typer.Option(metavar="PARAMETER", help="predictions along a parameter")
    ] = None,
    over: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="PARAMETER PARAMETER", help="predictions over two, as JSON"),
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="CANDIDATE", help="through this one, not the best")
    ] = None,
) -> None:
    """Show what the surrogate has learnt: what matters, how far it is right, what may still come.

    \b
    Examples:
      materia campaign explain alloy
      materia campaign explain alloy --along temperature
      materia campaign explain alloy --over nickel temperature --json
    """
    with reach() as client:
        found = find(client, campaign)
        if over is not None:
            print_json(client.campaigns.contour(found["id"], *over, at=at))
            return
        if along is not None:
            told = client.campaigns.slice(found["id"], along, at=at, points=21)
        else:
            told = client.campaigns.explanation(found["id"])
    if as_json:
        print_json(told)
    elif along is not None:
        explanation.print_slice(told, found["definition"])
    else:
        explanation.print_explanation(told, found["definition"])


@app.command()
@of_server
def train(
    reach: Reach,
    as_json: bool,
    campaign: Which,
    objective: Annotated[
        str | None, typer.Option(help="what the model predicts; needed where there are several")
    ] = None,
    config: Annotated[
        str | None, typer.Option(help="model_config of the training: JSON, or a file with it")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="wait and print the result")] = False,
) -> None:
    """Train a model on what a campaign has measured."""
    with reach() as client:
        found = find(client, campaign)
        started = client.campaigns.train_model(
            found["id"], objective=objective, model_config=_config(config)
        )
        if wait:
            print_json(client.jobs.result(started["task_id"]))
            return
    if as_json:
        print_json(started)
        return
    typer.echo(f"{started['task_id']} learns from {started['n_rows']} measurements")


@app.command()
@of_server
def report(
    reach: Reach,
    campaign: Which,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="folder to write into [default: runs/NAME-ID]"),
    ] = None,
) -> None:
    """Write table, figures and page of a campaign into a folder."""
    from materia.cli.watch import fetch_report

    with reach() as client:
        found = find(client, campaign)
        folder = output or Path("runs") / f"{found['name']}-{found['id'][:8]}"
        for name, path in fetch_report(client, found, folder).items():
            typer.echo(f"{name.replace('_', ' '):22}{path}")


@app.command()
@of_server
def export(
    reach: Reach,
    as_json: bool,
    campaign: Which,
    format: Annotated[  # noqa: A002 - the option's name
        Literal["csv", "json", "parquet", "xlsx", "html"] | None,
        typer.Option(help="kind of file [default: by the ending of --output, or csv]"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="file to write [default: as on the server, in this folder]"
        ),
    ] = None,
) -> None:
    """Write all candidates of a campaign to a file, on a worker of the server, and fetch it.

    html is the page of the report, for who has no figures installed here.
    """
    from materia.cli.job_display import follow
    from materia.cli.messages import counted, stderr

    ending = output.suffix[1:].lower() if output is not None else ""
    chosen = format or (ending if ending in ("csv", "json", "parquet", "xlsx", "html") else "csv")
    with reach() as client:
        found = find(client, campaign)
        job_id = client.campaigns.export(found["id"], format=chosen)["task_id"]
        follow(client, job_id, stderr())
        result = client.jobs.result(job_id)
        path = output or Path(Path(result["file"]).name)
        client.jobs.download(job_id, path)
    if as_json:
        print_json({**result, "output": str(path)})
        return
    typer.echo(f"{path}: {counted(result['rows'], 'candidate')}")


def _say(campaign: dict[str, Any], as_json: bool, what: str) -> None:
    if as_json:
        print_json(campaign)
        return
    typer.echo(f"{campaign['name']} ({campaign['id']}) {what}")


def find(client: Client, text: str) -> dict[str, Any]:
    """Return the campaign of an id, the beginning of one, or a name."""
    from materia.cli.tables import the_one

    if len(text) == ID_LENGTH:
        return dict(client.campaigns.get(text))
    if named := client.campaigns.list(name=text, limit=1)["items"]:
        return dict(named[0])
    return the_one("campaign", text, client.campaigns.list(limit=SEARCHED)["items"])


def _config(text: str | None) -> dict[str, Any]:
    """Return a configuration given as JSON, or as the name of a file with it."""
    import json

    if text is None:
        return {}
    try:
        given = json.loads(text if text.lstrip().startswith("{") else Path(text).read_bytes())
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"--config: {error}") from None
    if not isinstance(given, dict):
        raise typer.BadParameter("--config: must be a mapping of names to values")
    return given


def _hypervolume(campaign: dict[str, Any]) -> str:
    found = campaign["hypervolume"]
    several = len(campaign["definition"]["objectives"]) > 1
    return f"{found:.5g}" if found is not None and several else ""
