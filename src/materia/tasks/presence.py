"""What a worker tells of itself: where it runs, which queues it takes, and on which device."""

from __future__ import annotations

import os
import platform
import socket
import threading
from contextlib import suppress
from typing import Any

import celery
from celery.concurrency import solo

from materia import log, settings
from materia.errors import TransientError
from materia.services import workers
from materia.services.workers import GENERAL_QUEUE, GPU_QUEUE
from materia.store.database import database
from materia.tasks import process
from materia.version import __version__

# A database that is away must not make a stop longer.
LAST_WORD_S = 2.0

logger = log.logger(__name__)


class Presence:
    """Shows that a worker lives, from its parent process.

    Args:
        parent: Celery's worker, before it takes jobs.
    """

    def __init__(self, parent: Any) -> None:
        self._parent = parent
        self._leaves = False
        queues = self._queues()
        # One that was started for all work leaves training to a worker that is there for it.
        self._yields = GPU_QUEUE in queues and GENERAL_QUEUE in queues
        self._known = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "versions": {
                "materia": __version__,
                "python": platform.python_version(),
                "celery": celery.__version__,
                **_device(queues),
            },
        }

    def show(self) -> None:
        """Say that this worker lives, and what it takes; one that leaves takes nothing."""
        if self._leaves:
            workers.leave(process.boot())
            return
        parent = self._parent
        n_processes = 1 if issubclass(parent.pool_cls, solo.TaskPool) else parent.concurrency
        queues = self._queues()
        workers.seen(process.boot(), str(parent.hostname), queues, n_processes, **self._known)
        if self._yields:
            self._share_gpu_queue(GPU_QUEUE in queues)

    def leave(self) -> None:
        """Say that it takes no jobs any more."""
        self._leaves = True
        _say_apart(workers.leave)

    def end(self) -> None:
        """Say that it has ended; waits a moment for the database."""
        _say_apart(workers.gone).join(LAST_WORD_S)

    def _queues(self) -> list[str]:
        return [str(name) for name in self._parent.app.amqp.queues.consume_from]

    def _share_gpu_queue(self, is_taken: bool) -> None:
        """Take the queue of training exactly as long as no other worker is there for it."""
        consumer = getattr(self._parent, "consumer", None)
        if consumer is None or getattr(consumer, "task_consumer", None) is None:
            return
        with database().read() as connection:
            others = workers.gpu_workers(database(), connection)
        if others and is_taken:
            consumer.call_soon(consumer.cancel_task_queue, GPU_QUEUE)
        elif not others and not is_taken:
            consumer.call_soon(consumer.add_task_queue, GPU_QUEUE)


def _say_apart(word: Any) -> threading.Thread:
    def say() -> None:
        with suppress(TransientError):
            word(process.boot())

    thread = threading.Thread(target=say, name="last-word", daemon=True)
    thread.start()
    return thread


def _device(queues: list[str]) -> dict[str, str]:
    """Return the device on which a GPU worker trains, as part of its versions."""
    if not workers.is_for_gpu(queues) or settings.current().torch == "off":
        return {}
    from materia.services import devices

    found = devices.probe()
    logger.info("device_of_training", **found)
    return found
