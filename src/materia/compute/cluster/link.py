"""A driver as the process of a job sees it: started when first needed, kept from map to map."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from multiprocessing import Pipe, reduction
from typing import Any

from materia.compute.cluster.messages import Begin, Connect, End, Report, Request
from materia.compute.cluster.place import ClusterPlace
from materia.compute.member import reap
from materia.errors import MissingExtraError, TransientError

PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from materia.compute.cluster import driver; driver.main(int(sys.argv[2]), int(sys.argv[3]))"
)
STOP_S = 3.0
"""Time between the request to leave the cluster and the kill, after which Ray sees to the rest."""


class Link:
    """A driver of one cluster; it dies with the thread that starts it."""

    def __init__(self, place: ClusterPlace) -> None:
        self.place = place
        self.pid = os.getpid()
        self._path = list(map(str, sys.path))
        self._connection, self._theirs = Pipe()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin the program.

        Raises:
            TransientError: The machine has no room for another process.
        """
        fd = self._theirs.fileno()
        path = json.dumps(self._path)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", PROGRAM, path, str(fd), str(os.getpid())],
                env=_environment(self.place),
                stdin=subprocess.DEVNULL,
                pass_fds=(fd,),
            )
        except OSError as error:
            if error.errno is None:
                raise  # not the system's, but a signal's exception
            raise TransientError(f"cannot start a process: {error.strerror}") from None
        self._theirs.close()
        self.send(Connect(self.place.host, self.place.port))

    def begin(self, request: Begin, fd: int) -> None:
        """Begin a map, whose shared object is in the file of that descriptor."""
        assert self._process is not None
        self.send(request)
        with self._alive():
            reduction.send_handle(self._connection, fd, self._process.pid)

    def send(self, request: Request) -> None:
        """Ask for something.

        Raises:
            TransientError: The driver has ended.
        """
        with self._alive():
            self._connection.send_bytes(pickle.dumps(request, protocol=5))

    def reports(self, patience_s: float) -> list[Report]:
        """Wait for what the driver says, and return all that it has said.

        Raises:
            TransientError: The driver has ended.
        """
        found: list[Report] = []
        with self._alive():
            while self._connection.poll(0.0 if found else patience_s):
                content = self._connection.recv_bytes()
                found.append(pickle.loads(content))  # noqa: S301 - from our own process
        return found

    def has_ended(self) -> bool:
        """Tell whether the driver is gone, or about to go."""
        assert self._process is not None
        with suppress(OSError):
            # Between two maps it says nothing but its end.
            return self._process.poll() is not None or self._connection.poll(0.0)
        return True

    def fits(self, place: ClusterPlace) -> bool:
        """Tell whether it may serve another map: same process, same cluster, and it lives."""
        same = self.pid == os.getpid() and self.place == place
        return same and self._path == list(map(str, sys.path)) and not self.has_ended()

    def stop(self) -> None:
        """Make the driver cancel what runs and leave; harmless when repeated."""
        try:
            self._connection.close()
            self._theirs.close()
            if self._process is not None:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(STOP_S)
        finally:
            if self._process is not None:
                self._process.kill()
                reap(self._process)

    @contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            raise  # a signal's exception: no time limit is set here
        except (EOFError, OSError) as error:
            if isinstance(error, OSError) and error.errno is None and error.args:
                raise
            raise TransientError(
                f"the Ray cluster at {self.place.address} was lost: its driver has ended"
            ) from None


_kept: Link | None = None


@contextmanager
def driver_of(place: ClusterPlace) -> Iterator[Link]:
    """Lend the driver of this process; one whose map does not end well is stopped.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    global _kept
    if find_spec("ray") is None:
        raise MissingExtraError("ray", "computing on a Ray cluster")
    link, _kept = _kept, None
    if link is not None and not link.fits(place):
        _end(link)
        link = None
    try:
        if link is None:
            link = Link(place)
            link.start()
        yield link
        link.send(End())
        _kept = link
    finally:
        if link is not None and _kept is not link:
            _end(link)


def leave() -> None:
    """Stop the driver that is kept, if there is one."""
    global _kept
    link, _kept = _kept, None
    if link is not None:
        _end(link)


def _end(link: Link) -> None:
    if link.pid != os.getpid():
        return  # of the process that this one was forked from
    try:
        link.stop()
    except BaseException:
        link.stop()
        raise


def _environment(place: ClusterPlace) -> dict[str, str]:
    """Return this process's environment without what it says of other clusters."""
    inherited: dict[str, Any] = {k: v for k, v in os.environ.items() if not _is_of_ray(k)}
    return inherited | place.environment


def _is_of_ray(name: str) -> bool:
    return name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
