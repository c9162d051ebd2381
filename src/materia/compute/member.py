"""One process of the map, as its parent sees it.

Started as a program of its own: `multiprocessing` would refuse to do so inside a Celery worker,
whose processes are daemons, and a fork of a process with threads of a numerics library may hang.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import wait

from materia.compute.child import Start
from materia.errors import TransientError

PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from materia.compute import child; child.main(int(sys.argv[2]), int(sys.argv[3]))"
)

ONE_THREAD = dict.fromkeys(
    (
        "LOKY_MAX_CPU_COUNT",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "POLARS_MAX_THREADS",
        "RAYON_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    ),
    "1",
)
"""One process per core is busy already; and sums must not depend on the number of threads."""

LAST_BREATH_S = 1.0
SIGNALS = {int(number): number.name for number in signal.Signals}


class Member:
    """A process that loads, then computes one item at a time.

    Made before it is started, so that whoever keeps the list of members can end it at any moment.

    Attributes:
        is_loaded: It has the function and the shared object.
        index: Item that it computes.
    """

    def __init__(self) -> None:
        self.connection, self._theirs = Pipe()
        self._process: subprocess.Popen[bytes] | None = None
        self.is_loaded = False
        self.index: int | None = None

    @property
    def is_idle(self) -> bool:
        """Whether it waits for an item."""
        return self.is_loaded and self.index is None

    def start(self, start: Start) -> None:
        """Begin the process; it dies with the calling thread.

        Raises:
            TransientError: The machine has no room for another process.
        """
        try:
            self._process = self._spawn(start)
        except OSError as error:
            if error.errno is None:
                raise  # not the system's, but a signal's exception
            raise TransientError(f"cannot start a process: {error.strerror}") from None
        self._theirs.close()
        # One that has died already is found out when its answer is read.
        self.send(pickle.dumps(start))

    def _spawn(self, start: Start) -> subprocess.Popen[bytes]:
        fd = self._theirs.fileno()
        path = json.dumps([str(entry) for entry in sys.path])
        return subprocess.Popen(
            # Without -P a module in the working folder could stand in for one of Python's own.
            [sys.executable, "-P", "-c", PROGRAM, path, str(fd), str(os.getpid())],
            env=os.environ | ONE_THREAD,
            stdin=subprocess.DEVNULL,
            pass_fds=(fd, start.place.fd),
        )

    def send(self, content: bytes) -> bool:
        """Hand over an item; False when the process has died."""
        try:
            self.connection.send_bytes(content)
        except TimeoutError:
            raise  # a signal's exception: no time limit is set here
        except OSError:
            return False
        return True

    def receive(self) -> bytes | None:
        """Return what the process answers, or None when it has died."""
        try:
            return self.connection.recv_bytes()
        except TimeoutError:
            raise
        except (EOFError, OSError):
            return None

    def bury(self) -> str:
        """Return in words how the process died, and let go of it."""
        assert self._process is not None
        try:
            self._process.wait(LAST_BREATH_S)
        except subprocess.TimeoutExpired:
            # It has only closed its connection.
            self._process.kill()
        status = reap(self._process)
        self.kill()
        if status >= 0:
            return f"ended with exit status {status}"
        if -status == signal.SIGKILL:
            return "was killed by SIGKILL (out of memory?)"
        return f"was killed by {SIGNALS.get(-status, f'signal {-status}')}"

    def kill(self) -> None:
        """End the process at once; harmless when repeated."""
        # One that was interrupted in its start has no handle, and ends with its connection.
        self.connection.close()
        self._theirs.close()
        if self._process is not None:
            self._process.kill()
            reap(self._process)


def reap(process: subprocess.Popen[bytes]) -> int:
    """Wait for the end of a process and return its exit status.

    `Popen.wait` takes a lock that it never gives back where a signal raises just then: the next
    call would wait for ever.
    """
    while process.returncode is None:
        try:
            _, status = os.waitpid(process.pid, 0)
        except ChildProcessError:  # a signal struck before the status was kept
            process.returncode = -signal.SIGKILL
        else:
            process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode


def with_news(members: Sequence[Member], patience_s: float) -> list[Member]:
    """Wait until one of the members answers or dies, and return all such."""
    if not members:
        return []
    ready = wait([member.connection for member in members], patience_s)
    return [member for member in members if member.connection in ready]


def kill_all(members: list[Member]) -> None:
    """End every process and empty the list, also when signals interrupt that again and again."""
    interruption: BaseException | None = None
    try:
        while members:
            try:
                members[-1].kill()
                members.pop()
            except BaseException as error:  # noqa: BLE001 - it is raised when all are gone
                interruption = error
    except BaseException:
        kill_all(members)
        raise
    if interruption is not None:
        raise interruption
