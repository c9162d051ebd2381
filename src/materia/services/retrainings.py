"""The table of models that are trained again: make, look at, change, run, delete."""

from __future__ import annotations

import hashlib
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from materia.errors import ConflictError, DefinitionError, NotFoundError, StateError
from materia.mdl.suggest import did_you_mean
from materia.services import arguments, files, running, submission
from materia.services.idempotency import Once
from materia.services.submission import NewJob
from materia.services.work import Work, unit_of_work
from materia.store import jobs as job_rows
from materia.store import retrainings as rows
from materia.store.database import database
from materia.store.jobs import FINAL, JobState, Row

TASK = "tasks.ml_tasks.retrain_model"
TRAINING = "tasks.ml_tasks.distributed_training"
NOTIFY = "tasks.simple_tasks.send_notification"
CHANGEABLE = ("dataset_path", "model_config", "metric", "is_daily", "is_enabled", "channel")
MAX_RETRAININGS = 1000
NAME = r"^[A-Za-z0-9_-]{1,90}$"


@dataclass(frozen=True, slots=True)
class NewRetraining:
    """A model to be trained again and again.

    Args:
        name: Of the model and of all that are made of it.
        dataset_path: What it learns from, as `distributed_training` takes it.
        model_config: As `distributed_training` takes it.
        metric: What decides; that of `model_config` or the default of the task if None.
        is_daily: Whether the daily job takes it.
        is_enabled: Whether the daily job takes it at present.
        channel: Where notifications go.
    """

    name: str
    dataset_path: str
    model_config: Mapping[str, Any] = field(default_factory=dict)
    metric: str | None = None
    is_daily: bool = True
    is_enabled: bool = True
    channel: str = "default"
    requested_by: str | None = None

    def row(self) -> Row:
        """Return the row to insert, checked.

        Raises:
            DefinitionError: Something does not fit; nothing was written.
        """
        if re.fullmatch(NAME, self.name) is None:
            what = "name: 1 to 90 letters, digits, '_' and '-'"
            raise DefinitionError(what, "choose another name", path="name")
        row = {name: getattr(self, name) for name in CHANGEABLE}
        row |= {"name": self.name, "model_config": dict(self.model_config)}
        check(row)
        return {**row, "requested_by": self.requested_by, "created_at": time.time()}


def config_of(row: Row) -> dict[str, Any]:
    """Return the `model_config` that a row trains with."""
    given = {**row["model_config"], "name": row["name"]}
    return {**given, "metric": row["metric"]} if row["metric"] is not None else given


def check(row: Row) -> None:
    """Raise a DefinitionError unless a row could be trained; its dataset may come later."""
    given = row["model_config"].get("name", row["name"])
    if given != row["name"]:
        what = f"model_config.name: '{given}' is not the name of the entry, '{row['name']}'"
        raise DefinitionError(what, "leave it out", path="model_config.name")
    other = row["model_config"].get("metric", row["metric"])
    if row["metric"] is not None and other != row["metric"]:
        what = f"metric: '{row['metric']}' is not the metric of model_config, '{other}'"
        raise DefinitionError(what, "name it once", path="metric")
    training = {"model_config": config_of(row), "dataset_path": row["dataset_path"]}
    arguments.check(TRAINING, training, look=False)


def create(new: NewRetraining, *, once: Once | None = None) -> Row:
    """Add a model to retrain.

    Raises:
        DefinitionError: Something does not fit.
        ConflictError: There is one of this name.
    """
    row = new.row()
    with unit_of_work() as work:
        if once is not None and once.keep(work, {"name": new.name}) is not None:
            return _required(rows.get(work.connection, new.name), new.name)
        if rows.count(work.connection) >= MAX_RETRAININGS:
            raise StateError(f"there are {MAX_RETRAININGS} already", "delete one first")
        if not rows.add(work.database, work.connection, row):
            raise ConflictError(
                f"a model {new.name!r} is retrained already", "choose another name, or change it"
            )
    return get(new.name)


def _required(row: Row | None, name: str) -> Row:
    if row is None:
        raise NotFoundError(
            f"no model {name!r} is retrained", "`materia model retraining list` shows those"
        )
    return row


def get(name: str) -> Row:
    """Return one; `NotFoundError` when there is none."""
    with database().read() as connection:
        return _required(rows.get(connection, name), name)


def every() -> list[Row]:
    """Return all by name."""
    with database().read() as connection:
        return rows.every(connection)


def using(model_id: str) -> Row | None:
    """Return the one whose model in use this is, or None."""
    with database().read() as connection:
        return rows.with_champion(connection, model_id)


