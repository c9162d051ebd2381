"""Clean-ups: what has been kept for long enough goes; what a job still needs stays."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from materia import settings
from materia.errors import AccessError, DataError, DefinitionError
from materia.services import exports, files, running, sweep, tabular
from materia.services.campaign_life import ROOT
from materia.services.cluster_health import CHECK
from materia.services.partial import folder_name
from materia.services.running import Outcome
from materia.services.sweep import Freed
from materia.services.work import Work
from materia.store import audit as audit_rows
from materia.store import campaigns as campaign_rows
from materia.store import retention as rows
from materia.store import schedules as schedule_rows
from materia.store import workers as worker_rows
from materia.store.campaigns import FINAL_CAMPAIGN
from materia.store.database import database

DAY_S = 86400.0
BATCH = 200
PREDICT = "tasks.ml_tasks.batch_predictions"
# What is younger may belong to somebody whose job is not known yet.
YOUNG_S = 3600.0
# Hosts that share a folder may differ in their clocks.
CLOCKS_S = 300.0
# What a process that was killed leaves beside the file or table that it was about to write.
LEFT_FILE = re.compile(
    r"\..+\.(csv|gz|parquet|model|onnx|npz|json|html|pdf|svg|png)\.(\d{1,8}|part)|\.surrogate-\w+"
)
LEFT_FOLDER = re.compile(r"\..+\.(csv|gz|parquet|json|xlsx|html)\.[a-z0-9_]{8}")
CHECKPOINT = re.compile(r"surrogate-(\d+)\.npz")


def cleanup_old_results() -> Outcome:
    """Delete what jobs left, and rows that were kept for the time that the settings ask for."""
    config, freed, now = settings.current(), Freed(), time.time()
    steps: list[Callable[[], dict[str, int]]] = [
        lambda: _partial_results(freed, now),
        lambda: _temporary_files(freed, now),
        lambda: _predictions(freed, now),
        lambda: _exports(freed, now - config.keep_exports_days * DAY_S),
        lambda: _jobs(now - config.keep_jobs_days * DAY_S),
        lambda: _rows(now - config.keep_jobs_days * DAY_S, now - config.keep_events_days * DAY_S),
        lambda: _audit(now - config.keep_audit_days * DAY_S),
    ]
    deleted: dict[str, int] = {}
    for done, step in enumerate(steps):
        running.progress(done, len(steps), "kinds of leftovers")
        deleted |= step()
    running.progress(len(steps), len(steps), "kinds of leftovers")
    found = {"status": "completed", "files_deleted": freed.files, "space_freed": freed.space}
    return Outcome({**found, **deleted})


def _partial_results(freed: Freed, now: float) -> dict[str, int]:
    """Delete the finished items of jobs that have ended, or that nobody knows."""
    n_deleted = 0
    with sweep.opened(settings.current().artifact_dir / "jobs") as folder:
        if folder is None:
            return {"partial_results_deleted": 0}
        names = _names(folder)
        # After the folders: a job that has one and is not among these has ended.
        with database().read() as connection:
            in_use = {folder_name(job_id) for job_id in rows.open_jobs(connection)}
        for name in names:
            if name not in in_use:
                n_deleted += freed.tree(name, folder, older_than=now - YOUNG_S)
    return {"partial_results_deleted": n_deleted}


def _names(folder: int) -> list[str]:
    return sorted(os.listdir(folder))


def _temporary_files(freed: Freed, now: float) -> dict[str, int]:
    """Delete what processes left that were killed while they wrote."""
    config = settings.current()
    with database().read() as connection:
        oldest = rows.oldest_claim(connection)
    # A running job has written everything of its own since its claim.
    before = min(now - DAY_S, (oldest if oldest is not None else now) - CLOCKS_S)
    n_before = freed.files
    for root in (config.data_root, config.artifact_dir / "campaigns"):
        for folder, folders, names in sweep.folders_below(root):
            for name in filter(LEFT_FILE.fullmatch, names):
                freed.file(name, folder, before)
            for name in filter(LEFT_FOLDER.fullmatch, list(folders)):
                freed.tree(name, folder, before)
                folders.remove(name)
    return {"temporary_files_deleted": freed.files - n_before}


def _exports(freed: Freed, before: float) -> dict[str, int]:
    """Delete the files of exports, which can be made again, and the folders that they leave."""
    root, n_before = settings.current().data_root / exports.FOLDER, freed.files
    with sweep.opened(root) as folder:
        names = [] if folder is None else _names(folder)
    for name in names:
        with sweep.opened(root / name) as folder:
            if folder is None:
                continue
            for file in filter(exports.FILE.fullmatch, _names(folder)):
                freed.file(file, folder, before)
        with suppress(OSError):
            (root / name).rmdir()
    return {"exports_deleted": freed.files - n_before}


def _predictions(freed: Freed, now: float) -> dict[str, int]:
    """Delete the files of predictions, exactly those that a job has written, if that is wanted."""
    keep_days = settings.current().keep_predictions_days
    if keep_days is None:
        return {"predictions_deleted": 0}
    n_before = freed.files
    for job in _old_predictions(now - keep_days * DAY_S):
        for name in (job["result"] or {}).get("output_files") or []:
            _remove_output(freed, str(name), job["id"], job["finished_at"])
    return {"predictions_deleted": freed.files - n_before}


def _old_predictions(before: float) -> Iterator[dict[str, Any]]:
    after = ""
    while True:
        with database().read() as connection:
            page = rows.old_results(connection, PREDICT, before, after)
        if not page:
            return
        yield from page
        after = page[-1]["id"]


def _remove_output(freed: Freed, name: str, job_id: str, finished_at: float) -> None:
    root = settings.current().data_root.resolve()
    try:
        path = files.resolve(name)
    except (AccessError, DataError):
        return
    # Only below the data root, where no link led, and as the job left it.
    if path != root / name or not path.is_relative_to(root):
        return
    with sweep.opened(path.parent) as folder:
        if folder is None:
            return
        freed.file(path.name, folder, older_than=finished_at + CLOCKS_S)
    if path.parent.name == job_id[:36]:
        with suppress(OSError):
            path.parent.rmdir()


def _jobs(before: float) -> dict[str, int]:
    """Delete jobs that ended long ago, a few at a time, so that nobody waits for the database."""
    keep_days = settings.current().keep_predictions_days
    outputs_before = before if keep_days is None else min(before, time.time() - keep_days * DAY_S)
    deleted = 0
    while True:
        with database().read() as connection:
            # There are 288 checks a day, and the newest tells everything.
            found = rows.old_successes(connection, CHECK, time.time() - DAY_S, BATCH)
            found = found or rows.old_jobs(
                connection,
                before,
                # What the inbox has taken is known by its jobs.
                keep_keys=(tabular.KEY,),
                keep_step=ROOT,
                keep_task=PREDICT,
                keep_task_since=outputs_before,
                limit=BATCH,
            )
        if not found:
            return {"jobs_deleted": deleted}
        with database().write() as connection:
            deleted += rows.delete_jobs(connection, found)


def _rows(jobs_before: float, events_before: float) -> dict[str, int]:
    def one(delete: Callable[[Connection], int]) -> int:
        with database().write() as connection:
            return delete(connection)

    # Of workers that have gone without a word.
    one(lambda connection: worker_rows.forget(database(), connection, DAY_S))
    return {
        "log_lines_deleted": one(lambda c: rows.delete_logs(c, jobs_before)),
        "schedule_runs_deleted": one(lambda c: schedule_rows.forget_runs(c, jobs_before)),
        "keys_deleted": one(lambda c: rows.delete_keys(c, jobs_before)),
        "events_deleted": one(lambda c: rows.delete_events(c, events_before)),
    }


def _audit(before: float) -> dict[str, int]:
    with database().write() as connection:
        return {"audit_deleted": audit_rows.delete_old(connection, before)}


def require_ages(keep_last: Any, older_than_days: Any) -> None:
    """Raise a DefinitionError unless checkpoints can be told apart by these."""
    if type(keep_last) is not int or not 0 <= keep_last <= 10_000:
        raise DefinitionError(
            f"keep_last: {keep_last!r:.50} is no whole number from 0 to 10000", path="keep_last"
        )
    if type(older_than_days) not in (int, float) or not (
        math.isfinite(older_than_days) and 0 <= older_than_days <= 36_500
    ):
        raise DefinitionError(
            f"older_than_days: {older_than_days!r:.50} is no number from 0 to 36500",
            path="older_than_days",
        )


def cleanup_old_checkpoints(keep_last: Any, older_than_days: Any) -> Outcome:
    """Delete old surrogate checkpoints.

    The newest one of a campaign that has not ended stays. An older one is never read again, and a
    step that misses one computes it anew, so that no campaign goes on otherwise than it would have.

    Args:
        keep_last: So many of each campaign stay, whatever their age.
        older_than_days: Younger ones stay.

    Raises:
        DefinitionError: One of the two is no such number.
    """
    require_ages(keep_last, older_than_days)
    freed, root = Freed(), settings.current().artifact_dir / "campaigns"
    before = time.time() - older_than_days * DAY_S
    gone: list[tuple[str, int]] = []
    with sweep.opened(root) as folder:
        names = [] if folder is None else _names(folder)
    # After the folders, so that a campaign that was made meanwhile is not taken for a deleted one.
    with database().read() as connection:
        states = campaign_rows.states(connection)
    for done, name in enumerate(names, 1):
        is_open = name in states and states[name] not in FINAL_CAMPAIGN
        n_kept = 0 if name not in states else max(keep_last, 1 if is_open else 0)
        gone += [(name, i) for i in _remove_checkpoints(freed, root / name, n_kept, before)]
        running.progress(done, len(names), "campaigns looked at")

    def forget(work: Work) -> None:
        for campaign_id, iteration in gone:
            campaign_rows.change_iteration(
                work.connection, campaign_id, iteration, {"checkpoint": None}
            )

    result = {
        "status": "success",
        "checkpoints_deleted": freed.files,
        "space_freed": freed.space,
        "campaigns": len(names),
    }
    return Outcome(result, forget)


def _remove_checkpoints(freed: Freed, path: Path, n_kept: int, before: float) -> list[int]:
    """Delete checkpoints of one campaign; returns of which iterations."""
    with sweep.opened(path) as folder:
        if folder is None:
            return []
        found = {int(m[1]): m[0] for name in _names(folder) if (m := CHECKPOINT.fullmatch(name))}
        old = sorted(found)[: len(found) - n_kept] if n_kept < len(found) else []
        gone = [i for i in old if freed.file(found[i], folder, before)]
        is_empty = not _names(folder)
    if is_empty and n_kept == 0:
        with suppress(OSError):
            path.rmdir()
    return gone
