"""Hosts of one machine: each has a network, a name and process ids of its own (Linux, root).

Everything is anonymous and held by processes that end with the benchmark, so that the kernel takes
all of it away with them, however they end: no bridge, link or namespace of the machine is touched.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import stand

PROGRAMS = ("ip", "unshare", "nsenter")
BRIDGE = "hub"
NETWORK = "10.77.0"
HUB = f"{NETWORK}.1"
INSIDE = "MATERIA_BENCHMARK_INSIDE"


def enter_own_network() -> None:
    """Start this program again in a network of its own, with a bridge that the hosts join.

    The process stays the same, so whoever started it can end it as before.
    """
    if os.environ.get(INSIDE):
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
        _run("ip", "addr", "add", f"{HUB}/24", "dev", BRIDGE)
        _run("ip", "link", "set", BRIDGE, "up")
        return
    _require_namespaces()
    os.environ[INSIDE] = "1"
    program = [sys.executable, *sys.orig_argv[1:]]
    os.execvp("unshare", ["unshare", "--net", *program])


def _require_namespaces() -> None:
    if not sys.platform.startswith("linux") or os.geteuid():
        raise SystemExit("this benchmark makes networks of its own: it needs Linux, and root")
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        hint = "install iproute2 and util-linux"
        raise SystemExit(f"this benchmark needs {', '.join(missing)}: {hint}")
    tried = subprocess.run(
        ["unshare", "--net", "--uts", "--pid", "--fork", "--mount-proc", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        raise SystemExit(f"this machine allows no namespaces of our own: {tried.stderr.strip()}")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr.strip()}")


class Host:
    """A host with one worker, on a link that can be cut.

    Args:
        number: From 1 to 200; its address and name follow from it.
        folder: For the log of its worker.
        worker: Celery's command line from ``-A`` on.
        environment: Of the worker.
    """

    def __init__(
        self, number: int, folder: Path, worker: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self.name = f"node{number}"
        self.is_cut = False
        self.log = folder / f"{self.name}.log"
        self._link = f"veth{number}"
        self._worker = [sys.executable, "-m", "celery", *worker, "-n", f"worker@{self.name}"]
        self._environment = {**os.environ, **environment}
        self._folder = folder
        self._started: subprocess.Popen[bytes] | None = None
        self._holder = subprocess.Popen(
            [
                *("unshare", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"),
                *("sh", "-c", f"hostname {self.name} && echo ready && exec sleep infinity"),
            ],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            preexec_fn=stand.die_with_tests(signal.SIGKILL),
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"ready\n":
            raise SystemExit(f"{self.name} could not be made")
        (self._init,) = _children(self._holder.pid)
        self._join(f"{NETWORK}.{10 + number}/24")

    def _join(self, address: str) -> None:
        peer = ("peer", "name", "eth0", "netns", str(self._init))
        _run("ip", "link", "add", self._link, "type", "veth", *peer)
        _run("ip", "link", "set", self._link, "master", BRIDGE, "up")
        for command in (
            ("link", "set", "lo", "up"),
            ("addr", "add", address, "dev", "eth0"),
            ("link", "set", "eth0", "up"),
        ):
            _run("nsenter", f"--target={self._init}", "--net", "ip", *command)

    def cut(self) -> None:
        """Cut its link: nothing comes or goes, and nobody is told."""
        _run("ip", "link", "set", self._link, "down")
        self.is_cut = True

    def mend(self) -> None:
        """Mend its link."""
        _run("ip", "link", "set", self._link, "up")
        self.is_cut = False

    def start(self) -> None:
        """Start its worker; returns at once."""
        with self.log.open("ab") as log:
            self._started = subprocess.Popen(
                [
                    *("nsenter", f"--target={self._init}"),
                    *("--net", "--uts", "--pid", "--mount", f"--wd={self._folder}"),
                    *self._worker,
                ],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def is_up(self) -> bool:
        """Whether its worker runs."""
        return self._started is not None and self._started.poll() is None

    def pool(self) -> list[int]:
        """Return the process ids, as this side sees them, of the children that work on jobs."""
        assert self._started is not None
        parents = _children(self._started.pid)
        return [child for parent in parents for child in _children(parent)]

    def kill(self) -> None:
        """End the worker with all its processes at once (SIGKILL)."""
        if self._started is not None:
            if self.is_up:
                os.killpg(self._started.pid, signal.SIGKILL)
            self._started.wait(60)
            self._started = None

    def close(self) -> None:
        """End everything on this host; its network goes with it."""
        self.kill()
        self._holder.kill()
        self._holder.wait(60)


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [int(child) for child in path.read_text().split()]
    except OSError:
        return []


def pid_inside(pid: int) -> int | None:
    """Return the id that a process has on its own host; None when it has gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    (found,) = (line.split()[-1] for line in lines if line.startswith("NSpid:"))
    return int(found)
