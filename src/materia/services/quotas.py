"""How many jobs may wait: of one owner, and in all. Counted now and then, not for each job."""

from __future__ import annotations

import time
from dataclasses import dataclass

from materia import settings
from materia.errors import MateriaError
from materia.store import jobs as job_rows
from materia.store.database import database

# A count holds for so long, less what this process has let in since; one that left no room is
# looked at again after a moment.
TRUSTED_S = 10.0
FULL_FOR_S = 1.0


class NoRoomError(MateriaError):
    """Too many jobs wait.

    Args:
        is_own: They are the caller's own, not everybody's.
    """

    code = "too_many_requests"

    def __init__(self, message: str, hint: str, *, is_own: bool) -> None:
        super().__init__(message, hint)
        self.is_own = is_own


@dataclass(slots=True)
class _Room:
    left: int
    counted_at: float


# By owner; None is everybody.
_rooms: dict[str | None, _Room] = {}


def require_room(owner: str) -> None:
    """Count a job that somebody wants to submit.

    Other processes count for themselves: for some seconds each may let as many in.

    Raises:
        NoRoomError: So many wait already.
    """
    config = settings.current()
    if not _take(owner, config.max_waiting_jobs):
        raise NoRoomError(
            f"{config.max_waiting_jobs} jobs of {owner!r} wait already",
            "wait until some have ended, or cancel some; MATERIA_MAX_WAITING_JOBS sets the limit",
            is_own=True,
        )
    if not _take(None, config.max_waiting_jobs_in_all):
        raise NoRoomError(
            f"{config.max_waiting_jobs_in_all} jobs wait already",
            "try again later, or let more workers be started",
            is_own=False,
        )


def _take(owner: str | None, most: int) -> bool:
    now = time.monotonic()
    room = _rooms.get(owner)
    age = TRUSTED_S if room is not None and room.left > 0 else FULL_FOR_S
    if room is None or now - room.counted_at > age:
        with database().read() as connection:
            left = most - job_rows.n_waiting(connection, owner, most)
        room = _rooms[owner] = _Room(left, now)
    room.left -= 1
    return room.left >= 0
