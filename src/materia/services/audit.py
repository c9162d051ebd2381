"""Who did what, and what was refused: a bounded record, for admins.

It is written by a thread beside the requests, some entries at a time, so that no request waits for
it. What a killed process had not written yet is lost: up to `WRITE_EVERY_S` of it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import asdict, dataclass, replace

from materia import log
from materia.errors import TransientError
from materia.store import audit as rows
from materia.store.database import database
from materia.store.jobs import Row

THREAD = "audit"
WRITE_EVERY_S = 0.25
MAX_WAITING = 10_000
MAX_ROWS = 200_000
# Refusals cost an attacker nothing: beyond a burst they are counted and not written one by one.
REFUSALS_PER_S = 2.0
REFUSALS_AT_ONCE = 200.0

logger = log.logger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """One request.

    Args:
        key_id, name, owner: The key that was used; None where none is known.
        address: Whom the server was connected with.
        path: What was asked for, or what was made.
        status: Of the answer.
        refused: no_key, unknown, expired, revoked, scope, another_owner, foreign_page, rate, room;
            None of what was done.
    """

    method: str
    path: str
    status: int
    key_id: str | None = None
    name: str | None = None
    owner: str | None = None
    address: str | None = None
    refused: str | None = None
    n_more: int = 0


class Record:
    """Gathers entries, and writes them a moment later."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, Entry]] = deque(maxlen=MAX_WAITING)
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._allowed = REFUSALS_AT_ONCE
        self._counted_at = time.monotonic()
        self._n_more = 0

    def note(self, entry: Entry) -> None:
        """Take an entry; it is written soon."""
        with self._lock:
            if entry.refused is not None:
                if not self._is_allowed():
                    self._n_more += 1
                    return
                entry, self._n_more = replace(entry, n_more=self._n_more), 0
            self._waiting.append((time.time(), entry))
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name=THREAD, daemon=True)
                self._thread.start()

    def _is_allowed(self) -> bool:
        now = time.monotonic()
        gained = (now - self._counted_at) * REFUSALS_PER_S
        self._allowed, self._counted_at = min(REFUSALS_AT_ONCE, self._allowed + gained), now
        if self._allowed < 1.0:
            return False
        self._allowed -= 1.0
        return True

    def _write(self) -> None:
        self._stop.wait(WRITE_EVERY_S)
        with self._lock:
            self._thread = None
        self.flush()

    def flush(self) -> None:
        """Write what waits."""
        with self._writing:
            found = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if not found:
                return
            try:
                with database().write() as connection:
                    rows.add(connection, [{"time": at, **asdict(entry)} for at, entry in found])
                    rows.keep_newest(connection, MAX_ROWS)
            except TransientError as error:
                # Not again and again: what comes meanwhile must not push these out.
                logger.warning("audit_not_written", n=len(found), reason=str(error))

    def close(self) -> None:
        """Write what waits, and end."""
        self._stop.set()
        self.flush()


def page(limit: int, before: int | None, refused: bool | None = None) -> tuple[list[Row], int]:
    """Return entries before a number, the newest first, and how many match in all.

    Args:
        refused: Only what was refused, or only what was done.
    """
    with database().read() as connection:
        return rows.page(connection, limit, before, refused)
