"""`materia campaign …`, `materia job …` and `materia run --server` against a running server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from fixtures import only_sqlite
from materia import cli
from materia.client import Client
from materia.errors import DefinitionError, NotFoundError, StateError
from materia.services import campaigns, jobs
from materia.services.submission import NewJob, submit
from serving import Server, ThreadServer, serving_commands
from workers import Cluster

# Commands ask the API, which other files ask on both databases.
pytestmark = only_sqlite

MATERIA = [sys.executable, "-c", "from materia.cli import main; main()"]
PING = "tasks.simple_tasks.ping"
DEFINITION: dict[str, Any] = {
    "name": "followed",
    "parameters": [
        {"name": "x1", "type": "continuous", "bounds": [0, 1]},
        {"name": "x2", "type": "continuous", "bounds": [0, 1]},
    ],
    "objectives": [
        {"name": "branin", "reference_point": 18},
        {"name": "currin", "reference_point": 6},
    ],
    "evaluator": {"type": "function", "options": {"name": "branin_currin"}},
    "optimizer": {"budget": 10, "batch_size": 4, "seed": 5},
}


@pytest.fixture
def server(backends: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadServer]:
    """Return a running API that commands find by the environment."""
    with serving_commands(monkeypatch) as started:
        yield started


def materia(*arguments: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(cli.app, list(arguments))


def printed(*arguments: str) -> str:
    """Return what a command prints when all is well."""
    result = materia(*arguments)
    if result.exception is not None and result.exit_code != 0:
        raise AssertionError(result.output) from result.exception
    return str(result.stdout)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a definition file."""
    path = tmp_path / "followed.yaml"
    path.write_text(yaml.safe_dump(DEFINITION))
    return path


def test_a_file_is_run_on_a_server_and_followed_to_its_report(
    server: ThreadServer, cluster: Cluster, file: Path, tmp_path: Path
) -> None:
    cluster.worker()
    cluster.scheduler()
    folder = tmp_path / "results"
    shown = printed("run", str(file), "--server", server.url, "--output", str(folder))
    (campaign,), total = campaigns.page(10)
    assert total == 1
    assert campaign["id"] in shown
    assert "10/10 evaluations" in shown
    assert "finished: the budget of 10 evaluations is spent" in shown
    assert {"results.csv", "report.html"} <= {path.name for path in folder.iterdir()}
    assert len((folder / "results.csv").read_text().splitlines()) == 11
    again = printed("campaign", "watch", "followed")
    assert "finished: the budget of 10 evaluations is spent" in again
    details = printed("campaign", "show", campaign["id"][:8])
    assert "10 of 10" in details
    assert "Pareto front" in details
    printed("campaign", "report", "followed", "-o", str(tmp_path / "again"))
    assert (tmp_path / "again" / "results.csv").read_bytes() == (
        folder / "results.csv"
    ).read_bytes()


