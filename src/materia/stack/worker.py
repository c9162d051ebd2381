"""The stack's general worker: ``python -m materia.stack.worker N_PROCESSES READY_FILE``.

It is ``celery -A materia.tasks worker`` for every queue, without Celery's command line: that loads
the commands of Flower and of a shell, half a second and 12 MB at each start.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from celery import signals
from celery.utils.nodenames import host_format

from materia import settings
from materia.settings import QUEUES
from materia.tasks import app


def main(n_processes: int, ready_file: Path) -> int:
    """Work until told to stop; writes the pid into `ready_file` as soon as it takes jobs."""

    @signals.worker_ready.connect(weak=False)
    def announce(**_: Any) -> None:
        ready_file.write_text(str(os.getpid()))

    worker = app.Worker(
        hostname=host_format("general@%h"),
        concurrency=n_processes,
        queues=[*QUEUES, app.conf.task_default_queue],
        loglevel=settings.current().log_level,
        # The only worker of a machine: looking for others would cost a second at each start.
        without_gossip=True,
        without_mingle=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2])))
