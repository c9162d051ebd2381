"""How many jobs may wait: of one owner, and in all. Counted now and then, not for each job."""

from __future__ import annotations

import time
from dataclasses import dataclass

from materia import settings
from materia.errors import MateriaError
from materia.store import jobs as job_rows
from materia.store.database import database

# A count holds for so long; one that left no room is looked at again after a moment.
TRUSTED_S = 2.0
FULL_FOR_S = 1.0
# Of the room that was counted a server fills this part before it counts again, for others fill it
# at the same time.
PART = 8


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
    """What one process may let in before it counts again."""

    left: int
    counted_at: float
    is_full: bool


# By owner; None is everybody.
_rooms: dict[str | None, _Room] = {}


def require_room(owner: str) -> None:
    """Count a job that somebody wants to submit.

    Each server counts in the database, the more often the less room there is. Several that fill
    the same room at once may each let in a part of it too many; of the last places, one.

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
    if room is None or _is_over(room, now - room.counted_at):
        with database().read() as connection:
            left = most - job_rows.n_waiting(connection, owner, most)
        share = -(-left // PART)
        room = _rooms[owner] = _Room(share, now, is_full=left <= 0)
    room.left -= 1
    return not room.is_full


def _is_over(room: _Room, age_s: float) -> bool:
    return age_s > FULL_FOR_S if room.is_full else room.left <= 0 or age_s > TRUSTED_S
