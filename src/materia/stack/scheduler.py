"""The stack's scheduler: ``python -m materia.stack.scheduler PID_FILE``.

It is ``celery -A materia.tasks beat`` without Celery's command line, whose plug-ins cost half a
second and 12 MB at each start. The pid file appears when it begins to look.
"""

from __future__ import annotations

import sys

from materia import settings
from materia.tasks import app


def main(pid_file: str) -> None:
    """Send and reap until told to stop."""
    app.Beat(pidfile=pid_file, loglevel=settings.current().log_level).run()


if __name__ == "__main__":
    main(sys.argv[1])
