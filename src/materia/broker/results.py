"""Answers for plain Celery clients, written after the job's final row.

Celery itself never stores a result here (see `materia.tasks.base`): a killed child or a dropped
double would overwrite the answer.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
from celery import states
from celery.backends.base import Backend
from celery.backends.redis import RedisBackend

from materia import log
from materia.broker.app import app

CELERY_STATES = {
    "SUCCEEDED": states.SUCCESS,
    "FAILED": states.FAILURE,
    "QUARANTINED": states.FAILURE,
    "CANCELLED": states.REVOKED,
}

logger = log.logger(__name__)


def _exception(row: dict[str, Any]) -> dict[str, Any]:
    """Return the error of a job as Celery's JSON form of an exception."""
    error = row["error"] or {}
    if row["state"] == "CANCELLED":
        return {
            "exc_type": "TaskRevokedError",
            "exc_message": [error.get("message", "cancelled")],
            "exc_module": "celery.exceptions",
        }
    hint = error.get("hint")
    text = error.get("message", "failed")
    return {
        "exc_type": error.get("type", "MateriaError"),
        "exc_message": [f"{text} ({hint})" if hint else text],
        "exc_module": error.get("module", "materia.errors"),
    }


class _Writer(RedisBackend):  # type: ignore[misc]
    """Writes an answer in Celery's form, in one packet.

    Celery looks for an earlier success before every write, for it has no other guard; here the
    guarded write of the row has been that look already. Nor is it a transaction: whoever is woken
    finds the answer.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._free: list[Any] = []

    def store_result(
        self, task_id: str, result: Any, state: str, traceback: str | None = None, **_: Any
    ) -> Any:
        """Store an answer and wake who waits for it."""
        answer = {
            "status": state,
            "result": result,
            "traceback": traceback,
            "children": [],
            "date_done": datetime.now(UTC).isoformat(),
            "task_id": task_id,
        }
        key, value = self.get_key_for_task(task_id), orjson.dumps(answer)
        expires = self.failure_expires if state == states.FAILURE else self.expires
        stored = ("SET", key, value, "EX", expires) if expires else ("SET", key, value)
        told = ("PUBLISH", key, value)
        try:
            self._send(stored, told)
        except self.connection_errors:
            # A connection that lay idle may be gone, and so then are the others.
            while self._free:
                self._give_up(self._free.pop())
            self._send(stored, told)
        return result

    def _send(self, *commands: tuple[Any, ...]) -> None:
        pool = self.client.connection_pool
        try:
            connection = self._free.pop()
        except IndexError:
            connection = pool.get_connection()
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            for _ in commands:
                connection.read_response()
        except BaseException:
            # Also a signal: the replies of this answer must not be read as those of the next.
            self._give_up(connection)
            raise
        self._free.append(connection)

    def _give_up(self, connection: Any) -> None:
        connection.disconnect()
        self.client.connection_pool.release(connection)


@lru_cache(maxsize=4)
def _backend(url: str, pid: int) -> Backend:
    """Return the result backend of this process; a forked child makes its own."""
    backend = app.backend
    # Not for what is derived from it: Sentinel and clusters find their servers in other ways.
    return _Writer(app=app, url=url) if type(backend) is RedisBackend else backend


def store(row: dict[str, Any]) -> bool:
    """Store the answer of a final job where a plain client looks for it, if one does.

    Returns:
        False when the backend did not take it; somebody must try again.
    """
    if not row["reply"]:
        return True
    state = CELERY_STATES[row["state"]]
    answer = row["result"] if state == states.SUCCESS else _exception(row)
    traceback = (row["error"] or {}).get("traceback")
    try:
        backend = _backend(app.conf.result_backend, os.getpid())
        backend.store_result(row["id"], answer, state, traceback=traceback)
    except Exception as error:  # noqa: BLE001 - whatever the backend's driver raises
        logger.warning("answer_not_stored", job_id=row["id"], reason=str(error))
        return False
    return True
