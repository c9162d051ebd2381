"""Same key, same request: one effect and the same answer, also for requests at the same moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from materia.errors import ConflictError
from materia.services.work import Work, unit_of_work
from materia.store import idempotency as rows
from materia.store.database import database
from materia.store.jobs import Row


@dataclass(frozen=True, slots=True)
class Once:
    """A request that must take effect once.

    Args:
        owner: Whose key it is; keys of different owners do not meet.
        key: Chosen by the client.
        digest: Of everything that makes two requests the same.
    """

    owner: str
    key: str
    digest: str

    def known_answer(self) -> Row | None:
        """Return the answer that this request had before; None when it is new.

        Raises:
            ConflictError: The key came with another request.
        """
        with database().read() as connection:
            return self._read(connection)

    def keep(self, work: Work, answer: Row) -> Row | None:
        """Keep the answer in the transaction of its effects, before any of them.

        Returns:
            None when this request is the first; otherwise the answer of the first, and the caller
            must leave the transaction without effects.
        """
        values = {
            "owner": self.owner,
            "key": self.key,
            "digest": self.digest,
            "answer": answer,
            "created_at": work.database.now(),
        }
        # Waits for a twin that is about to commit.
        if rows.add(work.database, work.connection, values):
            return None
        return self._read(work.connection)

    def remember(self, answer: Any) -> Any:
        """Keep the answer of a request that may take effect again; returns that of the first."""
        with unit_of_work() as work:
            known = self.keep(work, answer)
        return answer if known is None else known

    def _read(self, connection: Connection) -> Row | None:
        row = rows.get(connection, self.owner, self.key)
        if row is None:
            return None
        if row["digest"] != self.digest:
            raise ConflictError(
                f"the idempotency key {self.key!r} came with another request before",
                "choose a new key for each new request",
            )
        return dict(row["answer"])
