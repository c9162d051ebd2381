"""Find and end processes by the mark that a stack leaves in the environment of its own."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

MARK = "MATERIA_STACK_ID"


def marked(stack_id: str, name: str = MARK) -> list[int]:
    """Return the pids of every process started by that stack, however deep (Linux only).

    Args:
        stack_id: Value of the mark.
        name: Of another mark, that only some of the processes have.
    """
    mark = f"{name}={stack_id}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        # Processes come and go, and those of others cannot be read.
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return [pid for pid in found if pid != os.getpid()]


def end(stack_id: str, name: str = MARK) -> int:
    """Kill what is left of that stack and return how many processes there were."""
    pids = marked(stack_id, name)
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return len(pids)
