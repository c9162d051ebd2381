"""Trained models: look at them, find their files, delete them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from materia import log
from materia.errors import DefinitionError, MateriaError, NotFoundError, StateError
from materia.services import files
from materia.services.work import unit_of_work
from materia.store import campaigns as campaign_rows
from materia.store import jobs as job_rows
from materia.store import models as rows
from materia.store import retrainings as retraining_rows
from materia.store.database import database
from materia.store.models import Row

logger = log.logger(__name__)


def get(model_id: str) -> Row:
    """Return one model; the name of a retrained model stands for the one in use.

    Raises:
        NotFoundError: There is no such model.
    """
    with database().read() as connection:
        row = rows.named(connection, model_id)
    if row is None:
        raise NotFoundError(f"there is no model {model_id!r}", "`materia model list` shows them")
    return row


def page(
    limit: int, before: tuple[float, str] | None = None, name: str | None = None
) -> tuple[list[Row], int]:
    """Return a page of models, newest first, and how many match in all."""
    with database().read() as connection:
        return rows.page(connection, limit, before, name)


def find(model_path: str | None, model_id: str | None) -> tuple[Path, Row | None]:
    """Return the file of a model, and its row where it is a registered one.

    Raises:
        DefinitionError: It is not named by one of the two.
        NotFoundError, AccessError, DataError: There is no such model, or no file of it.
    """
    if (model_path is None) == (model_id is None):
        raise DefinitionError(
            "a model is named by model_path or by model_id, by one of the two", path="model_path"
        )
    row: Row | None
    if model_id is not None:
        row = get(model_id)
    else:
        with database().read() as connection:
            row = rows.at(connection, files.shown(files.resolve(str(model_path))))
    return files.readable(row["path"] if row else str(model_path)), row


def delete(model_id: str) -> Row:
    """Delete a model and its file, and return it as it was.

    Raises:
        NotFoundError: There is no such model.
        StateError: It is in use.
    """
    with unit_of_work() as work:
        row = rows.get(work.connection, model_id)
        if row is None:
            raise NotFoundError(
                f"there is no model {model_id!r}", "`materia model list` shows them"
            )
        retraining = retraining_rows.with_champion(work.connection, model_id)
        if retraining is not None:
            raise StateError(
                f"the model {model_id!r} is the one in use for {retraining['name']!r}",
                "wait until it is replaced, or delete that entry: "
                f"`materia model retraining delete {retraining['name']}`",
            )
        campaign = _campaign_with(work.connection, row)
        if campaign is not None:
            raise StateError(
                f"the model {model_id!r} evaluates candidates of campaign {campaign!r}",
                f"stop it first: `materia campaign stop {campaign}`",
            )
        job = _job_with(work.connection, row)
        if job is not None:
            raise StateError(
                f"the job {job['id']!r} ({job['task']}) uses the model {model_id!r}",
                f"wait until it has ended, or cancel it: `materia job cancel {job['id']}`",
            )
        rows.remove(work.connection, model_id)
        is_last = rows.at(work.connection, row["path"]) is None
    if is_last:
        _remove_file(row["path"])
    return row


def _campaign_with(connection: Any, row: Row) -> str | None:
    """Return the id of a campaign that has not ended and asks this model."""
    for campaign in campaign_rows.not_ended(connection):
        evaluator = campaign["definition"].get("evaluator")
        if _mentions(evaluator, (row["id"], row["path"])):
            return str(campaign["id"])
    return None


def _job_with(connection: Any, row: Row) -> Row | None:
    """Return a job that has not ended and uses this model."""
    for job in job_rows.open_with_files(connection):
        if _mentions([job["args"], job["kwargs"]], (row["id"], row["path"])):
            return job
    return None


def _mentions(value: Any, texts: tuple[str, ...]) -> bool:
    """Tell whether a document holds one of some texts."""
    if isinstance(value, dict):
        return any(_mentions(inner, texts) for inner in value.values())
    if isinstance(value, list):
        return any(_mentions(inner, texts) for inner in value)
    return value in texts


def _remove_file(name: str) -> None:
    try:
        files.readable(name).unlink(missing_ok=True)
    except (MateriaError, OSError) as error:
        # The row is gone, and nothing finds the file by it any more.
        logger.warning("model_file_not_deleted", path=name, reason=str(error))