def test_a_bare_server_is_the_stack_on_the_data_folder(
    server: ThreadServer,
    cluster: Cluster,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster.worker()
    cluster.scheduler()
    monkeypatch.setenv("MATERIA_SERVER", "http://127.0.0.1:1")
    lab = tmp_path / "lab"
    lab.mkdir()
    (lab / "stack.json").write_text(json.dumps({"api_url": server.url}))
    here = ("--server", "--data-dir", str(lab))
    assert "materia run FILE --server" in printed("campaign", "list", *here)
    shown = printed("run", str(file), *here, "--output", str(tmp_path / "results"))
    assert "finished: the budget of 10 evaluations is spent" in shown
    assert "followed" in printed("campaign", "list", *here)


def test_a_wrong_file_ends_with_every_finding(server: ThreadServer, file: Path) -> None:
    file.write_text(yaml.safe_dump({**DEFINITION, "budgett": 1}))
    result = materia("run", str(file), "--server", server.url)
    assert isinstance(result.exception, DefinitionError)
    assert cli.exit_code(result.exception) == cli.INVALID
    assert result.exception.findings


def test_empty_lists_say_what_to_do_next(server: ThreadServer) -> None:
    assert "materia run FILE --server" in printed("campaign", "list")
    assert "no campaign is failed" in printed("campaign", "list", "--state", "failed")
    assert "materia job submit" in printed("job", "list")


def test_campaigns_are_listed_found_and_stopped(server: ThreadServer) -> None:
    first, second = (campaigns.run(DEFINITION)["campaign_id"] for _ in range(2))
    shown = printed("campaign", "list")
    assert first in shown
    assert second in shown
    assert "1 older" in printed("campaign", "list", "--limit", "1")
    page = json.loads(printed("campaign", "list", "--json"))
    assert [item["id"] for item in page["items"]] == [second, first]
    assert second in printed("campaign", "stop", "followed")
    assert campaigns.get(second)["state"] == "stopped"
    assert json.loads(printed("campaign", "stop", first, "--json"))["state"] == "stopped"
    assert json.loads(printed("campaign", "show", first, "--json"))["pareto_front"] == []


def test_a_campaign_is_paused_resumed_extended_and_cloned(server: ThreadServer) -> None:
    campaign_id = campaigns.run(DEFINITION)["campaign_id"]
    assert "materia campaign resume" in printed("campaign", "pause", campaign_id)
    assert campaigns.get(campaign_id)["state"] == "paused"
    assert "is running" in printed("campaign", "resume", campaign_id)
    assert "a budget of 99" in printed("campaign", "extend", campaign_id, "--budget", "99")
    with pytest.raises(StateError, match="stop it first"):
        raise materia("campaign", "delete", campaign_id).exception or AssertionError
    cloned = json.loads(printed("campaign", "clone", campaign_id, "again"))
    assert campaigns.define(cloned).name == "again"


def test_the_guide_leads_a_campaign_through_its_course(
    server: ThreadServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(__file__).parents[2]
    guide = (root / "docs" / "api.md").read_text()
    (example,) = (block for block in guide.split("```") if "campaigns.pause" in block)
    monkeypatch.chdir(root)
    monkeypatch.setattr(Client, "local", lambda: Client(server.url))
    names: dict[str, Any] = {}
    exec(example.removeprefix("python\n"), names)  # noqa: S102 - the page is ours
    with pytest.raises(NotFoundError):
        campaigns.get(names["campaign"])
    assert names["definition"]["optimizer"]["budget"] == 500
    assert names["definition"]["name"] == "branin-again"


def test_jobs_are_submitted_listed_cancelled_and_run_again(server: ThreadServer) -> None:
    job_id = printed("job", "submit", "simple_tasks.ping", "--priority", "9").strip()
    assert jobs.get(job_id)["priority"] == 9
    assert job_id in printed("job", "list", "--state", "queued", "--task", "simple_tasks.ping")
    assert "CANCELLED" in printed("job", "cancel", job_id[:10])
    assert "CANCELLED" in printed("job", "show", job_id)
    again = printed("job", "retry", job_id).strip()
    assert jobs.get(again)["task"] == PING
    step = "campaign_tasks.train_surrogate"
    submitted = printed("job", "submit", step, "campaign_id=e5", "iteration=3").strip()
    assert jobs.get(submitted)["kwargs"] == {"campaign_id": "e5", "iteration": 3}
    assert json.loads(printed("job", "list", "--json"))["total"] == 3


def test_a_submitted_job_can_be_waited_for_and_its_log_followed(
    server: ThreadServer, cluster: Cluster
) -> None:
    cluster.worker()
    pong = {"status": "pong", "worker": "celery"}
    assert json.loads(printed("job", "submit", PING, "--wait")) == pong
    kwargs = {"total": 5, "pause_s": 0.1}
    job_id = submit(NewJob(task="tasks.test.progress", kwargs=kwargs))["id"]
    shown = printed("job", "log", "--follow", job_id)
    assert jobs.get(job_id)["state"] == "SUCCEEDED"
    assert len(shown.splitlines()) >= 1
    assert shown == printed("job", "log", job_id)


def test_a_refused_key_names_the_variable_to_set(
    backends: dict[str, str], tmp_path: Path, file: Path
) -> None:
    with Server(tmp_path, backends, MATERIA_API_KEY="a-key-of-thirty-two-characters-0") as server:
        for command in (("job", "list"), ("campaign", "list"), ("run", str(file))):
            done = subprocess.run(
                [*MATERIA, *command, "--server", server.url],
                env={k: v for k, v in backends.items() if k != "MATERIA_API_KEY"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == cli.FAILED
            assert "asks for a key" in done.stderr
            assert "export MATERIA_API_KEY=" in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("campaign", "show", "nothing"),
        ("campaign", "watch", "nothing"),
        ("campaign", "stop", "nothing"),
        ("job", "show", "nothing"),
        ("job", "log", "nothing"),
        ("job", "cancel", "nothing"),
    ],
)
def test_what_does_not_exist_is_said_so(server: ThreadServer, command: tuple[str, ...]) -> None:
    result = materia(*command)
    assert isinstance(result.exception, NotFoundError)
    assert f"materia {command[0]} list" in (result.exception.hint or "")
    assert cli.exit_code(result.exception) == cli.FAILED
