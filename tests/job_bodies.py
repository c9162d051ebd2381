"""Tasks that only tests need; a worker loads them with ``--include job_bodies``."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path

from materia.compute import backend
from materia.errors import TransientError
from materia.services import running
from materia.tasks.base import durable_task


@durable_task("tasks.test.echo")
def echo(value: object = None) -> object:
    """Return what came in."""
    return value


@durable_task("tasks.test.note")
def note(path: str, value: str, sleep_s: float = 0.0) -> str:
    """Append a line to a file and sleep: a file with a line twice shows a second run."""
    with Path(path).open("a") as file:
        file.write(value + "\n")
    time.sleep(sleep_s)
    return value


@durable_task("tasks.test.fail")
def fail(message: str) -> None:
    """Fail for good."""
    raise ValueError(message)


@durable_task("tasks.test.transient")
def transient(path: str, succeed_at: int) -> int:
    """Fail on something that waiting heals, until the given attempt."""
    file = Path(path)
    attempt = int(file.read_text() or 0) + 1 if file.exists() else 1
    file.write_text(str(attempt))
    if attempt < succeed_at:
        raise TransientError("not yet")
    return attempt


@durable_task("tasks.test.progress")
def progress(total: int, pause_s: float) -> int:
    """Report progress and log."""
    import logging

    for done in range(total):
        running.progress(done, total, f"part {done}")
        logging.getLogger("job").warning("at part %d", done)
        time.sleep(pause_s)
    running.progress(total, total)
    return total


@durable_task("tasks.test.die")
def die(how: str) -> None:
    """End this process in one of several ways."""
    if how == "exit":
        os._exit(7)
    if how == "segfault":
        ctypes.string_at(0)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError(f"unknown way to die: {how}")


@durable_task("tasks.test.work")
def work(kind: str, seconds: float) -> str:
    """Keep busy in one of four ways: sleep, python, native code that holds the GIL, a child."""
    if kind == "sleep":
        time.sleep(seconds)
    elif kind == "python":
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
    elif kind == "native":
        # One call of C code that keeps the interpreter's lock and looks at no signal.
        sum(range(int(seconds * 10**9)))
    elif kind == "child":
        subprocess.run(["sleep", str(seconds)], check=True)
    elif kind == "stubborn":
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                time.sleep(end - time.monotonic())
            except BaseException:  # noqa: BLE001 - the point of this body
                continue
    return kind


def announce_and_hang(item: int, shared: str) -> None:
    """Say where it runs, then hold the interpreter in native code that hears no signal."""
    Path(shared, f"{item}.pid").write_text(str(os.getpid()))
    ctypes.PyDLL(None).sleep(600)


@durable_task("tasks.test.map_and_hang")
def map_and_hang(folder: str) -> None:
    """Hang in two items of the backend that is configured."""
    backend()(announce_and_hang, [0, 1], shared=folder, n_processes=2, progress=running.progress)
