"""`celery beat` with our scheduler: any number may run, the holder of a lease acts."""

from __future__ import annotations

import time
from typing import Any

from celery.beat import Scheduler

from materia import log, settings
from materia.errors import TransientError
from materia.services.dispatch import Dispatcher
from materia.services.silence import Silence
from materia.tasks import figures, process

logger = log.logger(__name__)


class JobScheduler(Scheduler):  # type: ignore[misc]
    """Sends due jobs and reaps abandoned ones; keeps no state of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        process.require_safe()
        self._dispatcher = Dispatcher()
        self._silence = Silence()
        self._looked_at = time.time()
        figures.serve("scheduler", {"last_look_seconds": lambda: self._looked_at})
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """Nothing to load: schedules are rows."""

    def tick(self, *_: Any, **__: Any) -> float:
        """Look once and return the pause in seconds until the next look."""
        try:
            if self._dispatcher.tick():
                self._silence.look()
            self._looked_at = time.time()
            figures.show_life()
        except TransientError as error:
            logger.warning("scheduler_waits", reason=str(error))
        except Exception:
            # The scheduler must outlive whatever one look meets.
            logger.exception("scheduler_failed")
        return settings.current().scan_interval_s

    def close(self) -> None:
        """Hand the lead over."""
        try:
            self._dispatcher.close()
        except TransientError as error:
            logger.warning("lead_not_released", reason=str(error))
        super().close()

    @property
    def info(self) -> str:
        """Return what `celery beat` prints about its scheduler."""
        return "    . schedules -> rows of the database"
