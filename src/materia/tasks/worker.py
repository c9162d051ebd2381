"""What a worker does beside running tasks: log, keep its claims, stop in time."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from contextlib import suppress
from typing import Any

from celery import bootsteps, signals
from celery.concurrency import prefork, solo

from materia import log, settings
from materia.broker.app import app
from materia.errors import TransientError
from materia.services.running import JobLog
from materia.store.database import database, guard_forks
from materia.tasks import figures, process
from materia.tasks.presence import Presence

logger = log.logger(__name__)

# After the grace of a stop: for giving claims back, with database or Redis away.
LEAVE_WITHIN_S = 5.0


def _require_processes(pool: type) -> None:
    """End a worker whose pool cannot keep the promises of a durable job."""
    if issubclass(pool, prefork.TaskPool | solo.TaskPool):
        return
    raise SystemExit(
        f"error: a worker with the pool {pool.__module__}.{pool.__name__} does not start: limits, "
        "cancels and crashes of a job need a process that runs nothing else.\n"
        "Choose --pool prefork, which is the default, or --pool solo for a worker of one job at a "
        "time without limits; --concurrency sets the number of processes."
    )


class KeepClaims(bootsteps.StartStopStep):  # type: ignore[misc]
    """A thread of the parent that keeps the claims of the children."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **_: Any) -> None:
        _require_processes(parent.pool_cls)
        process.require_safe()
        self._jobs = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, parent: Any) -> None:
        """Begin to keep."""
        process.watch(parent.pool)
        # The driver is loaded before there is a second thread that could load it at the same time.
        database()
        guard_forks()
        self._presence = Presence(parent)
        signals.worker_shutdown.connect(self._say_the_end, weak=False)
        signals.worker_shutting_down.connect(self._leave_in_time, weak=False)
        children = process.living_children
        figures.serve("worker", {"children": lambda: len(children()), "jobs": lambda: self._jobs})
        self._thread = threading.Thread(target=self._keep, name="keep-claims", daemon=True)
        self._thread.start()

    def stop(self, parent: Any) -> None:
        """Go on keeping while the pool waits for what still runs; ends with the process."""
        self._leave_in_time()

    terminate = stop

    def _keep(self) -> None:
        config = settings.current()
        look_every = min(1.0, config.lease_s / 5)
        renew_every = max(1, int(config.lease_s / 3 / look_every))
        looks = 0
        pause = threading.Event()
        while not pause.wait(look_every if looks else 0.0):
            renew = looks % renew_every == 0
            looks += 1
            try:
                # First, and at once: a job of this worker may ask which workers live.
                if renew:
                    self._presence.show()
                self._jobs = process.keeper().look(renew=renew)
                figures.show_life()
            except TransientError as error:
                logger.warning("claims_not_kept", reason=str(error))
            except Exception:
                logger.exception("claims_not_kept")

    def _leave_in_time(self, **_: Any) -> None:
        """Begin to leave, whether a signal or a remote command asked for it; once."""
        if not self._stop.is_set():
            self._stop.set()
            grace_s = settings.current().shutdown_grace_s
            threading.Thread(target=self._leave, args=(grace_s,), daemon=True).start()

    def _say_the_end(self, **_: Any) -> None:
        self._presence.end()

    def _leave(self, grace_s: float) -> None:
        """Let running jobs finish for a while, then give them back and go."""
        self._presence.leave()
        threading.Event().wait(grace_s)
        # Whatever happens below, the stack must be gone in time.
        threading.Timer(LEAVE_WITHIN_S, os._exit, args=(1,)).start()
        try:
            pids = process.keeper().give_all_back()
            logger.warning("claims_given_back", jobs=len(pids))
            for pid in process.living_children() - {os.getpid()}:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._presence.end()
        except TransientError as error:
            logger.warning("claims_not_given_back", reason=str(error))
        finally:
            os._exit(0)


app.steps["worker"].add(KeepClaims)


@signals.setup_logging.connect
def _configure_logging(loglevel: int | str | None = None, **_: Any) -> None:
    level = logging.getLevelName(loglevel) if isinstance(loglevel, int) else loglevel
    log.configure(str(level or settings.current().log_level))
    logging.getLogger().addHandler(JobLog())
    if logging.getLogger().level > logging.DEBUG:
        # One line a job: the one of its end.
        logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)


@signals.celeryd_after_setup.connect
def _serve_unrouted(instance: Any, **_: Any) -> None:
    """A worker of `default` also serves Celery's own queue, where unrouted messages land."""
    queues = instance.app.amqp.queues
    if "default" in queues.consume_from:
        queues.select_add(instance.app.conf.task_default_queue)


@signals.worker_before_create_process.connect
def _share_memory(**_: Any) -> None:
    # What exists before the fork stays shared: the collector of a child would touch every page.
    gc.collect()
    gc.freeze()


@signals.worker_process_init.connect
def _child_started(**_: Any) -> None:
    process.die_with_parent()
