"""`materia schedule …` without a server: what it sends, prints and teaches."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from click.testing import Result
from rich.console import Console
from typer.testing import CliRunner

from materia import cli
from materia.cli import connection
from materia.cli import schedule as commands
from materia.client import Client
from materia.errors import NotFoundError
from materia.services.due_times import Timing

SCHEDULE: dict[str, Any] = {
    "id": "nightly",
    "task": "tasks.simple_tasks.ping",
    "kwargs": {"table": "models", "keep": 3},
    "queue": None,
    "priority": 2,
    "crontab": "0 2 * * *",
    "timezone": "Europe/Berlin",
    "interval_s": None,
    "missed": "one",
    "is_paused": False,
    "is_configured": False,
    "requested_by": "api",
    "next_at": "2026-11-22T01:00:00+00:00",
    "starts_at": None,
    "expires_at": None,
    "created_at": "2026-11-21T12:00:00+00:00",
}
RUN = {"job_id": "7d3c", "due_at": "2026-11-21T01:00:00+00:00", "fired_at": None}


class Server:
    """Answers every request with what is known, and keeps the requests."""

    def __init__(self) -> None:
        self.schedules = [SCHEDULE]
        self.n_more = 0
        self.requests: list[httpx.Request] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Serve one request."""
        self.requests.append(request)
        last = request.url.path.removeprefix("/api/v1").rsplit("/", 1)[1]
        content: Any = self.schedules[0] if self.schedules else None
        if request.method == "GET" and last == "schedules":
            content = self._page(self.schedules)
        elif last == "runs":
            content = self._page([RUN])
        elif last == "run":
            content = {"task_id": "7d3c", "links": {}}
        elif last == "missing":
            problem = {"code": "not_found", "detail": "there is none", "hint": "list them"}
            return httpx.Response(404, json=problem)
        return httpx.Response(200, json=content)

    def _page(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        return {"items": items, "next_cursor": None, "total": len(items) + self.n_more}

    @property
    def last(self) -> tuple[str, str]:
        """Method and path of the last request."""
        request = self.requests[-1]
        return request.method, request.url.path.removeprefix("/api/v1")

    @property
    def body(self) -> dict[str, Any]:
        """Body of the last request."""
        return dict(json.loads(self.requests[-1].content))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Return what answers the commands of a test."""
    found = Server()

    def connect(*_: object) -> Client:
        return Client("http://test", transport=httpx.MockTransport(found.answer))

    monkeypatch.setattr(connection, "connect", connect)
    yield found


def materia(*arguments: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(cli.app, ["schedule", *arguments], env={"COLUMNS": "80"})


def printed(*arguments: str) -> str:
    """Return what a command prints when all is well."""
    result = materia(*arguments)
    assert result.exit_code == cli.OK, result.output
    return str(result.stdout)


def add(server: Server, *options: str) -> dict[str, Any]:
    """Return the body that adding a schedule sends."""
    printed("add", "nightly", "simple_tasks.ping", *options)
    assert server.last == ("POST", "/schedules")
    return server.body


def test_a_line_of_cron_is_sent_with_the_arguments_of_the_task(server: Server) -> None:
    line = ("--cron", "0 2 * * *", "--timezone", "Europe/Berlin", "--missed", "all")
    body = add(server, "table=models", "keep=3", "of=[1, 2]", "name=a=b", *line, "--priority", "9")
    assert (body["id"], body["task"]) == ("nightly", "tasks.simple_tasks.ping")
    assert body["kwargs"] == {"table": "models", "keep": 3, "of": [1, 2], "name": "a=b"}
    assert (body["crontab"], body["timezone"]) == ("0 2 * * *", "Europe/Berlin")
    assert (body["missed"], body["priority"], body["interval_s"]) == ("all", 9, None)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1.5h", 5400), ("2d", 172800)]
)
def test_an_interval_is_written_with_its_unit(server: Server, text: str, seconds: float) -> None:
    body = add(server, "--every", text)
    assert (body["interval_s"], body["crontab"]) == (seconds, None)


def test_a_time_without_a_zone_is_meant_where_the_user_is(server: Server) -> None:
    times = ("--starts", "2027-06-01", "--expires", "2027-06-30T18:00-03:00")
    body = add(server, "--every", "1h", *times)
    starts, expires = (datetime.fromisoformat(body[key]) for key in ("starts_at", "expires_at"))
    assert starts == datetime(2027, 6, 1).astimezone()
    assert expires == datetime(2027, 6, 30, 21, tzinfo=UTC)
    assert starts.tzinfo is not None


def test_only_what_is_named_is_changed(server: Server) -> None:
    shown = printed("change", "nightly", "--every", "12h", "--expires", "never")
    assert server.last == ("PATCH", "/schedules/nightly")
    assert server.body == {"interval_s": 43200, "expires_at": None}
    assert "nightly is due next: 2026-11-2" in shown
    printed("change", "nightly", "keep=4", "--queue", "ml")
    assert server.body == {"kwargs": {"keep": 4}, "queue": "ml"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "s", "simple_tasks.ping"), "--every 30m"),
        (("add", "s", "simple_tasks.ping", "--cron", "0 2 * * *", "--every", "1h"), "either"),
        (("add", "s", "simple_tasks.ping", "--every", "often"), "2h or 1d"),
        (("add", "s", "simple_tasks.ping", "--every", "-5m"), "2h or 1d"),
        (("add", "s", "simple_tasks.ping", "--every", "1h", "--expires", "soon"), "--expires"),
        (("add", "s", "simple_tasks.ping", "x", "--every", "1h"), "NAME=VALUE"),
        (("add", "s", "simple_tasks.ping", "--every", "1h", "--priority", "10"), "priority"),
        (("change", "nightly"), "say what to change"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error_and_is_not_sent(
    server: Server, arguments: tuple[str, ...], said: str
) -> None:
    result = materia(*arguments)
    assert result.exit_code == cli.USAGE, result.output
    assert said in " ".join(re.sub(r"[│╭╮╰╯─]", " ", result.output).split())
    assert server.requests == []


def test_a_list_says_when_each_is_due(server: Server) -> None:
    times = {"crontab": None, "interval_s": 5400.0, "missed": "skip"}
    paused = {**SCHEDULE, **times, "id": "rounds", "is_paused": True, "next_at": None}
    ended = {**SCHEDULE, "id": "over", "next_at": None}
    server.schedules, server.n_more = [SCHEDULE, paused, ended], 4
    head, nightly, rounds, over, more = printed("list").splitlines()
    assert head.split() == ["id", "task", "when", "next"]
    assert nightly.startswith("nightly  simple_tasks.ping  0 2 * * * Europe/Berlin  2026-11-2")
    assert rounds.split() == ["rounds", "simple_tasks.ping", "every", "90m", "paused"]
    assert over.split()[-1] == "never"
    assert more.startswith("… and 4 further ones")
    assert json.loads(printed("list", "--json"))["items"] == server.schedules


def test_an_empty_list_says_what_to_do_next(server: Server) -> None:
    server.schedules = []
    assert "materia schedule add --help" in printed("list")


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(5.0, "5s"), (90.0, "90s"), (60.0, "1m"), (5400.0, "90m"), (86400.0, "1d"), (7.5, "7.5s")],
)
def test_an_interval_is_told_in_its_largest_whole_unit(
    server: Server, seconds: float, written: str
) -> None:
    server.schedules = [{**SCHEDULE, "crontab": None, "interval_s": seconds}]
    assert f"every {written} " in printed("list")


@pytest.mark.parametrize("length", [10, 30, 128])
def test_a_list_fits_eighty_columns_and_loses_nothing(length: int) -> None:
    long = {**SCHEDULE, "id": "Q" * length, "task": "tasks.data_tasks." + "Z" * length}
    names = {**SCHEDULE, "id": "daily-model-retraining", "task": "tasks.ml_tasks.retrain_models"}
    screen = io.StringIO()
    table = commands.table_of([names, long])
    Console(file=screen, width=80, highlight=False).print(table)
    shown = screen.getvalue()
    assert max(map(len, shown.splitlines())) <= 80
    assert (shown.count("Q"), shown.count("Z")) == (length, length)
    assert "…" not in shown
    assert len(re.findall(r"2026-11-2\d \d\d:\d\d$", shown, re.M)) == 2


def test_one_schedule_is_shown_with_its_last_times(server: Server) -> None:
    shown = printed("show", "nightly")
    for part in (
        '{"table": "models", "keep": 3}',
        "0 2 * * * Europe/Berlin",
        "times fired",
        "7d3c",
    ):
        assert part in shown
    assert "celeryconfig" not in shown
    assert json.loads(printed("show", "nightly", "--json")) == {**SCHEDULE, "runs": [RUN]}
    server.schedules = [{**SCHEDULE, "is_configured": True}]
    assert "celeryconfig.py" in printed("show", "nightly")


@pytest.mark.parametrize(
    ("verb", "request_line", "said"),
    [
        ("pause", ("POST", "/schedules/nightly/pause"), "nightly is due next"),
        ("resume", ("POST", "/schedules/nightly/resume"), "nightly is due next"),
        ("run", ("POST", "/schedules/nightly/run"), "7d3c"),
        ("delete", ("DELETE", "/schedules/nightly"), "nightly is deleted"),
    ],
)
def test_a_verb_is_one_request(
    server: Server, verb: str, request_line: tuple[str, str], said: str
) -> None:
    assert said in printed(verb, "nightly")
    assert server.last == request_line
    assert len(server.requests) == 1
    json.loads(printed(verb, "nightly", "--json"))


def test_a_paused_schedule_is_said_to_be(server: Server) -> None:
    server.schedules = [{**SCHEDULE, "is_paused": True, "next_at": None}]
    assert printed("pause", "nightly") == "nightly is paused\n"


def test_what_the_server_refuses_ends_as_its_error(server: Server) -> None:
    result = materia("show", "missing")
    assert isinstance(result.exception, NotFoundError)
    assert result.exception.hint == "list them"


def test_help_teaches_lines_of_cron_that_are_due_when_it_says() -> None:
    shown = printed("add", "--help")
    taught = dict(re.findall(r'^ +"([^"]+)" {2,}(\w.*?) *$', shown, re.M))
    assert len(taught) == 5
    for line in taught:
        Timing(line, "UTC", None, 0.0).check()
    saturday = datetime(2026, 11, 21, 13, 50, tzinfo=UTC).timestamp()
    due = {line: _first(line, saturday) for line in taught}
    assert due == {
        "0 2 * * *": "Sun 22 02:00",
        "30 6 * * 1-5": "Mon 23 06:30",
        "*/15 8-17 * * *": "Sat 21 14:00",
        "0 0 1 * *": "Tue 01 00:00",
        "0 12 * * 0": "Sun 22 12:00",
    }


def _first(line: str, after: float) -> str:
    found = Timing(line, "UTC", None, 0.0).after(after)
    assert found is not None
    return datetime.fromtimestamp(found, UTC).strftime("%a %d %H:%M")


@pytest.mark.parametrize("verb", ["add", "change"])
def test_the_examples_of_the_help_are_taken(server: Server, verb: str) -> None:
    shown = printed(verb, "--help")
    examples = re.findall(r"^ +materia schedule (\w+ .*?) *$", shown, re.M)
    assert len(examples) == 2
    for example in examples:
        printed(*(a.strip('"') for a in re.findall(r'"[^"]*"|\S+', example)))
    assert len(server.requests) == 2


def test_every_verb_has_a_help_that_fits_eighty_columns() -> None:
    for verb in ("list", "show", "add", "change", "pause", "resume", "run", "delete"):
        shown = printed(verb, "--help")
        assert f"schedule {verb}" in shown
        assert max(map(len, shown.splitlines())) <= 80
        assert ("--json" in shown) and ("--server" in shown)


def test_names_of_common_length_stay_whole_in_eighty_columns() -> None:
    names = {**SCHEDULE, "id": "daily-model-retraining", "task": "tasks.ml_tasks.retrain_models"}
    screen = io.StringIO()
    Console(file=screen, width=80, highlight=False).print(commands.table_of([names]))
    shown = screen.getvalue()
    assert max(map(len, shown.splitlines())) <= 80
    for part in (names["id"], "ml_tasks.retrain_models", "0 2 * * *", "Europe/Berlin"):
        assert part in shown
