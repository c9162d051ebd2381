"""What `docs/health-and-notifications.md` shows is run, and its numbers are those of the code."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fixtures import KEY, only_sqlite
from materia import cli, settings
from materia.broker.app import app
from materia.client import Client
from materia.outbound import child, delivery, guard
from materia.services import canaries, cluster_health, health, jobs, notifications, schedules
from materia.tasks import campaign_tasks
from servers import wait_until
from serving import ThreadServer
from workers import Cluster

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "health-and-notifications.md").read_text()


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language in order."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.S)


def materia(line: str) -> str:
    """Run a command of the page."""
    result = CliRunner().invoke(cli.app, shlex.split(line)[1:])
    assert result.exit_code == cli.OK, f"{line}: {result.output} {result.exception!r}"
    return str(result.stdout)


@only_sqlite
def test_the_examples_run(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATERIA_LEASE_S", "20")
    cluster.environment["MATERIA_LEASE_S"] = "20"
    del cluster.environment["MATERIA_CELERY_BEAT_SCHEDULE"]
    settings.current.cache_clear()
    cluster.worker()
    cluster.scheduler()
    wait_until(lambda: not any(health.checks().values()), "the scheduler leads")
    every = set(app.conf.beat_schedule)
    wait_until(lambda: len(schedules.every()) >= len(every) - 1, "schedules are rows")
    with ThreadServer() as server:
        monkeypatch.setenv("MATERIA_SERVER", server.url)
        monkeypatch.setattr(Client, "local", lambda: Client(server.url))
        wait_until(lambda: cluster_health.look()["status"] == "healthy", "all is well")
        checks, curl, _, send, clean_ups = blocks("sh")
        printed = {line: materia(line) for line in checks.splitlines()}
        assert json.loads(printed["materia health --json"])["status"] == "healthy"
        job_id = printed["materia schedule run cluster-health-check"].strip()
        assert set(cluster.wait(job_id)["result"]["parts"]) <= set(parts_of_the_page())
        submitted = [materia(line).split()[0] for line in (send + clean_ups).splitlines()[:3]]
        results = [cluster.wait(found_id(text))["result"] for text in submitted]
        assert [result["status"] for result in results] == ["sent", "completed", "success"]
        for line in clean_ups.splitlines()[2:]:
            materia(line)
        assert schedules.get("daily-cleanup-of-checkpoints")["kwargs"] == {"keep_last": 10}
        assert schedules.get("daily-cleanup-of-results")["is_paused"]
        found: dict[str, Any] = {}
        exec(blocks("python")[0], found)  # noqa: S102 - the page is ours
        assert (found["sent"]["channel"], found["sent"]["delivered"]) == ("default", [])
        command = curl.replace("$URL", server.url).replace("$KEY", KEY)
        subprocess.run(["bash", "-c", command], check=True, timeout=60)


def found_id(text: str) -> str:
    """Return the id of a job as a command printed it."""
    return str(jobs.get(text)["id"])


def parts_of_the_page() -> list[str]:
    table = PAGE.split("is not healthy when", 1)[1].split("The whole is", 1)[0]
    return re.findall(r"`([a-z]+)`(?=[^|]*\| )", table)


@only_sqlite
@pytest.mark.usefixtures("backends")
def test_the_parts_of_the_page_are_those_of_the_report() -> None:
    assert set(parts_of_the_page()) == set(cluster_health.look()["parts"])


def test_the_channels_of_the_page_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (line.split("=", 1) for line in blocks("sh")[2].splitlines()):
        monkeypatch.setenv(name, shlex.split(value)[0])
    settings.current.cache_clear()
    assert {name: len(found) for name, found in settings.current().channels.items()} == {
        "default": 1,
        "lab": 2,
    }
    assert settings.current().notify_allow_hosts.split(",")[0] == "mail.lan"


def test_numbers_are_those_of_the_code() -> None:
    assert f"waited for {canaries.PATIENCE_S:g} seconds" in PAGE
    assert f"for {cluster_health.OVERDUE_S / 60:g} minutes" in PAGE
    assert f"at most {notifications.LONGEST} characters" in PAGE
    assert f"up to {guard.ANSWER_BYTES // 1024} KB" in PAGE
    assert f"has {delivery.TIMEOUT_S:g} seconds" in PAGE
    assert {int(n) for n in re.findall(r"\b4\d\d\b", PAGE)} == child.PASSING
    body = inspect.signature(campaign_tasks.cleanup_old_checkpoints.run)
    for name, parameter in body.parameters.items():
        assert f"`{name}` ({parameter.default})" in PAGE


def test_schedules_of_the_pages_are_those_of_the_configuration() -> None:
    page = (DOCS / "schedules.md").read_text()
    listed = dict(re.findall(r"^\| `([a-z-]+-[a-z-]+)` \| `([\w.]+)` \|", page, re.M))
    configured = app.conf.beat_schedule
    assert listed == {id_: entry["task"][len("tasks.") :] for id_, entry in configured.items()}
    here = dict(re.findall(r"^\| `(daily-[a-z-]+)` \| `([\w.]+)` \|", PAGE, re.M))
    assert here.items() <= listed.items()
    times = {id_: entry["schedule"] for id_, entry in configured.items()}
    assert times["daily-model-retraining"]._orig_hour == 2
    assert times["cluster-health-check"]._orig_minute == "*/5"
    assert times["daily-cleanup-of-results"]._orig_minute == 15
    assert times["daily-cleanup-of-checkpoints"]._orig_minute == 30
