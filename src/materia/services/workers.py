"""Signs of life of workers: a row for each, renewed by its parent process as its leases are.

They tell which queues are served, also while all processes of a worker are busy.
"""

from __future__ import annotations

from collections.abc import Collection

from materia import settings
from materia.store import workers as rows
from materia.store.database import database
from materia.store.jobs import Row


def seen(boot: str, name: str, queues: Collection[str], n_processes: int) -> None:
    """Note that a worker lives."""
    row = {"boot": boot, "name": name, "queues": sorted(queues), "n_processes": n_processes}
    with database().write() as connection:
        rows.seen(database(), connection, row)


def leave(boot: str) -> None:
    """Note that a worker takes no jobs any more."""
    with database().write() as connection:
        rows.remove(connection, boot)


def living() -> list[Row]:
    """Return the workers that were seen within the time of a lease."""
    with database().read() as connection:
        return rows.living(database(), connection, settings.current().lease_s)
