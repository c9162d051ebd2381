"""What `docs/schedules.md` shows is run as a reader would run it, and what it claims is true."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from typer.testing import CliRunner

from materia import cli
from materia.broker.app import app as celery
from materia.client import Client
from materia.services import due_times, schedules
from materia.services.due_times import Timing
from serving import BEARER, ThreadServer, serving_commands

PAGE = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text()
BERLIN = ZoneInfo("Europe/Berlin")


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language in order."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


@pytest.fixture
def server(backends: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadServer]:
    """Return a running API that commands find by the environment."""
    with serving_commands(monkeypatch) as started:
        yield started


def test_the_commands_run_in_their_order(server: ThreadServer) -> None:
    printed: dict[str, str] = {}
    for line in blocks("sh")[0].splitlines():
        result = CliRunner().invoke(cli.app, shlex.split(line)[1:])
        assert result.exit_code == cli.OK, f"{line}: {result.output} {result.exception!r}"
        printed[line] = str(result.stdout)
    listed = printed["materia schedule list"]
    assert "0 2 * * * Europe/Berlin" in listed
    assert "every 30m" in listed
    job_id = printed["materia schedule run nightly"].strip()
    assert job_id in printed["materia schedule show nightly"]
    (left,) = schedules.every()
    assert (left["id"], left["timezone"]) == ("nightly", "Europe/Berlin")


def test_the_python_example_runs(server: ThreadServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "local", lambda: Client(server.url))
    found: dict[str, Any] = {}
    exec(blocks("python")[1], found)  # noqa: S102 - the page is ours
    assert found["made"]["crontab"] == "0 6 * * 1"
    assert [run["job_id"] for run in found["runs"]] == [found["started"]["task_id"]]
    weekly = schedules.get("weekly")
    assert (weekly["missed"], weekly["expires_at"]) == ("skip", None)


def test_the_request_of_curl_is_taken(server: ThreadServer) -> None:
    words = shlex.split(blocks("sh")[1].replace("\\\n", " "))
    (path,) = (word for word in words if word.startswith("$URL"))
    headers = dict(word.split(": ") for word in words if re.match(r"[\w-]+: ", word))
    # The page writes $KEY for it.
    headers |= BEARER
    content = words[words.index("-d") + 1]
    answer = httpx.post(path.replace("$URL", server.url), content=content, headers=headers)
    assert answer.status_code == 201, answer.text
    assert schedules.get("hourly")["crontab"] == "0 * * * *"


def test_the_configuration_becomes_rows(
    backends: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, Any] = {}
    exec(blocks("python")[0], found)  # noqa: S102 - the page is ours
    monkeypatch.setitem(celery.conf, "beat_schedule", found["beat_schedule"])
    assert schedules.ensure_configured() == 2
    frequent, nightly = schedules.every()
    assert (frequent["interval_s"], frequent["missed"]) == (300.0, "one")
    assert (nightly["crontab"], nightly["missed"]) == ("0 2 * * *", "skip")
    assert (nightly["queue"], nightly["priority"]) == ("low_priority", 1)


@pytest.mark.parametrize(
    ("line", "times"),
    [
        ("0 2 * * *", ["Sun 22 Nov 02:00", "Mon 23 Nov 02:00"]),
        ("30 6 * * 1-5", ["Mon 23 Nov 06:30", "Tue 24 Nov 06:30"]),
        ("*/15 8-17 * * *", ["Sat 21 Nov 17:45", "Sun 22 Nov 08:00"]),
        ("0 0 1 * *", ["Tue 01 Dec 00:00", "Fri 01 Jan 00:00"]),
        ("0 12 * * 0", ["Sun 22 Nov 12:00", "Sun 29 Nov 12:00"]),
        ("0 9 * * MON#1", ["Mon 07 Dec 09:00", "Mon 04 Jan 09:00"]),
        ("0 18 L * *", ["Mon 30 Nov 18:00", "Thu 31 Dec 18:00"]),
    ],
)
def test_lines_are_due_when_the_page_says(line: str, times: list[str]) -> None:
    timing = Timing(line, "UTC", None, 0.0)
    moment: float | None = datetime(2026, 11, 21, 17, 40, tzinfo=UTC).timestamp()
    for expected in times:
        assert moment is not None
        moment = timing.after(moment)
        assert moment is not None
        assert datetime.fromtimestamp(moment, UTC).strftime("%a %d %b %H:%M") == expected
    assert f"| `{line}` |" in PAGE


def test_every_line_of_the_page_is_tried() -> None:
    assert len(re.findall(r"^\| `[^`]+ [^`]+` \|", PAGE, re.M)) == 7


def test_clocks_change_as_the_page_says() -> None:
    def after(line: str, *when: int) -> datetime:
        start = datetime(*when, tzinfo=BERLIN).timestamp()  # type: ignore[misc,arg-type]
        found = Timing(line, "Europe/Berlin", None, 0.0).after(start)
        assert found is not None
        return datetime.fromtimestamp(found, BERLIN)

    # Put forward on 29 March 2026, back on 25 October.
    assert after("30 2 * * *", 2026, 3, 28, 12) == datetime(2026, 3, 29, 3, tzinfo=BERLIN)
    once = after("30 2 * * *", 2026, 10, 25)
    assert (once.day, once.fold) == (25, 0)
    following = Timing("30 2 * * *", "Europe/Berlin", None, 0.0).after(once.timestamp())
    assert following == datetime(2026, 10, 26, 2, 30, tzinfo=BERLIN).timestamp()
    for line, step in (("0 * * * *", 3600), ("*/30 * * * *", 1800)):
        timing = Timing(line, "Europe/Berlin", None, 0.0)
        moment = datetime(2026, 10, 25, 0, tzinfo=BERLIN).timestamp()
        for _ in range(12):
            following = timing.after(moment)
            assert following == moment + step
            moment = following


def test_numbers_and_policies_are_those_of_the_code() -> None:
    assert f"more than {due_times.GRACE_S:g} seconds" in PAGE
    assert f"at least {due_times.MIN_INTERVAL_S:g} seconds" in PAGE
    assert f"at most the newest {due_times.MAX_MISSED} |" in PAGE
    assert f"at most {schedules.MAX_SCHEDULES} schedules" in PAGE
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.M)) == set(due_times.MISSED)


def test_the_readme_leads_here() -> None:
    assert "(docs/schedules.md)" in (Path(__file__).parents[2] / "README.md").read_text()
