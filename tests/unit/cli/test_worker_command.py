"""`materia worker`: the commands that operators type, and what `docs/workers.md` says of them."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from materia import cli
from materia.cli.worker import ROLES
from materia.engine.surrogates import evidence
from materia.settings import Settings
from materia.stack.folder import DataFolder
from materia.store.workers import WorkerState

PAGE = (Path(__file__).parents[3] / "docs" / "workers.md").read_text()
DEFAULTS = {name: field.default for name, field in Settings.model_fields.items()}


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """Return what a command would have become: arguments and environment."""
    found: list[Any] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "execve", lambda *become: found.extend(become))
    return found


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli.app, ["worker", *arguments])


@pytest.mark.parametrize(
    ("arguments", "queues", "n"),
    [
        ((), None, 4),
        (("--role", "general"), "high_priority,default,low_priority", 4),
        (("--role", "gpu"), "gpu_training", 1),
        (("--role", "ml"), "ml", 2),
        (("--role", "data", "--concurrency", "9"), "data", 9),
    ],
)
def test_a_role_is_celery_with_its_queues(
    started: list[Any], arguments: tuple[str, ...], queues: str | None, n: int
) -> None:
    assert run(*arguments).exit_code == 0
    program, command, environment = started
    assert program == sys.executable
    assert command[1:5] == ["-m", "celery", "-A", "materia.tasks"]
    assert command[5] == "worker"
    assert f"--concurrency={n}" in command
    assert [part for part in command if part.startswith("--queues")] == (
        [f"--queues={queues}"] if queues else []
    )
    assert any(re.fullmatch(r"--hostname=\w+-\d+@%h", part) for part in command)
    assert environment["OMP_NUM_THREADS"] == "1"
    assert "MATERIA_BROKER_URL" not in environment


def test_it_joins_the_stack_of_the_data_folder_and_misses_one_that_is_named(
    started: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = run("--role", "gpu", "--data-dir", str(tmp_path / "none"))
    assert "no stack runs on" in str(refused.exception)
    assert started == []
    folder = DataFolder(tmp_path / "lab")
    folder.prepare()
    lock = folder.lock()
    state = {
        "pid": os.getpid(),
        "broker_url": "redis://:secret@127.0.0.1:7/0",
        "result_backend": "redis://:secret@127.0.0.1:7/1",
        "database_url": "sqlite:////lab.db",
    }
    folder.state.write_text(json.dumps(state))
    try:
        run("--data-dir", str(folder.path))
        environment = started[2]
        assert environment["MATERIA_BROKER_URL"] == state["broker_url"]
        assert environment["MATERIA_DATABASE_URL"] == state["database_url"]
        assert environment["MATERIA_DATA_DIR"] == str(folder.path)
        # What is set goes first.
        started.clear()
        monkeypatch.setenv("MATERIA_BROKER_URL", "redis://elsewhere/0")
        run()
        assert started[2]["MATERIA_BROKER_URL"] == "redis://elsewhere/0"
    finally:
        os.close(lock)


def test_wrong_roles_and_numbers_are_usage_errors(started: list[Any]) -> None:
    for arguments in (("--role", "tpu"), ("--concurrency", "0"), ("start",)):
        assert run(*arguments).exit_code == cli.USAGE, arguments
    assert started == []


def test_the_page_says_what_the_code_does() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (\d+) \|$", PAGE, re.M)
    assert {role: (tuple(re.findall(r"`(\w+)`", queues)), int(n)) for role, queues, n in rows} == {
        str(role): found for role, found in ROLES.items()
    }
    for state in WorkerState:
        assert f"| `{state}` |" in PAGE
    for name in ("lease_s", "shutdown_grace_s", "gpu_patience_s"):
        assert f"`MATERIA_{name.upper()}` ({DEFAULTS[name]:g} s)" in PAGE
    assert PAGE.count(f"{evidence.ON_DEVICE_FROM} observations") == 2
    assert "relative 1e-6" in PAGE


@pytest.mark.parametrize("line", re.findall(r"^materia worker.*$", PAGE, re.M))
def test_commands_of_the_page_are_commands(started: list[Any], line: str) -> None:
    arguments = shlex.split(line, comments=True)[2:]
    if arguments[:1] == ["list"]:
        assert run("list", "--help").exit_code == 0
    elif "--data-dir" not in arguments:
        assert run(*arguments).exit_code == 0
        assert started
