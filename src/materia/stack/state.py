"""The state file of a stack, through which `materia status` and scripts find it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from materia.compute.cluster.place import cluster_place
from materia.errors import TransientError
from materia.settings import Settings
from materia.stack.environment import api_url, flower_url
from materia.stack.folder import DataFolder, write_private
from materia.stack.processes import FLOWER
from materia.stack.supervisor import Supervisor

KEYS = (
    "ready",
    "api_url",
    "api_key",
    "broker_url",
    "result_backend",
    "database_url",
    "data_root",
    "ray_address",
    "flower_url",
)


def write(settings: Settings, supervisor: Supervisor, *, stack_id: str, pid: int) -> None:
    """Replace the state file by the present state."""
    state = {
        "ready": supervisor.is_ready,
        "api_url": api_url(settings),
        "api_key": settings.api_key.get_secret_value() if settings.api_key else None,
        "broker_url": settings.broker_url,
        "result_backend": settings.result_backend,
        "database_url": settings.database,
        "data_root": str(settings.data_root),
        "ray_address": _ray_address(settings),
        "flower_url": flower_url(settings) if FLOWER in supervisor.processes else None,
        "processes": [
            {"name": name, "pid": p.pid, "state": p.state.value, "restarts": p.restarts}
            for name, p in supervisor.processes.items()
            if not p.spec.is_one_shot or not supervisor.is_ready
        ],
        "stack_id": stack_id,
        "pid": pid,
    }
    folder = DataFolder(settings.data_dir)
    write_private(folder.state, json.dumps(state, indent=2) + "\n")


def _ray_address(settings: Settings) -> str | None:
    """Return where the cluster is at this moment; None without one, or while its head starts."""
    if not settings.ray_address:
        return None
    try:
        return cluster_place(settings).address
    except TransientError:
        return None


def last(folder: DataFolder) -> dict[str, Any]:
    """Return what the last stack on this folder wrote, running or not; empty when there is none."""
    try:
        state = json.loads(folder.state.read_text())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def look(path: Path) -> dict[str, Any]:
    """Return the state of the stack on a data folder, as `materia status --json` prints it.

    Every key is there in any case; without a running stack `ready` is False and no process listed.
    """
    folder = DataFolder(path.expanduser().resolve())
    state = last(folder)
    found = {key: state.get(key) for key in KEYS}
    # Between its lock and its first word a new stack would be taken for the one before.
    is_running = folder.is_locked() and state.get("pid") == folder.holder()
    if not is_running:
        # What a killed stack left says where it was, not where anything is.
        found.update(api_url=None, broker_url=None, result_backend=None, ray_address=None)
        found.update(flower_url=None)
    return {
        **found,
        "ready": bool(is_running and found["ready"]),
        "running": is_running,
        "data_dir": str(folder.path),
        "pid": state.get("pid") if is_running else None,
        "processes": state.get("processes", []) if is_running else [],
    }
