"""What the processes of the tests run; importable by name, as real functions are."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from threadpoolctl import threadpool_info

from materia.compute import backend, map_items


def members_left() -> list[int]:
    """Return the living processes of maps below this one; servers of other tests are none."""
    left = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if any("materia.compute" in argument for argument in child.cmdline()):
                left.append(child.pid)
    return left


def add(item: Any, shared: Any) -> Any:
    return item + shared


def square_after_the_next(item: int, ended: str | None) -> int:
    """Square an item; the first waits for the second, where a folder tells of what has ended."""
    if ended is not None:
        while item == 0 and not Path(ended, "1").exists():
            time.sleep(0.01)
        Path(ended, str(item)).touch()
    return item * item


def sleep(item: float, shared: Any) -> float:
    time.sleep(item)
    return item


def call(item: str, shared: Any) -> Any:
    """Run what the item names."""
    return ACTIONS[item]()


def fail_at_first(item: str, shared: Path) -> str:
    """Do something bad the first time that the item comes by."""
    if mark(shared / item) == 1:
        ACTIONS[item]()
    return item


def mark(path: Path) -> int:
    """Count in a file; returns how often, this time included."""
    with path.open("a") as file:
        file.write("x")
    return path.stat().st_size


def fail() -> None:
    raise ValueError("this one is bad")


def run_out_of_memory() -> int:
    return int(np.ones(10**9).sum())


def data_memory() -> int:
    """Return the private writable memory of this process in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmData:")[1].split()[0]) * 1024


class Unreadable:
    """Can be pickled, but not read."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def measured_sum(item: int, shared: Any) -> tuple[float, int]:
    return float(shared.sum()), data_memory()


def write_into(item: int, shared: Any) -> None:
    shared[item] = 7.0


def threads(item: int, shared: Any) -> list[int]:
    import scipy.linalg  # noqa: F401 - brings a BLAS of its own

    np.ones((50, 50)) @ np.ones((50, 50))
    return [pool["num_threads"] for pool in threadpool_info()]


class CountsLoads:
    """Leaves a mark each time that it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = state
        (self.folder / str(os.getpid())).open("a").write("x")


def nested(item: int, shared: Any) -> list[Any]:
    outcomes = map_items(add, [item], shared=1, n_processes=1, progress=lambda *_: None)
    return [outcome.value for outcome in outcomes]  # type: ignore[union-attr]


def announce_and_hang(item: int, shared: Path) -> None:
    """Hold the interpreter in native code that hears no signal."""
    (shared / f"{item}.pid").write_text(str(os.getpid()))
    ctypes.PyDLL(None).sleep(60)


def wait_for_go(item: int, shared: Path) -> int:
    """Announce itself, then wait for a file."""
    (shared / f"{item}.pid").write_text(str(os.getpid()))
    while not (shared / "go").exists():
        time.sleep(0.02)
    return item


def answer_by_half(item: int, shared: Any) -> None:
    """Announce an answer of 100 bytes to the parent and never send it."""
    os.write(int(sys.argv[2]), (100).to_bytes(4, "big"))
    time.sleep(60)


def map_for_ever(folder: Path) -> None:
    map_items(announce_and_hang, [0, 1], shared=folder, n_processes=2, progress=lambda *_: None)


def map_and_report_cancel(folder: Path) -> str:
    """As a task does: tell the soft limit from an ordinary error, and pass it on."""
    try:
        map_for_ever(folder)
    except Exception as error:
        (folder / "cancelled").write_text(type(error).__name__)
        raise
    return "ended by itself"


def map_on_ray_for_ever(folder: Path) -> None:
    backend("ray")(
        announce_and_hang, [0, 1], shared=folder, n_processes=2, progress=lambda *_: None
    )


def map_a_little() -> list[int]:
    outcomes = map_items(add, [1, 2], shared=1, n_processes=2, progress=lambda *_: None)
    return [outcome.value for outcome in outcomes]  # type: ignore[union-attr]


ACTIONS: dict[str, Any] = {
    "fail": fail,
    "fine": lambda: "fine",
    "exit": lambda: os._exit(3),
    "leave": lambda: sys.exit(4),
    "segfault": lambda: ctypes.string_at(0),
    "killed": lambda: os.kill(os.getpid(), 9),
    "terminated": lambda: os.kill(os.getpid(), 15) or "still here",
    "hang_up": lambda: os.closerange(3, 4096),
    "memory": run_out_of_memory,
    "unpicklable": lambda: lambda: None,
    "unreadable": Unreadable,
}


def log_and_say_where(item: int, shared: None) -> str:
    """Log a line and return the file that it went to."""
    logging.getLogger("lab").warning("item %d is hot", item)
    return str(Path("/proc/self/fd/2").readlink())
