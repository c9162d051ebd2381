"""What a job that did not succeed leaves behind, written together with its final state."""

from __future__ import annotations

from collections.abc import Callable

from materia.services import campaign_life, retrainings
from materia.services.work import Work
from materia.store.jobs import Row


def failure_effects(row: Row) -> Callable[[Work], None] | None:
    """Return what the failure of a job changes, None when nothing."""
    return campaign_life.failure_effects(row) or retrainings.failure_effects(row)
