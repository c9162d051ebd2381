"""One supervised process: start it, see whether it is ready, stop it with all its children."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self

from materia.stack import tether
from materia.stack.logs import ProcessLog
from materia.stack.probes import Probe, at_once


class ProcessState(StrEnum):
    """Where a process is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """How to run one process of the stack.

    Args:
        name: What people call it.
        argv: Program and arguments; holds no secret, since everybody can read it.
        env: Whole environment.
        ready: Tells whether the process with a given pid is ready.
        after: Names of processes that must be ready (or done) first, and that stop later.
        is_one_shot: It ends by itself, and counts as ready once it has ended well.
        stop_s: Time between the request to stop and the kill.
        leaves: Files whose earlier content must not be mistaken for the new process's.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict, repr=False)
    ready: Probe = at_once
    after: tuple[str, ...] = ()
    is_one_shot: bool = False
    stop_s: float = 12.0
    leaves: tuple[Path, ...] = ()


class Child:
    """A running process, in a session and process group of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, spec: ProcessSpec, log: ProcessLog, folder: Path) -> Self:
        """Start it. Call this from the main thread: the child dies with the calling thread."""
        for path in spec.leaves:
            path.unlink(missing_ok=True)
        output = log.open()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *spec.argv),
                cwd=folder,
                env=spec.env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        finally:
            os.close(output)
        return cls(process)

    @property
    def pid(self) -> int:
        """Process id; also the id of its group."""
        return self._process.pid

    async def wait(self) -> int:
        """Wait for the end and return the exit status, negative for a signal."""
        return await self._process.wait()

    async def stop(self, grace_s: float) -> None:
        """Ask it to stop, wait, then kill whatever is left of its group."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._process.wait()
        await self.kill()

    async def kill(self) -> None:
        """End the whole group at once and wait for its first process."""
        self.kill_group()
        await self._process.wait()

    def kill_group(self) -> None:
        """End the whole group at once."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def describe_exit(status: int) -> str:
    """Return an exit status in words."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
