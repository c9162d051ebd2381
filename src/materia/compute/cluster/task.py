"""What runs in a process of the cluster: load once, then answer one item after the other."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from materia import log
from materia.compute import shared
from materia.compute.child import answer, failure
from materia.compute.member import ONE_THREAD
from materia.compute.outcomes import Failed


@dataclass(frozen=True, slots=True)
class Load:
    """What a process loads before its first item of a map.

    Attributes:
        key: Of the map; a process serves several, one after the other.
        function: Reference to the function, pickled.
        content: Reference to the shared object in the object store; in a list, so that Ray does
            not read it anew for each item.
        spans: Where its parts lie in `content`.
        memory_limit_bytes: Limit of what the process may hold for itself.
        labels: Ids that its lines of log carry.
    """

    key: str
    function: bytes
    content: list[Any]
    spans: shared.Spans
    memory_limit_bytes: int | None
    labels: dict[str, str]


@dataclass(slots=True)
class _Loaded:
    key: str = ""
    function: Callable[[Any, Any], Any] | None = None
    value: Any = None
    base_bytes: int | None = None


_loaded = _Loaded()


def prepare(load: Load) -> Failed | None:
    """Load, and return what prevents it."""
    try:
        _prepare(load)
    except Exception as error:  # noqa: BLE001 - the driver reports it, whatever it is
        return failure(error)
    return None


def compute(load: Load, content: bytes) -> bytes:
    """Return the pickled outcome of a pickled item."""
    reason = prepare(load)
    if reason is not None:
        return pickle.dumps(reason, protocol=5)
    assert _loaded.function is not None
    # For each item, since Ray may give each a context of its own.
    log.forget_labels()
    log.label(**load.labels)
    return answer(_loaded.function, content, _loaded.value)


def _prepare(load: Load) -> None:
    if _loaded.key == load.key:
        return
    log.configure()
    # Before the function brings the libraries that look at them.
    os.environ.update(ONE_THREAD)
    _loaded.key, _loaded.function, _loaded.value = "", None, None
    _limit_memory(load.memory_limit_bytes)
    function = pickle.loads(load.function)  # noqa: S301 - written by the job's process
    _keep_to_one_thread()
    value = shared.unpack(_fetch(load), load.spans)
    _loaded.key, _loaded.function, _loaded.value = load.key, function, value


def _fetch(load: Load) -> memoryview:
    import ray

    # A small one does not lie in the object store, and could be written.
    return memoryview(ray.get(load.content[0])).toreadonly()


def _keep_to_one_thread() -> None:
    """Limit the libraries that were loaded before this process knew."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


def _limit_memory(limit_bytes: int | None) -> None:
    """Limit what the process holds, beyond what Ray itself takes of it."""
    status = Path("/proc/self/status")
    if not status.exists():
        return
    import resource

    if _loaded.base_bytes is None:
        _loaded.base_bytes = int(status.read_text().split("VmData:")[1].split()[0]) * 1024
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = resource.RLIM_INFINITY if limit_bytes is None else _loaded.base_bytes + limit_bytes
    if hard != resource.RLIM_INFINITY and (soft == resource.RLIM_INFINITY or soft > hard):
        soft = hard
    # Not the hard limit: the process may serve another map afterwards.
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
