"""What runs inside a process of the map: load, then answer one item after the other."""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
import threading
import traceback as tracebacks
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from materia.compute import shared
from materia.compute.outcomes import Done, Failed

PR_SET_PDEATHSIG = 1
TRACEBACK_LENGTH = 8000


@dataclass(frozen=True, slots=True)
class Start:
    """What a process loads before its first item.

    Attributes:
        function: Reference to the function, pickled.
        place: Where the shared object lies.
        memory_limit_bytes: Limit of what the process may hold for itself.
    """

    function: bytes
    place: shared.Place
    memory_limit_bytes: int | None


def main(fd: int, parent: int) -> None:
    """Serve a connection until its other end is closed.

    Args:
        fd: Descriptor of this end of the connection.
        parent: Process id of the starter.
    """
    die_with(parent)
    # Both reach a whole group or service at once; the parent decides what they mean. Not SIG_IGN,
    # which programs that an item runs would inherit.
    signal.signal(signal.SIGINT, leave_to_parent)
    signal.signal(signal.SIGTERM, leave_to_parent)
    connection = Connection(fd)
    try:
        _serve(connection)
    except (EOFError, OSError):
        os._exit(0)


def leave_to_parent(*_: object) -> None:
    """Ignore a signal."""


def _serve(connection: Connection) -> None:
    start: Start = connection.recv()
    try:
        _limit_memory(start.memory_limit_bytes)
        function = pickle.loads(start.function)  # noqa: S301 - written by the parent process
        value = shared.read(start.place)
    except Exception as error:  # noqa: BLE001 - the parent reports it, whatever it is
        connection.send(failure(error))
        return
    connection.send(None)
    while True:
        connection.send_bytes(answer(function, connection.recv_bytes(), value))


def answer(function: Callable[[Any, Any], Any], content: bytes, value: Any) -> bytes:
    """Return the pickled outcome of a pickled item."""
    try:
        item = pickle.loads(content)  # noqa: S301 - written by the parent process
        return pickle.dumps(Done(function(item, value)), protocol=5)
    except BaseException as error:  # noqa: BLE001 - also `sys.exit` ends only the item
        return pickle.dumps(failure(error))


def failure(error: BaseException) -> Failed:
    """Return what becomes of an item that raised."""
    # What the function held is free again, in case that it ran out of memory.
    tracebacks.clear_frames(error.__traceback__)
    text = "".join(tracebacks.format_exception(error))
    return Failed(type(error).__name__, str(error), text[-TRACEBACK_LENGTH:])


def _limit_memory(limit_bytes: int | None) -> None:
    if limit_bytes is None:
        return
    import resource

    # Not the address space: files mapped into memory, as the shared object is, do not count.
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        limit_bytes = min(limit_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))


def die_with(parent: int) -> None:
    """End this process when its parent is gone, however that died."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have died before the request was made.
        if os.getppid() != parent:
            os._exit(1)
        return
    threading.Thread(target=_exit_without, args=(parent,), daemon=True).start()


def _exit_without(parent: int) -> None:
    pause = threading.Event()
    while os.getppid() == parent:
        pause.wait(1.0)
    os._exit(1)
