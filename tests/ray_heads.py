"""Real Ray heads and nodes on loopback, started as the stack starts them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from materia.compute.cluster.place import ClusterPlace, ray_environment
from materia.stack import orphans
from materia.stack.ray_head import MARK
from servers import die_with_tests, wait_until

TOKEN = "a token of the tests, which is long enough"
START_TIMEOUT_S = 240.0
TESTS = Path(__file__).parent

# Ray takes loopback for a reason not to have a second node.
NODE = """
from ray._private import ray_constants, services
from ray.scripts import scripts
ray_constants.ENABLE_RAY_CLUSTER = True
services.get_node_ip_address = lambda *_: "127.0.0.1"
scripts.main()
"""


class RayHead:
    """A head on loopback that asks for a token; may be killed and started again."""

    def __init__(self, folder: Path, n_cpus: int = 2) -> None:
        self.place_file = folder / "ray.json"
        self._ready_file = folder / "ray.ready"
        self._log = folder / "ray.log"
        self._n_cpus = n_cpus
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it takes work; a busy machine may need a second try."""
        for _ in range(3):
            self._start_once()
            wait_until(
                lambda: self._is_ready() or not self.is_alive(), "the head is up", START_TIMEOUT_S
            )
            if self.is_alive():
                return
        raise AssertionError(self._log.read_text())

    def _start_once(self) -> None:
        self._ready_file.unlink(missing_ok=True)
        program = [sys.executable, "-m", "materia.stack.ray_head"]
        arguments = [str(self.place_file), str(self._ready_file), str(self._n_cpus)]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [*program, *arguments],
                env={**os.environ, "MATERIA_RAY_TOKEN": TOKEN},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=die_with_tests(signal.SIGKILL),
            )

    def _is_ready(self) -> bool:
        assert self._process is not None
        return self._ready_file.exists() and self._ready_file.read_text() == str(self.pid)

    @property
    def pid(self) -> int:
        """Process id of the program that keeps the head."""
        assert self._process is not None
        return self._process.pid

    @property
    def place(self) -> ClusterPlace:
        """Where it is."""
        found = json.loads(self.place_file.read_text())
        host, _, port = found["address"].partition(":")
        return ClusterPlace(host, int(port), found["dashboard_url"], TOKEN)

    def variables(self) -> dict[str, str]:
        """Return the settings that lead to it, also after it was started again."""
        return {
            "MATERIA_RAY_ADDRESS": f"file:{self.place_file}",
            "MATERIA_RAY_TOKEN": TOKEN,
        }

    def is_alive(self) -> bool:
        """Tell whether the program that keeps the head runs."""
        return self._process is not None and self._process.poll() is None

    def processes(self) -> list[int]:
        """Return the processes of the head, its workers included."""
        return orphans.marked(str(self.place_file), MARK)

    def stop(self) -> None:
        """Ask it to stop, and wait."""
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(60) == 0, self._log.read_text()

    def kill(self) -> None:
        """End the program that keeps it at once, and what is left of it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        orphans.end(str(self.place_file), MARK)
        # Its next start would clear it away.
        with suppress(OSError, ValueError, KeyError):
            shutil.rmtree(json.loads(self.place_file.read_text())["folder"])


class RayNode:
    """Another node of a head, on this machine; killed as if its machine had died."""

    def __init__(self, head: RayHead, n_cpus: int) -> None:
        self._mark = f"{head.place_file}.node"
        self._folder = tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp")
        place = head.place
        options = {
            "--address": place.address,
            "--node-ip-address": place.host,
            "--num-cpus": n_cpus,
            "--object-store-memory": 100_000_000,
            "--temp-dir": self._folder.name,
            "--include-log-monitor": "false",
        }
        words = [str(word) for option in options.items() for word in option]
        ray = [sys.executable, "-c", NODE]
        self._process = subprocess.Popen(
            [*ray, "start", "--block", *words],
            env={**os.environ, **ray_environment(place.host, TOKEN), MARK: self._mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_tests(signal.SIGKILL),
        )

    def processes(self) -> list[int]:
        """Return its processes."""
        return orphans.marked(self._mark, MARK)

    def kill(self) -> None:
        """End all of it at once."""
        self._process.kill()
        self._process.wait()
        while orphans.end(self._mark, MARK):
            continue
        self._folder.cleanup()
