"""The stack's Ray head: ``python -m materia.stack.ray_head PLACE_FILE READY_FILE N_CPUS``.

It runs ``ray start --head`` on loopback, on ports that are new at each start: a driver of the head
before would keep this one from its work. The token is in the environment, the address is written
into a file, which `MATERIA_RAY_ADDRESS` names. It ends with everything that Ray has started.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from materia import settings
from materia.compute.cluster.nodes import nodes_of
from materia.compute.cluster.place import DASHBOARD_PORT, ClusterPlace, ray_environment
from materia.compute.member import ONE_THREAD
from materia.errors import MateriaError, MissingExtraError
from materia.stack import orphans, tether
from materia.stack.folder import write_private
from materia.stack.ports import any_port, is_free

HOST = "127.0.0.1"
MARK = "MATCRAFT_RAY_HEAD"
"""In the environment of all that Ray starts, with the place file as its value."""

WORKER_PORTS = range(10002, 20000)
"""Where Ray's workers listen; nothing else may."""

STORE_SHARE = 0.2
STORE_BYTES = (100_000_000, 4_000_000_000)
IDLE_WORKERS_PER_CPU = 4
"""Every job's process has Ray workers of its own. Where Ray keeps one idle per CPU, as it does by
itself, jobs that take turns wait for new ones at each turn: docs/decisions/ray-drivers.md."""

PAUSE_S = 0.2
ASK_S = 5.0


def object_store_bytes(shared_memory: Path = Path("/dev/shm")) -> int:
    """Return the size of the object store: a fifth of the memory, as far as there is room."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    least, most = STORE_BYTES
    room = shutil.disk_usage(shared_memory).free if shared_memory.exists() else most
    return max(least, min(int(STORE_SHARE * memory), most, int(0.9 * room)))


def n_cpus() -> int:
    """Return how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_port(preferred: int | None = None) -> int:
    """Return a port that is free just now and that no worker of Ray may take."""
    if preferred is not None and is_free(HOST, preferred):
        return preferred
    while (port := any_port()) in WORKER_PORTS:
        continue
    return port


class Head:
    """A Ray head of this machine.

    Args:
        place_file: Where its address is written as soon as it takes work.
        n_cpus: How many items it computes at a time.
        token: What everybody must show who connects.
    """

    def __init__(self, place_file: Path, n_cpus: int, token: str) -> None:
        self._place_file = place_file
        self._n_cpus = n_cpus
        port, dashboard = choose_port(), choose_port(DASHBOARD_PORT)
        self.place = ClusterPlace(HOST, port, f"http://{HOST}:{dashboard}", token)
        # The names of Ray's sockets may be 107 bytes long: no folder of the user's.
        self._folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin; what an earlier head left, that was killed, is cleared away."""
        self._clear_earlier()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *self._arguments()],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
        )
        self._write(ready=False)

    def is_alive(self) -> bool:
        """Tell whether it runs; Ray itself ends a head of which any part has died."""
        return self._process is not None and self._process.poll() is None

    def takes_work(self) -> bool:
        """Tell whether its node is there; the head alone answers earlier."""
        with suppress(MateriaError):
            return any(node["alive"] for node in nodes_of(self.place, ASK_S))
        return False

    def announce(self) -> None:
        """Write where it is."""
        self._write(ready=True)

    def end(self) -> None:
        """Kill all of it. Asked to stop, Ray would wait half a minute for what nobody awaits."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        while orphans.end(str(self._place_file), MARK):
            threading.Event().wait(0.05)
        self._place_file.unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _arguments(self) -> list[str]:
        options = {
            "--node-ip-address": HOST,
            "--port": self.place.port,
            "--dashboard-host": HOST,
            "--dashboard-port": self.place.dashboard_url.rpartition(":")[2],
            "--ray-client-server-port": choose_port(),
            "--num-cpus": self._n_cpus,
            "--object-store-memory": object_store_bytes(),
            "--temp-dir": self._folder,
            "--include-log-monitor": "false",
        }
        words = [str(word) for option in options.items() for word in option]
        ray = [sys.executable, "-c", "from ray.scripts.scripts import main; main()"]
        return [*ray, "start", "--head", "--block", "--disable-usage-stats", *words]

    def _environment(self) -> dict[str, str]:
        inherited = {n: v for n, v in os.environ.items() if not n.startswith(("RAY_", "MATERIA_"))}
        stack = {n: os.environ[n] for n in (orphans.MARK,) if n in os.environ}
        patience = {
            "RAY_num_workers_soft_limit": str(IDLE_WORKERS_PER_CPU * self._n_cpus),
            # On a busy machine Ray's parts need longer to find each other than it expects.
            "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "100",
            "RAY_raylet_start_wait_time_s": "30",
            "RAY_worker_register_timeout_seconds": "100",
        }
        ours = ray_environment(HOST, self.place.token)
        return inherited | stack | ONE_THREAD | patience | ours | {MARK: str(self._place_file)}

    def _write(self, *, ready: bool) -> None:
        found = {"folder": str(self._folder), "pid": os.getpid()}
        if ready:
            found |= {"address": self.place.address, "dashboard_url": self.place.dashboard_url}
        write_private(self._place_file, json.dumps(found) + "\n")

    def _clear_earlier(self) -> None:
        while orphans.end(str(self._place_file), MARK):
            threading.Event().wait(0.05)
        with suppress(OSError, ValueError, KeyError, TypeError):
            before = Path(json.loads(self._place_file.read_text())["folder"])
            if before.name.startswith("ray-"):
                shutil.rmtree(before, ignore_errors=True)
        self._place_file.unlink(missing_ok=True)


def main(place_file: Path, ready_file: Path, n_cpus: int) -> NoReturn:
    """Keep a head running until told to stop, or until it dies."""
    if find_spec("ray") is None:
        raise MissingExtraError("ray", "materia up --ray")
    token = settings.current().ray_token
    if token is None:
        raise SystemExit("MATERIA_RAY_TOKEN is not set: anybody on this machine could run code")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    head = Head(place_file, n_cpus, token.get_secret_value())
    try:
        head.start()
        is_ready = False
        while not stop.wait(PAUSE_S) and head.is_alive():
            if not is_ready and head.takes_work():
                is_ready = True
                head.announce()
                write_private(ready_file, str(os.getpid()))
    finally:
        head.end()
    sys.exit(0 if stop.is_set() else 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
