"""Cancelled, killed, or inside a Celery child: no process is left over."""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import compute_bodies as bodies
import psutil
import pytest
from billiard.exceptions import SoftTimeLimitExceeded

from materia.compute import Done, map_items

PATIENCE_S = 40.0


class Interrupted(Exception):
    """Raised by the signal handler of a test, as Celery does for a soft time limit."""


def quietly(done: float, total: float | None, message: str) -> None:
    pass


def eventually(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def announced(folder: Path) -> list[int]:
    """Return the pids of the processes that have begun, as soon as both have."""
    paths = [folder / "0.pid", folder / "1.pid"]
    eventually(lambda: all(path.is_file() and path.read_text() for path in paths))
    return [int(path.read_text()) for path in paths]


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def alarm_after(
    delay_s: float, every_s: float = 0.0, error: type[Exception] = Interrupted
) -> Iterator[None]:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise error

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, delay_s, every_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_exception_of_progress_cancels_in_the_middle_of_an_item(tmp_path: Path) -> None:
    def stop(done: float, total: float | None, message: str) -> None:
        if (tmp_path / "1.pid").is_file():
            raise Interrupted

    started = time.monotonic()
    with pytest.raises(Interrupted):
        map_items(bodies.announce_and_hang, [0, 1], shared=tmp_path, n_processes=2, progress=stop)
    assert time.monotonic() - started < PATIENCE_S
    assert bodies.members_left() == []


def test_what_is_finished_before_a_cancel_is_kept() -> None:
    kept: dict[int, Any] = {}

    def keep(index: int, outcome: Any) -> None:
        kept[index] = outcome
        if len(kept) == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        map_items(bodies.add, range(50), shared=10, n_processes=2, progress=quietly, on_result=keep)
    assert len(kept) == 3
    assert all(outcome == Done(10 + index) for index, outcome in kept.items())
    assert bodies.members_left() == []


def test_the_exception_of_a_signal_cancels(tmp_path: Path) -> None:
    with alarm_after(1.0), pytest.raises(Interrupted):
        bodies.map_for_ever(tmp_path)
    assert bodies.members_left() == []


def test_a_signal_that_comes_again_and_again_leaves_nobody_at_any_moment(
    tmp_path: Path, trials: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that strikes while an object is freed is lost, as the interpreter has it.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    rng = random.Random(5)
    gc.collect()
    n_open = psutil.Process().num_fds()
    for _ in range(5 * trials):
        with pytest.raises(Interrupted), alarm_after(rng.uniform(1e-3, 0.6), every_s=2e-3):
            bodies.map_for_ever(tmp_path)
    eventually(lambda: not bodies.members_left())
    gc.collect()
    assert psutil.Process().num_fds() <= n_open


def test_a_time_out_raised_by_a_signal_is_no_death_of_a_process() -> None:
    """Python's own `TimeoutError` is an `OSError`, as broken connections are."""
    with alarm_after(2.0, error=TimeoutError), pytest.raises(TimeoutError):
        map_items(bodies.answer_by_half, [1], n_processes=1, progress=quietly)
    assert bodies.members_left() == []


def start_script(text: str, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", text, str(folder)],
        env=os.environ | {"PYTHONPATH": str(Path(bodies.__file__).parent)},
        start_new_session=True,
    )


def session(leader: int) -> list[int]:
    """Return the processes that live in the session of a process."""
    members = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == leader and is_running(process.pid):
                members.append(process.pid)
    return members


MAPS = "import pathlib, sys, compute_bodies; compute_bodies.map_for_ever(pathlib.Path(sys.argv[1]))"

IN_A_DAEMON = """
import pathlib, sys, billiard, compute_bodies
process = billiard.Process(target=compute_bodies.map_for_ever, args=(pathlib.Path(sys.argv[1]),))
process.daemon = True
process.start()
process.join()
"""

IN_A_POOL = """
import pathlib, sys
from billiard.pool import Pool
import compute_bodies
pool = Pool(1, LIMIT)
folder = pathlib.Path(sys.argv[1])
answer = pool.apply_async(compute_bodies.map_and_report_cancel, (folder,))
try:
    answer.get()
except Exception as error:
    (folder / "answer").write_text(repr(getattr(error, "exc", error)))
(folder / "next").write_text(str(pool.apply(compute_bodies.map_a_little)))
pool.terminate()
"""


@pytest.mark.parametrize("script", [MAPS, IN_A_DAEMON], ids=["program", "daemon"])
def test_processes_die_with_a_parent_that_is_killed(script: str, tmp_path: Path) -> None:
    program = start_script(script, tmp_path)
    pids = announced(tmp_path)
    parent = psutil.Process(pids[0]).ppid()
    os.kill(parent, signal.SIGKILL)
    eventually(lambda: not any(is_running(pid) for pid in pids))
    program.wait(PATIENCE_S)


def test_no_process_outlives_a_parent_that_is_killed_at_any_moment(
    tmp_path: Path, trials: int
) -> None:
    rng = random.Random(6)
    for _ in range(trials):
        program = start_script(MAPS, tmp_path)
        eventually(lambda leader=program.pid: len(session(leader)) > 1)
        time.sleep(rng.uniform(0, 0.2))
        program.kill()
        program.wait(PATIENCE_S)
        eventually(lambda leader=program.pid: not session(leader))


def test_processes_die_with_the_worker_of_their_pool(tmp_path: Path) -> None:
    """Celery's hard limit kills the child of the pool, which maps; the pool goes on."""
    program = start_script(IN_A_POOL.replace("LIMIT", "timeout=8"), tmp_path)
    pids = announced(tmp_path)
    assert program.wait(PATIENCE_S) == 0
    assert "TimeLimitExceeded" in (tmp_path / "answer").read_text()
    assert not (tmp_path / "cancelled").exists()
    assert (tmp_path / "next").read_text() == "[2, 3]"
    eventually(lambda: not any(is_running(pid) for pid in pids))


def test_the_soft_limit_of_a_pool_cancels(tmp_path: Path) -> None:
    """Celery's soft limit, for real: the exception passes and the child is fit for more."""
    program = start_script(IN_A_POOL.replace("LIMIT", "soft_timeout=8"), tmp_path)
    pids = announced(tmp_path)
    assert program.wait(PATIENCE_S) == 0
    assert (tmp_path / "cancelled").read_text() == SoftTimeLimitExceeded.__name__
    assert "SoftTimeLimitExceeded" in (tmp_path / "answer").read_text()
    assert (tmp_path / "next").read_text() == "[2, 3]"
    assert not any(is_running(pid) for pid in pids)
