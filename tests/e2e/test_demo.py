"""The demo, as `make demo` runs it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from materia.stack import orphans, state
from materia.stack.folder import DataFolder
from servers import die_with_tests, wait_until

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"
PATIENCE_S = 300.0


def start(folder: Path, **variables: str) -> subprocess.Popen[str]:
    """Start the demo in a folder, its output read by a program."""
    return subprocess.Popen(
        [sys.executable, DEMO],
        cwd=folder,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        preexec_fn=die_with_tests(signal.SIGKILL),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return a folder to run in; a stack that is left there ends with the test."""
    yield tmp_path
    for pid in processes(tmp_path):
        os.kill(pid, signal.SIGKILL)


def processes(folder: Path) -> list[int]:
    """Return the processes of the stack that was started last."""
    mark = state.last(DataFolder(folder / "demo-data")).get("stack_id")
    return orphans.marked(str(mark)) if mark else []


def test_the_demo_runs_twice_with_results_and_leaves_no_process(folder: Path) -> None:
    (folder / ".env").write_text("MATERIA_DATABASE_URL=postgresql://elsewhere/production\n")
    with socket.socket() as taken:
        # When the usual port is taken, by this test or by somebody else, another one is found.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8000))
            taken.listen()
        except OSError:
            pass
        first = start(folder, MATERIA_BROKER_URL="redis://elsewhere:1/0")
        output, _ = first.communicate(timeout=PATIENCE_S)
    assert first.returncode == 0, output
    assert "72/72 evaluations" in output
    assert "Pareto front" in output
    assert "got {'status': 'pong', 'worker': 'celery'}" in output
    assert "processes is left" in output
    assert processes(folder) == []
    results = folder / "demo-output"
    assert len((results / "results.csv").read_text().splitlines()) == 73
    assert (results / "pareto_front.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (results / "report.html").read_text()

    second = start(folder, KEEP="1")
    output, _ = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == 0, output
    found = state.look(folder / "demo-data")
    assert found["ready"]
    assert f"kill {found['pid']}" in output
    os.kill(found["pid"], signal.SIGTERM)
    wait_until(lambda: not processes(folder), "the kept stack has stopped")


def test_an_interrupted_demo_leaves_no_process(folder: Path) -> None:
    demo = start(folder)
    assert demo.stdout is not None
    for line in demo.stdout:
        if line.startswith("campaign "):
            break
    assert processes(folder)
    demo.send_signal(signal.SIGINT)
    output, _ = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 130, output
    assert processes(folder) == []


def test_a_demo_that_fails_says_why(folder: Path) -> None:
    (folder / "demo-data").write_text("in the way")
    demo = start(folder)
    output, _ = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 1
    assert "the demo failed" in output
    assert "demo-data" in output
