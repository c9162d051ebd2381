"""The driver: the one program that loads Ray, started and ended by the process of a job.

A process of its own, since Ray's calls hear no soft limit, leave threads behind, and do not find
back to a head that was started again. See docs/decisions/ray-drivers.md.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import socket
import threading
from collections.abc import Callable
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from materia.compute.child import die_with, leave_to_parent
from materia.compute.cluster import task
from materia.compute.cluster.messages import (
    Answered,
    Begin,
    Compute,
    Connect,
    End,
    Loaded,
    Lost,
    NotLoaded,
    Report,
    Unusable,
)
from materia.errors import DataError, MateriaError, StateError, TransientError

REACH_S = 5.0
IDLE_S = 30.0
"""A driver without a map ends after it: its processes hold memory and places of the cluster."""
LINGER_S = 0.2
"""Between the loss of a process and the question whether the head is lost too."""


def main(fd: int, parent: int) -> None:
    """Serve a connection until its other end is closed."""
    die_with(parent)
    connection = Connection(fd)
    reports = Reports(connection)
    try:
        _serve(connection, reports)
    except (EOFError, OSError):
        pass
    except MateriaError as error:
        reports.send(Unusable(error.code, error.message, error.hint))
        reports.finish()
    os._exit(0)


class Reports:
    """Sends from a thread of its own: Ray's threads, which tell of results, must not wait."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: queue.SimpleQueue[Report | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._send_all, daemon=True)
        self._thread.start()

    def send(self, report: Report) -> None:
        """Send something soon."""
        self._waiting.put(report)

    def finish(self) -> None:
        """Wait until everything is sent."""
        self._waiting.put(None)
        self._thread.join()

    def _send_all(self) -> None:
        while (report := self._waiting.get()) is not None:
            try:
                self._connection.send_bytes(pickle.dumps(report, protocol=5))
            except OSError:
                return  # the other end is gone, which the main thread notices


def _serve(connection: Connection, reports: Reports) -> None:
    request: Connect = connection.recv()
    session = Session(request, reports)
    # After Ray, which sets its own. A group gets both at once; the parent decides what they mean.
    signal.signal(signal.SIGINT, leave_to_parent)
    signal.signal(signal.SIGTERM, leave_to_parent)
    try:
        while connection.poll(None if session.is_busy else IDLE_S):
            session.take(connection.recv(), lambda: reduction.recv_handle(connection))
    finally:
        session.close()


