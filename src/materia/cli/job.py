"""`materia job …`: jobs of a server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from materia.cli.arguments import PREFIX, arguments_of, compact, full_name
from materia.cli.connection import Reach, of_server, print_json

if TYPE_CHECKING:
    from materia.client import Client

app = typer.Typer(no_args_is_help=True, help="Submit jobs to a server, look at them, cancel them.")

JobId = Annotated[str, typer.Argument(metavar="ID", help="id of the job, or its beginning")]
SEARCHED = 200


@app.command("list")
@of_server
def list_jobs(
    reach: Reach,
    as_json: bool,
    state: Annotated[str | None, typer.Option(help="only those in this state")] = None,
    task: Annotated[str | None, typer.Option(help="only those of this task")] = None,
    queue: Annotated[str | None, typer.Option(help="only those of this queue")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="at most so many")] = 20,
) -> None:
    """List jobs, newest first."""
    from materia.cli import tables

    chosen = {"state": state and state.upper(), "task": task and full_name(task), "queue": queue}
    with reach() as client:
        page = client.jobs.list(**chosen, limit=limit)
    if as_json:
        print_json(page)
        return
    console = tables.stdout()
    if not page["items"]:
        none = "no job matches" if any(chosen.values()) else "there is no job yet"
        console.print(f"{none}; `materia job submit simple_tasks.ping` submits one", soft_wrap=True)
        return
    rows = [
        (
            tables.shown_id(console, job["id"]),
            job["task"].removeprefix(PREFIX),
            job["state"],
            job["queue"],
            job["priority"],
            job["attempt"],
            tables.local_time(job["queued_at"]),
        )
        for job in page["items"]
    ]
    headings = ("id", "task", "state", "queue", "priority", "attempt", "queued")
    console.print(tables.table_of(headings, rows))
    tables.more(console, page)


@app.command()
@of_server
def show(reach: Reach, as_json: bool, job: JobId) -> None:
    """Show one job."""
    from materia.cli import tables

    with reach() as client:
        found = find(client, job)
    if as_json:
        print_json(found)
        return
    error = found["error"] or {}
    lines = {
        "id": found["id"],
        "task": found["task"],
        "arguments": compact({**found["kwargs"]} or found["args"]),
        "state": found["state"],
        "queue": f"{found['queue']} (priority {found['priority']})",
        "attempt": found["attempt"] or None,
        "progress": _progress(found["progress"]),
        "worker": found["worker"],
        "campaign": found["campaign_id"],
        "queued": tables.local_time(found["queued_at"]),
        "started": tables.local_time(found["started_at"]),
        "finished": tables.local_time(found["finished_at"]),
        "result": compact(found["result"]),
        "error": error.get("message"),
        "hint": error.get("hint"),
    }
    tables.details(tables.stdout(), lines)


@app.command()
@of_server
def log(
    reach: Reach,
    as_json: bool,
    job: JobId,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="go on until the job has ended")
    ] = False,
) -> None:
    """Print what a job has logged."""
    with reach() as client:
        job = find(client, job)["id"]
        shown = _print_lines(client.jobs.log(job), as_json=as_json)
        if not follow:
            return
        try:
            for _ in client.jobs.watch(job):
                shown = _print_lines(client.jobs.log(job, after=shown), shown, as_json=as_json)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        _print_lines(client.jobs.log(job, after=shown), shown, as_json=as_json)


@app.command()
@of_server
def submit(
    reach: Reach,
    as_json: bool,
    task: Annotated[str, typer.Argument(help="such as simple_tasks.ping")],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="values are JSON or text")
    ] = None,
    queue: Annotated[str | None, typer.Option(help="other than the one of the task")] = None,
    priority: Annotated[int | None, typer.Option(min=0, max=9, help="9 is the most urgent")] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="show progress, and print the result")
    ] = False,
) -> None:
    """Submit a task as a job."""
    kwargs = arguments_of(task, arguments)
    with reach() as client:
        submitted = client.jobs.submit(full_name(task), kwargs, queue=queue, priority=priority)
        report(client, submitted, wait, as_json)


@app.command()
@of_server
def watch(reach: Reach, job: JobId) -> None:
    """Show how far a job is until it has ended, and print its result."""
    with reach() as client:
        _print_result(client, find(client, job)["id"])


@app.command()
@of_server
def result(reach: Reach, job: JobId) -> None:
    """Print the result of a job that has ended; the job's own error, if it failed."""
    from materia.errors import StateError

    with reach() as client:
        found = find(client, job)
        if found["finished_at"] is None:
            raise StateError(
                f"job {found['id']!r} has no result yet: it is {found['state']}",
                f"`materia job watch {found['id']}` waits for it",
            )
        print_json(client.jobs.result(found["id"]))


def report(client: Client, submitted: dict[str, Any], wait: bool, as_json: bool) -> None:
    """Print the id of a job that was submitted, or follow it and print its result."""
    if wait:
        _print_result(client, submitted["task_id"])
    elif as_json:
        print_json(submitted)
    else:
        typer.echo(submitted["task_id"])


def _print_result(client: Client, job_id: str) -> None:
    from materia.cli.job_display import follow
    from materia.cli.messages import stderr

    follow(client, job_id, stderr())
    print_json(client.jobs.result(job_id))


@app.command()
@of_server
def cancel(reach: Reach, as_json: bool, job: JobId) -> None:
    """Cancel a job; one that runs ends a little later."""
    with reach() as client:
        found = client.jobs.cancel(find(client, job)["id"])
    if as_json:
        print_json(found)
        return
    asked = found["is_cancel_requested"] and found["state"] == "RUNNING"
    typer.echo(f"{found['id']} is asked to stop" if asked else f"{found['id']} is {found['state']}")


@app.command()
@of_server
def retry(reach: Reach, as_json: bool, job: JobId) -> None:
    """Submit the task of a failed or cancelled job again, as a new job."""
    with reach() as client:
        submitted = client.jobs.retry(find(client, job)["id"])
    if as_json:
        print_json(submitted)
        return
    typer.echo(submitted["task_id"])


def find(client: Client, text: str) -> dict[str, Any]:
    """Return the job of an id, or of the beginning of one among the newest."""
    from materia.cli.tables import the_one
    from materia.errors import NotFoundError

    try:
        return dict(client.jobs.get(text))
    except NotFoundError:
        return the_one("job", text, client.jobs.list(limit=SEARCHED)["items"])


def _progress(progress: dict[str, Any] | None) -> str | None:
    if progress is None:
        return None
    total = f" of {progress['total']:g}" if progress["total"] is not None else ""
    return f"{progress['done']:g}{total} {progress['message']}".rstrip()


def _print_lines(lines: list[dict[str, Any]], last: int = 0, *, as_json: bool) -> int:
    """Print lines of a log and return the number of the last one."""
    from materia.cli.tables import local_time

    for line in lines:
        if as_json:
            typer.echo(json.dumps(line, ensure_ascii=False))
        else:
            typer.echo(f"{local_time(line['time'])} {line['level']:7} {line['text']}")
    return int(lines[-1]["number"]) if lines else last
