"""Whose work is whose: what belongs to another owner does not exist for a caller.

Campaigns, jobs and schedules have owners. Datasets, models and retrainings are the lab's: they are
files below the data root, which every task may read. Those that a campaign has written are the
campaign's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from materia import settings
from materia.errors import AccessError, NotFoundError
from materia.services import campaigns, jobs, schedules
from materia.services.keys import Caller
from materia.store import owners
from materia.store.database import database

UNKNOWN: dict[str, Callable[[str], NotFoundError]] = {
    "campaign": campaigns.unknown,
    "job": jobs.unknown,
    "schedule": schedules.unknown,
}
"""The error for an id that does not exist, by noun; that of another owner gets the same."""

CAMPAIGN_TASKS = "tasks.campaign_tasks."
CAMPAIGN_FILES = ("campaigns", "exports")
"""Folders of the data root with a folder for each campaign, by its id."""
ADMIN_TASKS = frozenset(
    {
        "tasks.campaign_tasks.cleanup_old_checkpoints",
        "tasks.simple_tasks.cleanup_old_results",
        "tasks.simple_tasks.send_notification",
    }
)
"""Tasks that act on everybody's work, or speak in the name of the server."""


# What was seen to be a caller's own is believed for so long: clients ask for the same again and
# again.
TRUSTED_S = 30.0
MAX_TRUSTED = 10_000
# Ids of schedules are people's, and may come back as those of somebody else.
LASTING = ("campaign", "job")

_own: dict[tuple[str, str, str], float] = {}


class ForeignError(NotFoundError):
    """It exists, but not for this caller, who is told what one is told of what does not exist."""


def is_known(caller: Caller, noun: str, row_id: str) -> bool:
    """Tell without a look into the database that something is the caller's; False: it may be."""
    return caller.is_admin or time.monotonic() < _own.get((caller.owner, noun, row_id), 0.0)


def require(caller: Caller, noun: str, row_id: str) -> None:
    """Raise a `ForeignError` where something belongs to another owner.

    What does not exist passes: the service that is asked for it says so.

    Args:
        noun: A key of `UNKNOWN`.
    """
    if is_known(caller, noun, row_id):
        return
    with database().read() as connection:
        exists, owner = owners.owner(connection, noun, row_id)
    if exists and owner != caller.owner:
        told = UNKNOWN[noun](row_id)
        raise ForeignError(told.message, told.hint)
    if exists and noun in LASTING:
        if len(_own) >= MAX_TRUSTED:
            _own.clear()
        _own[caller.owner, noun, row_id] = time.monotonic() + TRUSTED_S


def require_task(caller: Caller, task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Check that a caller may have a task run on what its arguments name.

    Raises:
        AccessError: The task is an admin's.
        NotFoundError: It names a campaign of another owner.
    """
    if caller.is_admin:
        return
    if task in ADMIN_TASKS:
        raise AccessError(
            f"the task {task} needs a key with the scope 'admin'",
            "ask the admin of this server to submit it",
        )
    if task.startswith(CAMPAIGN_TASKS):
        for campaign_id in [kwargs.get("campaign_id"), *args[:1]]:
            if isinstance(campaign_id, str):
                require(caller, "campaign", campaign_id)


def hidden_files(caller: Caller | None) -> Callable[[Path], bool] | None:
    """Return what tells which files do not exist for a caller; None when all do."""
    if caller is None or caller.is_admin:
        return None
    root = settings.current().data_root.resolve()

    @cache
    def is_foreign(campaign_id: str) -> bool:
        with database().read() as connection:
            exists, owner = owners.owner(connection, "campaign", campaign_id)
        return exists and owner != caller.owner

    def is_hidden(path: Path) -> bool:
        places = path.relative_to(root).parts if path.is_relative_to(root) else ()
        return len(places) > 1 and places[0] in CAMPAIGN_FILES and is_foreign(places[1])

    return is_hidden
