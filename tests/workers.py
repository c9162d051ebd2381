"""Real workers and schedulers as processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from celery import Celery

from materia.errors import NotFoundError
from materia.services import jobs
from materia.store.jobs import FINAL, Row
from preloaded import Forked, source
from servers import RedisServer, die_with_tests, wait_until

TESTS = Path(__file__).parent

# Seconds instead of the defaults' half minutes.
QUICK = {
    "MATERIA_LEASE_S": "3",
    "MATERIA_SCAN_INTERVAL_S": "0.2",
    "MATERIA_RESEND_AFTER_S": "3",
    "MATERIA_CANCEL_GRACE_S": "1",
    "MATERIA_SHUTDOWN_GRACE_S": "3",
}


@dataclass
class Program:
    """One started process with its log."""

    process: Forked | subprocess.Popen[bytes]
    log: Path

    def text(self) -> str:
        """Return what it logged."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    def alive(self) -> bool:
        """Tell whether it runs."""
        return self.process.poll() is None

    def kill(self) -> None:
        """End it at once."""
        if self.alive():
            self.process.kill()
        self.process.wait(60)

    def stop(self, timeout_s: float = 60) -> int:
        """Ask it to end and wait for it."""
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def children(self) -> list[int]:
        """Return the process ids of its living children."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in path.read_text().split()]


@dataclass
class Cluster:
    """Workers and schedulers of one test on one database and one Redis.

    Attributes:
        preloaded: Forked from a process with the libraries; else each is a new interpreter.
    """

    folder: Path
    redis: RedisServer
    environment: dict[str, str]
    programs: list[Program] = field(default_factory=list)
    preloaded: bool = True

    def worker(self, *arguments: str, concurrency: int = 2, ready: bool = True) -> Program:
        """Start a worker; returns when it is ready."""
        number = len(self.programs)
        program = self._start(
            f"worker-{number}",
            *("worker", f"--concurrency={concurrency}", "--loglevel=info"),
            *("-n", f"w{number}@%h", "--include", "job_bodies", "--without-mingle"),
            *arguments,
        )
        if ready:
            self.wait_ready(program)
        return program

    def wait_ready(self, program: Program) -> None:
        """Wait until a worker takes jobs."""
        wait_until(
            lambda: " ready." in program.text() or not program.alive(), "the worker is ready"
        )
        assert program.alive(), program.text()

    def scheduler(self) -> Program:
        """Start a scheduler."""
        return self._start(f"beat-{len(self.programs)}", "beat", "--loglevel=info")

    def _start(self, name: str, *arguments: str) -> Program:
        log = self.folder / f"{name}.log"
        command = ["-A", "materia.tasks", *arguments]
        process: Forked | subprocess.Popen[bytes]
        if self.preloaded:
            place = {"cwd": self.folder, "env": self.environment, "log": log}
            process = source().start("celery", *command, **place)
        else:
            process = self._interpreter(command, log)
        program = Program(process, log)
        self.programs.append(program)
        return program

    def _interpreter(self, arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "celery", *arguments],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                env=self.environment,
                start_new_session=True,
                preexec_fn=die_with_tests(signal.SIGKILL),
            )

    def client(self) -> Celery:
        """Return a plain Celery client without any of our configuration."""
        return Celery(broker=self.redis.url(0), backend=self.redis.url(1))

    def wait(self, job_id: str, timeout_s: float = 120) -> Row:
        """Wait until a job is final and return its row."""
        row: dict[str, Any] = {}

        def final() -> bool:
            row.update(self.look(job_id))
            return row["state"] in FINAL

        try:
            wait_until(final, f"job {job_id} is final", timeout_s)
        except AssertionError as error:
            logs = "\n".join(p.log.name + ":\n" + p.text()[-3000:] for p in self.programs)
            raise AssertionError(f"{error}\n{row}\n{logs}") from None
        return row

    def wait_state(self, job_id: str, state: str, timeout_s: float = 120) -> Row:
        """Wait until a job has a state."""
        wait_until(
            lambda: self.look(job_id)["state"] == state, f"job {job_id} is {state}", timeout_s
        )
        return jobs.get(job_id)

    @staticmethod
    def look(job_id: str) -> Row:
        """Return a job; one whose message was not taken yet has no row and no state."""
        try:
            return jobs.get(job_id)
        except NotFoundError:
            return {"state": None}

    def close(self) -> None:
        """End everything; children end with their parents."""
        children = [pid for p in self.programs if p.alive() for pid in p.children()]
        for program in self.programs:
            program.kill()
        wait_until(lambda: not any(map(is_running, children)), "the children are gone", 60)


def is_running(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
