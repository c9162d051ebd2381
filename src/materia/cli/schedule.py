"""`materia schedule …`: tasks that a server submits at their times."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from materia.cli.arguments import arguments_of, compact, full_name
from materia.cli.connection import Reach, of_server, print_json

if TYPE_CHECKING:
    from rich.table import Table

HELP = """Submit jobs at their times: list, add, change, pause.

A schedule has an id, a task, and either a line of cron or an interval:

\b
  materia schedule add nightly simple_tasks.ping --cron "0 2 * * *"
  materia schedule add often simple_tasks.ping --every 30m

`materia schedule add --help` explains lines of cron.
"""
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
NEVER = "never"
SHOWN_RUNS = 5
# Names up to this length stay in one line of a list.
WHOLE = 24

app = typer.Typer(no_args_is_help=True, help=HELP)

ScheduleId = Annotated[str, typer.Argument(metavar="ID", help="id of the schedule")]
Cron = Annotated[
    str | None, typer.Option(metavar="LINE", help="minute hour day month weekday, in quotes")
]
Every = Annotated[str | None, typer.Option(metavar="TIME", help="an interval: 90s, 5m, 2h, 1d")]
Timezone = Annotated[
    str | None, typer.Option(metavar="NAME", help="of the line of cron, such as Europe/Berlin")
]
Missed = Annotated[
    str | None,
    typer.Option(metavar="POLICY", help="of times at which no scheduler ran: skip, one or all"),
]
Queue = Annotated[str | None, typer.Option(help="other than the one of the task")]
Priority = Annotated[int | None, typer.Option(min=0, max=9, help="9 is the most urgent")]
Arguments = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="values are JSON or text")
]


@app.command("list")
@of_server
def list_schedules(
    reach: Reach,
    as_json: bool,
    limit: Annotated[int, typer.Option(min=1, max=200, help="at most so many")] = 100,
) -> None:
    """List schedules by id, with the next time of each."""
    from materia.cli import tables

    with reach() as client:
        page = client.schedules.list(limit=limit)
    if as_json:
        print_json(page)
        return
    console = tables.stdout()
    if not page["items"]:
        none = "there is no schedule yet; `materia schedule add --help` tells how to make one"
        console.print(none, soft_wrap=True)
        return
    console.print(table_of(page["items"]))
    tables.more(console, page, "further")


@app.command()
@of_server
def show(reach: Reach, as_json: bool, schedule: ScheduleId) -> None:
    """Show one schedule, and when it fired last."""
    from materia.cli import tables

    with reach() as client:
        found = client.schedules.get(schedule)
        page = client.schedules.runs(schedule, limit=SHOWN_RUNS)
    if as_json:
        print_json({**found, "runs": page["items"]})
        return
    lines = {
        "id": found["id"],
        "task": found["task"],
        "arguments": compact(found["kwargs"]),
        "when": _when(found),
        "next": _next(found),
        "missed times": found["missed"],
        "queue": found["queue"],
        "priority": found["priority"],
        "expires": tables.local_time(found["expires_at"]),
        "made by": "celeryconfig.py" if found["is_configured"] else found["requested_by"],
        "created": tables.local_time(found["created_at"]),
        "times fired": page["total"],
    }
    console = tables.stdout()
    tables.details(console, lines)
    if page["items"]:
        rows = [(tables.local_time(run["due_at"]), run["job_id"]) for run in page["items"]]
        console.print()
        console.print(tables.table_of(("last times", "job"), rows))


@app.command()
@of_server
def add(
    reach: Reach,
    as_json: bool,
    schedule: Annotated[
        str, typer.Argument(metavar="ID", help="yours to choose: letters, digits, - and _")
    ],
    task: Annotated[str, typer.Argument(help="such as simple_tasks.ping")],
    arguments: Arguments = None,
    cron: Cron = None,
    every: Every = None,
    timezone: Timezone = None,
    missed: Missed = None,
    queue: Queue = None,
    priority: Priority = None,
    starts: Annotated[
        str | None, typer.Option(metavar="WHEN", help="first time of an interval")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="WHEN", help="nothing is submitted later")
    ] = None,
) -> None:
    """Make a schedule: a task, and a line of cron or an interval.

    A line of cron is five fields: minute, hour, day of the month, month, weekday.

    \b
      "0 2 * * *"        daily at 2:00
      "30 6 * * 1-5"     at 6:30 from Monday to Friday
      "*/15 8-17 * * *"  every quarter of an hour from 8:00 to 17:45
      "0 0 1 * *"        on the first of each month at midnight
      "0 12 * * 0"       on Sundays at noon

    Its times are UTC unless --timezone says otherwise. WHEN is a time where you
    are, such as 2027-01-31T18:00, or has its own zone: 2027-01-31T18:00+01:00.

    \b
    Examples:
      materia schedule add nightly simple_tasks.ping --cron "0 2 * * *"
      materia schedule add rounds simple_tasks.ping --every 30m --missed skip
    """
    if (cron is None) == (every is None):
        raise typer.BadParameter('give either --cron "0 2 * * *" or --every 30m')
    given = {
        "crontab": cron,
        "interval_s": every and _interval(every),
        "timezone": timezone,
        "missed": missed,
        "queue": queue,
        "priority": priority,
        "starts_at": starts and _time(starts, "--starts"),
        "expires_at": expires and _time(expires, "--expires"),
    }
    kwargs = arguments_of(task, arguments)
    with reach() as client:
        made = client.schedules.create(schedule, full_name(task), kwargs, **_known(given))
    _told(made, as_json)


@app.command()
@of_server
def change(
    reach: Reach,
    as_json: bool,
    schedule: ScheduleId,
    arguments: Arguments = None,
    cron: Cron = None,
    every: Every = None,
    timezone: Timezone = None,
    missed: Missed = None,
    queue: Queue = None,
    priority: Priority = None,
    expires: Annotated[
        str | None, typer.Option(metavar="WHEN", help="nothing is submitted later; or 'never'")
    ] = None,
) -> None:
    """Change a schedule; what is not named stays.

    Arguments that are given replace all that it had. Its clock goes on, unless
    the timing itself changes. `materia schedule add --help` explains --cron.

    \b
    Examples:
      materia schedule change nightly --cron "30 3 * * *" --timezone Europe/Berlin
      materia schedule change nightly --every 12h --expires never
    """
    values = _known(
        {
            "crontab": cron,
            "interval_s": every and _interval(every),
            "timezone": timezone,
            "missed": missed,
            "queue": queue,
            "priority": priority,
        }
    )
    if expires is not None:
        values["expires_at"] = None if expires == NEVER else _time(expires, "--expires")
    if not values and not arguments:
        raise typer.BadParameter("say what to change: NAME=VALUE, or an option such as --cron")
    with reach() as client:
        if arguments:
            values["kwargs"] = arguments_of(client.schedules.get(schedule)["task"], arguments)
        changed = client.schedules.change(schedule, **values)
    _told(changed, as_json)


@app.command()
@of_server
def pause(reach: Reach, as_json: bool, schedule: ScheduleId) -> None:
    """Let its times pass until it is resumed."""
    with reach() as client:
        _told(client.schedules.pause(schedule), as_json)


@app.command()
@of_server
def resume(reach: Reach, as_json: bool, schedule: ScheduleId) -> None:
    """Go on from the next time; what passed meanwhile is not caught up."""
    with reach() as client:
        _told(client.schedules.resume(schedule), as_json)


@app.command()
@of_server
def run(reach: Reach, as_json: bool, schedule: ScheduleId) -> None:
    """Submit its job now, besides its times, and print the id of the job."""
    with reach() as client:
        submitted = client.schedules.run(schedule)
    if as_json:
        print_json(submitted)
        return
    typer.echo(submitted["task_id"])


@app.command()
@of_server
def delete(reach: Reach, as_json: bool, schedule: ScheduleId) -> None:
    """Delete a schedule and its history; its jobs stay."""
    with reach() as client:
        deleted = client.schedules.delete(schedule)
    if as_json:
        print_json(deleted)
        return
    typer.echo(f"{deleted['id']} is deleted")


def table_of(schedules: list[dict[str, Any]]) -> Table:
    """Return schedules as a table; in a narrow terminal long names go on in the next line."""
    from materia.cli import tables

    rows = [
        (s["id"], s["task"].removeprefix("tasks."), _when(s), _next(s, seconds=False))
        for s in schedules
    ]
    table = tables.table_of(("id", "task", "when", "next"), rows)
    for number, column in enumerate(table.columns[:-1]):
        is_short = all(len(row[number]) <= WHOLE for row in rows)
        # A line of cron and its zone are two words, and may share a cell first.
        column.no_wrap, column.overflow = is_short and column.header != "when", "fold"
    return table


def _when(schedule: dict[str, Any]) -> str:
    if schedule["crontab"] is not None:
        return f"{schedule['crontab']} {schedule['timezone']}"
    seconds = schedule["interval_s"]
    fitting = [(s, unit) for unit, s in UNITS_S.items() if seconds % s == 0]
    size, unit = max(fitting, default=(1, "s"))
    return f"every {seconds / size:g}{unit}"


def _next(schedule: dict[str, Any], *, seconds: bool = True) -> str:
    from materia.cli.tables import local_time

    if schedule["is_paused"]:
        return "paused"
    time = local_time(schedule["next_at"]) or NEVER
    return time if seconds else time.rpartition(":")[0] or time


def _told(schedule: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(schedule)
    elif schedule["is_paused"]:
        typer.echo(f"{schedule['id']} is paused")
    else:
        typer.echo(f"{schedule['id']} is due next: {_next(schedule)}")


def _interval(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if found is None:
        raise typer.BadParameter(f"--every: '{text}' is no interval; write 90s, 5m, 2h or 1d")
    return float(found[1]) * UNITS_S[found[2] or "s"]


def _time(text: str, option: str) -> datetime:
    """Return a time; one without a zone is meant where the reader is."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{option}: '{text}' is no time; write 2027-01-31T18:00 or 2027-01-31T18:00+01:00"
        ) from None


def _known(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}
