"""All workers gone: seen by the scheduler, for the check of health is a job that needs one of them.

It tells of it with the notification that a check would have submitted, and carries that one job
out itself.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from materia import log, settings
from materia.errors import MateriaError
from materia.services import cluster_health, execution, notifications
from materia.services.execution import Claimant
from materia.store import workers as worker_rows
from materia.store.database import database

# A worker shows that it lives thrice in a lease: so many leases are no accident.
LEASES = 3
EVERY_S = 5.0

logger = log.logger(__name__)


class _NoLimit(BaseException):
    """Never raised: nobody interrupts a thread of the scheduler."""


@dataclass(slots=True)
class Silence:
    """How long a scheduler has seen no worker.

    Args:
        clock: Seconds that only grow.
    """

    clock: Callable[[], float] = time.monotonic
    _looked: float = float("-inf")
    _since: float | None = None

    def look(self) -> str | None:
        """Look whether a worker lives, now and then; after long silence tell of it, once.

        Returns:
            Id of the job that tells of it, where it was submitted just now.
        """
        now, lease_s = self.clock(), settings.current().lease_s
        if now - self._looked < min(EVERY_S, lease_s):
            return None
        self._looked = now
        with database().read() as connection:
            if worker_rows.living(database(), connection, lease_s):
                self._since = None
                return None
        self._since = now if self._since is None else self._since
        if now - self._since < LEASES * lease_s:
            return None
        job_id = cluster_health.note_silence()
        if job_id is not None:
            # Services out there take their time, and the scheduler has none.
            threading.Thread(target=deliver, args=(job_id,), name="notification").start()
        return job_id


def deliver(job_id: str) -> None:
    """Carry a notification out as a worker would; what cannot be sent waits for one."""
    claimant = Claimant(f"scheduler-{job_id[:40]}", f"scheduler@{socket.gethostname()}")
    try:
        job = execution.claim(job_id, claimant)
        execution.run(job, notifications.send_notification, (), job.row["kwargs"], _NoLimit)
    except MateriaError as error:
        logger.warning("notification_not_sent", job_id=job_id, reason=error.message)
