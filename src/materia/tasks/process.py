"""What a worker process knows of itself: its start, its children, and who dies with whom."""

from __future__ import annotations

import os
import uuid
from typing import Any

from materia import log, settings
from materia.compute.child import die_with
from materia.errors import AccessError
from materia.services import safety
from materia.services.keeping import Keeper

logger = log.logger(__name__)

# Made once before the pool forks, so that parent and children agree on them.
_boot = uuid.uuid4().hex
_parent = os.getpid()
_keeper: Keeper | None = None
_pool: Any = None


def require_safe() -> None:
    """End this process where its settings must not be used in production, with the list."""
    try:
        safety.require_safe(settings.current())
    except AccessError as error:
        raise SystemExit(f"error: {error.message}\n{error.hint}") from None


def boot() -> str:
    """Return the id of this start of the worker; claims of its children carry it."""
    return _boot


def keeper() -> Keeper:
    """Return the keeper of this worker; lives in the parent process."""
    global _keeper
    if _keeper is None:
        _keeper = Keeper(_boot, living_children)
    return _keeper


def watch(pool: Any) -> None:
    """Take the children of a Celery pool as those to keep."""
    global _pool
    _pool = pool


def living_children() -> set[int]:
    """Return the process ids of the living children; the own one for a pool without processes."""
    processes = getattr(getattr(_pool, "_pool", None), "_pool", None)
    if processes is None:
        return {os.getpid()}
    return {child.pid for child in list(processes) if child.exitcode is None}


def die_with_parent() -> None:
    """Make this child end when its parent is gone, however that died."""
    if os.getpid() == _parent:
        return  # a pool without processes
    die_with(_parent)
