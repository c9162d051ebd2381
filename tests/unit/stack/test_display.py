"""What `materia up` prints, to a person at a terminal and to a log."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from pydantic import SecretStr
from rich.console import Console

from materia.settings import Settings
from materia.stack.child import ProcessSpec, ProcessState
from materia.stack.display import MAX_LINE, Display
from materia.stack.supervisor import Supervisor

RESULT = (
    "Task tasks.campaign_tasks.evaluate_candidates succeeded in 0.3s: " + "{'outcomes': 1}" * 90
)


def printed(tmp_path: Path, state: ProcessState, lines: list[str]) -> list[str]:
    """Return the lines printed when a worker that had written `lines` changes its state."""
    spec = ProcessSpec("worker", ("true",))
    supervisor = Supervisor([spec], logs=tmp_path, folder=tmp_path, on_change=lambda _: None)
    console = Console(file=io.StringIO(), width=10_000, highlight=False)
    with Display(console) as display:
        display.update(Settings(), supervisor)
        process = supervisor.processes["worker"]
        process.state, process.reason, process.last_lines = state, "was killed", lines
        display.update(Settings(), supervisor)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_a_killed_worker_is_one_line_and_the_place_of_its_log(tmp_path: Path) -> None:
    assert printed(tmp_path, ProcessState.RESTARTING, [RESULT] * 15) == [
        "worker was killed; it is started again",
        f"  its log: {tmp_path / 'worker.log'}",
    ]


def test_the_line_that_tells_of_the_fault_is_shown(tmp_path: Path) -> None:
    lines = [RESULT, "Traceback (most recent call last):", "ValueError: no such thing", RESULT]
    shown = printed(tmp_path, ProcessState.RESTARTING, lines)
    assert shown[1] == "  ValueError: no such thing"
    assert len(shown) == 3


def test_last_lines_are_cut_and_never_wrapped(tmp_path: Path) -> None:
    shown = printed(tmp_path, ProcessState.FAILED, [RESULT, "bye"])
    assert len(shown) == 4
    assert len(shown[1]) == MAX_LINE + 4
    assert shown[2] == "  bye"


@pytest.mark.parametrize(
    ("is_terminal", "has_own_key", "is_shown"),
    [(True, False, True), (True, True, False), (False, False, False)],
)
def test_only_who_sits_at_the_terminal_is_shown_a_key_and_only_one_that_was_made_here(
    tmp_path: Path, is_terminal: bool, has_own_key: bool, is_shown: bool
) -> None:
    spec = ProcessSpec("api", ("true",))
    supervisor = Supervisor([spec], logs=tmp_path, folder=tmp_path, on_change=lambda _: None)
    supervisor.processes["api"].state = ProcessState.READY
    file = io.StringIO()
    console = Console(file=file, width=10_000, force_terminal=is_terminal)
    settings = Settings(api_key=SecretStr("made-here"), api_port=8000)
    with Display(console, has_own_key=has_own_key) as display:
        display.update(settings, supervisor)
    assert "MatCraft is ready at" in file.getvalue()
    assert ("http://127.0.0.1:8000/#key=made-here" in file.getvalue()) == is_shown
