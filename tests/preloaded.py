"""Programs that are forked from a process which has loaded the libraries already.

A worker loads libraries for one and a half seconds of CPU, its children for as much again when they
compute, and is busy for half a second; the suite starts hundreds. Nothing of `materia` is loaded
before the fork: from there on a program does what ``python -m celery`` or ``python -m materia.api``
does, as a process with an environment, a folder and a log of its own. Tests that are about the
start itself set `Cluster.preloaded` to false, or drive `materia up`.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from servers import START_TIMEOUT_S, die_with_tests

PROGRAM = Path(__file__).with_name("preloading.py")


class Forked:
    """A program, with what tests need of `subprocess.Popen`; not buried before it is asked."""

    def __init__(self, source: Source, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._source = source

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal; None while it runs."""
        if self.returncode is None:
            self.returncode = self._source.ask(bury=self.pid)
        return self.returncode

    def wait(self, timeout: float = START_TIMEOUT_S) -> int:
        """Return the exit status when it has ended."""
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            time.sleep(0.01)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


class Source:
    """The process that programs are forked from; one for each process of tests."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, PROGRAM, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                preexec_fn=die_with_tests(signal.SIGKILL),
            )
        self._connection = ours.makefile("rw")
        self._one_at_a_time = threading.Lock()
        ours.close()

    def start(
        self, module: str, *arguments: str, cwd: Path, env: Mapping[str, str], log: Path
    ) -> Forked:
        """Start what ``python -m`` starts."""
        place = {"cwd": str(cwd), "env": dict(env), "log": str(log)}
        return Forked(self, self.ask(start={"module": module, "arguments": arguments, **place}))

    def ask(self, **request: Any) -> Any:
        """Send a request and return its answer."""
        with self._one_at_a_time:
            self._connection.write(json.dumps(request) + "\n")
            self._connection.flush()
            answer = self._connection.readline()
        assert answer, "the process that programs are forked from has ended"
        return json.loads(answer)

    def close(self) -> None:
        """End it, and with it what it has started."""
        self._connection.close()
        self._process.kill()
        self._process.wait()


@cache
def source() -> Source:
    """Return the source of this process of tests, started at the first call."""
    started = Source()
    atexit.register(started.close)
    return started
