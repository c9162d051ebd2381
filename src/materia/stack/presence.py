"""Loaded into the stack's own worker: tells the supervisor that it takes jobs now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from celery import signals


@signals.worker_ready.connect
def announce(**_: Any) -> None:
    """Write the pid into the file that the supervisor waits for."""
    if path := os.environ.get("MATERIA_READY_FILE"):
        Path(path).write_text(str(os.getpid()))
