"""A whole stack for tests: `materia up` as a process, found through `materia status`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from materia.stack import orphans, state
from servers import START_TIMEOUT_S, die_with_tests, free_port, wait_until

MATERIA = Path(sys.executable).with_name("materia")
# Stopping is promised within 20 s; a loaded machine gets more.
STOP_TIMEOUT_S = 60.0


def materia(*arguments: object, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [MATERIA, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


class Stack:
    """`materia up` on a data folder; may be stopped or killed and started again."""

    def __init__(
        self,
        data_dir: Path,
        *,
        n_workers: int = 1,
        env: dict[str, str] | None = None,
        options: tuple[str, ...] = (),
        program: Path = MATERIA,
    ) -> None:
        self.data_dir = data_dir
        self.port = 0
        self._n_workers = n_workers
        self._env = env or {}
        self._options = options
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._output = data_dir.with_name(f"{data_dir.name}.out")

    def start(self) -> None:
        """Start it and wait until it is ready; a port lost to somebody else is changed."""
        for _ in range(5):
            self.port = self.port or free_port()
            self._start_once()
            wait_until(
                lambda: self.is_ready() or self._has_ended(),
                "the stack is ready",
                2 * START_TIMEOUT_S,
            )
            if not self._has_ended():
                return
            assert f"port {self.port}" in self.output(), self.output()
            self.port = 0
        raise AssertionError(self.output())

    def _start_once(self) -> None:
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    *(self._program, "up", "--data-dir", self.data_dir),
                    *("--port", str(self.port), "--workers", str(self._n_workers)),
                    *self._options,
                ],
                env={**os.environ, **self._env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=die_with_tests(signal.SIGKILL),
            )

    def _has_ended(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None

    @property
    def pid(self) -> int:
        """Process id of the supervisor."""
        assert self._process is not None
        return self._process.pid

    def state(self) -> dict[str, Any]:
        """Return what `materia status --json` says, asked in this process to save time."""
        return state.look(self.data_dir)

    def is_ready(self) -> bool:
        """Whether every process does its work."""
        return bool(self.state()["ready"])

    def pids(self) -> dict[str, int]:
        """Return the process ids by name."""
        return {process["name"]: process["pid"] for process in self.state()["processes"]}

    def stack_id(self) -> str:
        """Return the mark in the environment of the latest start's processes."""
        return str(json.loads((self.data_dir / "stack.json").read_text())["stack_id"])

    def left(self) -> list[int]:
        """Return the processes of the latest start that are alive, however deep."""
        return orphans.marked(self.stack_id())

    def pss_mb(self) -> dict[int, float]:
        """Return the proportional memory of every process of the stack, in MB, by pid."""
        pids = {self.pid, *self.pids().values(), *self.left()}
        rollups = {pid: Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids}
        sizes = {pid: re.search(r"^Pss:\s+(\d+) kB", text, re.M) for pid, text in rollups.items()}
        return {pid: int(size[1]) / 1000 for pid, size in sizes.items() if size}

    def signal(self, number: int) -> None:
        """Send a signal to the supervisor and wait until it has ended."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(STOP_TIMEOUT_S)

    def stop(self) -> int:
        """Stop it as Ctrl-C does and return its exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self.signal(signal.SIGINT)
        return self._process.returncode

    def output(self) -> str:
        """Return what it printed."""
        return self._output.read_text(errors="replace")