class Session:
    """A connection to the cluster and the map that it works on.

    Raises:
        MateriaError: The cluster cannot be used; says why.
    """

    def __init__(self, request: Connect, reports: Reports) -> None:
        require_reachable(request)
        import ray

        self._ray = ray
        self._request = request
        self._reports = reports
        self._running: dict[Any, int] = {}
        self._load: Any = None
        self._loading: list[Any] = []
        try:
            # Refuses a wrong token at once, which `init` is told again and again.
            gcs: Any = ray._raylet
            gcs.GcsClient(address=f"{request.host}:{request.port}")
            ray.init(
                address=f"{request.host}:{request.port}",
                configure_logging=False,
                log_to_driver=False,
                # Programs of the cluster find what this program finds.
                job_config=ray.job_config.JobConfig(_py_driver_sys_path=_sys_path()),
            )
        except Exception as error:
            raise not_connected(request, error) from error
        # One that fails is tried again by the map, which counts.
        one_cpu = ray.remote(num_cpus=1, max_retries=0)
        self._prepare: Any = one_cpu(task.prepare)
        self._compute: Any = one_cpu(task.compute)

    @property
    def is_busy(self) -> bool:
        """Whether there is a map under way."""
        return self._load is not None

    def take(self, request: Any, receive_fd: Callable[[], int]) -> None:
        """Do what the parent asks."""
        match request:
            case Begin():
                self._begin(request, receive_fd())
            case Compute(index, content):
                self._submit(index, content)
            case End():
                self._load = None

    def close(self) -> None:
        """Cancel what runs and leave the cluster."""
        for reference in [*self._running, *self._loading]:
            try:
                self._ray.cancel(reference, force=True)
            except Exception:  # noqa: BLE001 - it has just ended, or the cluster has
                continue
        self._ray.shutdown()

    def _begin(self, request: Begin, fd: int) -> None:
        content = self._put(fd)
        self._load = task.Load(
            request.key,
            request.function,
            [content],
            request.spans,
            request.memory_limit_bytes,
            request.labels,
        )
        left = [request.n_processes]
        self._loading = [self._prepare.remote(self._load) for _ in range(request.n_processes)]
        for reference in self._loading:
            reference.future().add_done_callback(lambda future: self._prepared(future, left))

    def _put(self, fd: int) -> Any:
        size = os.fstat(fd).st_size
        with os.fdopen(fd, "rb") as file:
            # Ray would copy a `memmap` for every process that reads it.
            content = np.asarray(np.memmap(file, dtype=np.uint8, mode="r", shape=(size,)))
        try:
            return self._ray.put(content)
        except Exception as error:
            if _lost_cluster(error):
                raise _gone(error) from error
            raise DataError(
                f"the shared data of {size / 1e6:.0f} MB cannot be put into the object store of "
                f"the cluster: {_short(error)}",
                "give the nodes a larger one: ray start --object-store-memory",
            ) from error

    def _prepared(self, future: Any, left: list[int]) -> None:
        left[0] -= 1
        error = future.exception()
        if error is None:
            failed = future.result()
            if failed is None:
                self._reports.send(Loaded())
                return
            reason = f"cannot load: {failed.error_type}: {failed.message}"
        elif _lost_cluster(error):
            self._report_gone(error)
            return
        else:
            reason = how_it_died(error)
        if left[0] == 0:
            self._reports.send(NotLoaded(reason))

    def _submit(self, index: int, content: bytes) -> None:
        reference = self._compute.remote(self._load, content)
        self._running[reference] = index
        reference.future().add_done_callback(
            lambda future: self._finished(reference, index, future)
        )

    def _finished(self, reference: Any, index: int, future: Any) -> None:
        self._running.pop(reference, None)
        error = future.exception()
        if error is None:
            self._reports.send(Answered(index, future.result()))
        elif _lost_cluster(error):
            self._report_gone(error)
        else:
            # A head that dies takes processes with it, which is noticed first; Ray's thread that
            # tells of it must not wait.
            lost = Lost(index, how_it_died(error))
            threading.Timer(LINGER_S, self._report_lost, (lost,)).start()

    def _report_lost(self, lost: Lost) -> None:
        try:
            require_reachable(self._request)
        except TransientError as gone:
            self._reports.send(Unusable(gone.code, gone.message, gone.hint))
        else:
            self._reports.send(lost)

    def _report_gone(self, error: BaseException) -> None:
        gone = _gone(error)
        self._reports.send(Unusable(gone.code, gone.message, gone.hint))


def _sys_path() -> list[str]:
    import sys

    return [entry for entry in sys.path if entry]


def require_reachable(request: Connect) -> None:
    """Raise `TransientError` at once; Ray itself would try for most of a minute."""
    try:
        socket.create_connection((request.host, request.port), REACH_S).close()
    except OSError as error:
        raise _unreachable(request, error) from None


def _unreachable(request: Connect, reason: object) -> TransientError:
    return TransientError(
        f"the Ray cluster at {request.host}:{request.port} cannot be reached: {reason}",
        "start its head, and on this machine a node: ray start --address; or unset "
        "MATERIA_RAY_ADDRESS",
    )


def not_connected(request: Connect, error: Exception) -> MateriaError:
    """Return why Ray did not connect, as an error of ours."""
    where = f"the Ray cluster at {request.host}:{request.port}"
    if "Version mismatch" in str(error):
        return StateError(
            f"{where} is of another version: {_short(error)}",
            "head, nodes and this installation must have the same versions of Ray and Python",
        )
    if type(error).__name__ == "AuthenticationError" or "Unauthenticated" in str(error):
        return StateError(
            f"{where} refuses the token",
            "set MATERIA_RAY_TOKEN to the RAY_AUTH_TOKEN of its nodes",
        )
    return _unreachable(request, _short(error))


def _lost_cluster(error: BaseException) -> bool:
    """Tell whether an error is of the cluster and not of one item."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"LocalRayletDiedError", "RpcError", "RaySystemError"})


def _gone(error: BaseException) -> TransientError:
    return TransientError(f"the Ray cluster was lost: {_short(error)}")


def how_it_died(error: BaseException) -> str:
    """Return in words what became of the process of an item."""
    match type(error).__name__:
        case "OutOfMemoryError":
            return "was killed since its node ran out of memory"
        case "NodeDiedError":
            return "was lost with its node"
        case "WorkerCrashedError":
            return "died (killed, out of memory, or a crash of native code)"
    return f"was lost: {type(error).__name__}: {_short(error)}"


def _short(error: BaseException, most: int = 300) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= most else text[: most - 1] + "…"