def change(name: str, values: Row) -> Row:
    """Change fields; the model in use stays until a better one is found.

    Raises:
        DefinitionError: A field is unknown, or the outcome does not fit; nothing was changed.
    """
    for key in values:
        if key not in CHANGEABLE:
            advice = did_you_mean(key, CHANGEABLE)
            raise DefinitionError(f"{key}: it cannot be changed", advice, path=key)
    with unit_of_work() as work:
        old = _required(rows.get(work.connection, name), name)
        check({**old, **values})
        if values:
            rows.change(work.connection, name, values)
    return get(name)


def delete(name: str) -> Row:
    """Delete one with its history, and return it as it was; its models stay."""
    with unit_of_work() as work:
        row = _required(rows.get(work.connection, name), name)
        rows.remove(work.connection, name)
    return row


def run_now(
    name: str,
    *,
    requested_by: str = "api",
    owner: str | None = None,
    once: Once | None = None,
) -> Row:
    """Submit the job that trains one again; returns the job."""
    new = replace(_job(name, str(uuid.uuid4()), requested_by), owner=owner)
    with unit_of_work() as work:
        _required(rows.get(work.connection, name), name)
        if once is not None and (known := once.keep(work, {"job_id": new.id})) is not None:
            return {"id": known["job_id"]}
        submission.add(work, [new])
    return {"id": new.id}


def history(name: str, before: tuple[float, str] | None, limit: int) -> tuple[list[Row], int]:
    """Return how trainings ended, newest first, and how many there are."""
    get(name)
    with database().read() as connection:
        return rows.runs(connection, name, before, limit)


def daily(batch_id: str) -> tuple[list[NewJob], list[dict[str, str]]]:
    """Return the jobs of one daily run, and which entries it leaves out and why.

    Args:
        batch_id: Of the job that submits them; a second run of it makes the same jobs.
    """
    jobs, left_out = [], []
    for row in every():
        if not row["is_daily"] or not row["is_enabled"]:
            continue
        reason = _waits_for_data(row)
        if reason is None:
            digest = hashlib.sha256(batch_id.encode()).hexdigest()[:16]
            jobs.append(_job(row["name"], f"retrain-{row['name']}-{digest}", "retrain_models"))
        else:
            left_out.append({"model": row["name"], "reason": reason})
    return jobs, left_out


def _waits_for_data(row: Row) -> str | None:
    """Return why an entry cannot be trained yet; one that was trained before must not wait."""
    from materia.ml.reading import dataset_files

    if row["champion_id"] is not None:
        return None
    try:
        dataset_files(files.resolve(row["dataset_path"]))
    except NotFoundError as error:
        return f"its dataset '{row['dataset_path']}' is not there yet: {error.message}"
    return None


def _job(name: str, job_id: str, requested_by: str) -> NewJob:
    return NewJob(
        task=TASK,
        id=job_id,
        kwargs={"name": name},
        requested_by=requested_by,
        reply=running.wants_answers(),
    )


def notify(work: Work, row: Row, job_id: str, message: str) -> None:
    """Submit the notification of a training, once for each job."""
    job = NewJob(
        task=NOTIFY,
        id=f"notify-{hashlib.sha256(job_id.encode()).hexdigest()[:40]}",
        kwargs={"message": message, "channel": row["channel"]},
        requested_by=f"retraining:{row['name']}"[:128],
    )
    submission.add(work, [job])


def failure_effects(job: Row) -> Callable[[Work], None] | None:
    """Return what a job that did not succeed leaves in the history of the model it retrains."""
    if job["task"] != TASK:
        return None

    def effects(work: Work) -> None:
        current = job_rows.get(work.connection, job["id"]) or job
        given = [current["kwargs"].get("name"), *current["args"]]
        row = rows.get(work.connection, str(given[0] if given[0] is not None else given[-1]))
        if row is None or current["state"] not in FINAL:
            return
        is_cancelled = current["state"] == JobState.CANCELLED
        error = current["error"] or {}
        reason = str(error.get("message") or "the job was cancelled")
        run = {
            "job_id": job["id"],
            "name": row["name"],
            "outcome": "cancelled" if is_cancelled else "failed",
            "reason": reason,
            "champion_id": row["champion_id"],
            "finished_at": time.time(),
        }
        if rows.add_run(work.database, work.connection, run) and not is_cancelled:
            notify(work, row, job["id"], f"retraining '{row['name']}' has failed: {reason}")

    return effects
