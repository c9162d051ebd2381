"""Loaded into the stack's own worker: small children, and a word when it takes jobs."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

from celery import signals


@signals.worker_before_create_process.connect
def share_memory(**_: Any) -> None:
    """Keep the garbage collector off what exists already, so that children share its pages."""
    gc.collect()
    gc.freeze()


@signals.worker_ready.connect
def announce(**_: Any) -> None:
    """Write the pid into the file that the supervisor waits for."""
    if path := os.environ.get("MATERIA_READY_FILE"):
        Path(path).write_text(str(os.getpid()))
