"""What happens to a job on a worker: claim, run, and one guarded final write."""

from __future__ import annotations

import os
import random
import time
import traceback as tracebacks
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from materia import log, settings
from materia.broker import app as broker
from materia.errors import ConflictError, DataError, MateriaError, StateError, TransientError
from materia.events import figures, stream
from materia.services import running
from materia.services.campaign_life import cancel_job, cancelled, hold_campaign
from materia.services.failures import failure_effects
from materia.services.running import Outcome, RunningJob, Superseded, storable
from materia.services.submission import NewJob
from materia.services.work import Work, add_claimed, answer, finish, unit_of_work
from materia.store import jobs as job_rows
from materia.store.database import database
from materia.store.jobs import WAITING, JobState, Row

TRACEBACK_LENGTH = 8000
DATABASE_PATIENCE_S = 600.0

logger = log.logger(__name__)


class Duplicate(StateError):
    """The message is a double: its job is running elsewhere, waiting for later, or final."""


class Retried(TransientError):
    """The attempt failed on something that waiting can heal; the job will run again."""


class ClaimLost(ConflictError):
    """The lease ran out and somebody else took the job over; nothing was written."""


class Stopped(StateError):
    """The attempt was stopped from outside: cancelled, out of time, or given back."""


class Cancelled(Stopped):
    """The job was cancelled while it ran, and is final."""


class OutOfTime(Stopped):
    """The job exceeded its soft limit, and is final."""


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who claims: the worker's start (`boot`), its name and this child process."""

    boot: str
    worker: str

    def columns(self) -> Row:
        """Return the columns that a claim sets."""
        return {"claimed_by": self.boot, "worker": self.worker, "pid": os.getpid()}


def claim(job_id: str, claimant: Claimant) -> RunningJob:
    """Claim a job that is a row already."""
    lease_s = settings.current().lease_s
    with unit_of_work(is_claim=True) as work:
        row = job_rows.claim(work.database, work.connection, job_id, claimant.columns(), lease_s)
        if row is not None:
            work.job_event(row)
    if row is None:
        raise Duplicate(f"job {job_id} is not waiting")
    return RunningJob(row)


def answer_again(job_id: str) -> None:
    """Answer the client of a final job once more: the first answer may have died with its process.

    Waits for a database that is away, for nobody else knows that the answer may be missing.
    """

    def look() -> None:
        with database().read() as connection:
            row = job_rows.get(connection, job_id)
        if row and row["state"] in job_rows.FINAL:
            answer([row])

    _patiently(look, job_id)


def abandon(job_id: str, claimant: Claimant) -> None:
    """Give back what this process may just have claimed, when it cannot work on it.

    Waits for a database that is away, for its answer to the claim may be all that was lost.
    """

    def look() -> None:
        with database().read() as connection:
            row = job_rows.get(connection, job_id)
        mine = claimant.columns()
        if row and row["state"] == JobState.RUNNING and all(row[k] == v for k, v in mine.items()):
            give_back(row)

    _patiently(look, job_id)


def _patiently(action: Callable[[], object], job_id: str) -> None:
    """Repeat an action until the database answers.

    What a job computed must not be lost because the database is away for a while. After
    `DATABASE_PATIENCE_S` this process ends, so that its worker sees that nobody works on the job.
    """
    deadline = time.monotonic() + DATABASE_PATIENCE_S
    pause = 0.2
    while True:
        try:
            action()
            return
        except TransientError as error:
            if time.monotonic() > deadline:
                logger.error("database_given_up", job_id=job_id, reason=str(error))
                os._exit(os.EX_TEMPFAIL)
            logger.warning("waiting_for_database", job_id=job_id, reason=str(error))
            time.sleep(pause)
            pause = min(2 * pause, 5.0)


def adopt(new: NewJob, claimant: Claimant) -> RunningJob:
    """Make the message of a plain client a row and claim it, in one statement."""
    row = {**new.row(), **claimant.columns(), "state": JobState.RUNNING, "attempt": 1, "token": 1}
    if not add_claimed(row, settings.current().lease_s):
        return claim(row["id"], claimant)
    unset = dict.fromkeys(("result", "error", "progress", "cancel_requested_at"))
    counts = {"retries": 0, "crashes": 0, "claimed_at": time.time()}
    return RunningJob({**row, **counts, **unset})


def run(
    job: RunningJob,
    body: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    soft_limit: type[BaseException],
) -> Any:
    """Run the body of a claimed job and write its final state.

    Args:
        soft_limit: The exception that the soft signal raises, for limits and cancels alike.

    Returns:
        The result, as it was stored.

    Raises:
        Retried: The job waits for its next attempt.
        Stopped: The job was cancelled, or its claim is lost.
        Exception: What the body raised, after the failure was written.
    """
    running.enter(job)
    try:
        value = body(*args, **kwargs)
        outcome = value if isinstance(value, Outcome) else Outcome(value)
        result = _as_json(outcome.result)
        _finish(job, {"state": JobState.SUCCEEDED, "result": result}, outcome.effects)
        return result
    except ClaimLost:
        raise
    except Superseded as error:
        _finish(job, cancelled(error.message))
        raise Cancelled(error.message) from error
    except soft_limit as error:
        raise _stopped_by_signal(job, error) from error
    except TransientError as error:
        raise _try_again(job, error) from error
    except Exception as error:
        _fail(job, error)
        raise
    finally:
        running.enter(None)


def _as_json(result: Any) -> Any:
    """Return a result as every reader gets it: NumPy as plain numbers, NaN as null."""
    try:
        return orjson.loads(orjson.dumps(result, option=orjson.OPT_SERIALIZE_NUMPY))
    except TypeError as error:
        raise DataError(f"the task returned something that is not JSON: {error}") from error


def _finish(job: RunningJob, values: Row, effects: Callable[[Work], None] | None = None) -> None:
    """Write a state under the job's token together with its effects; all or nothing."""

    def write() -> None:
        try:
            _finish_once(job, values, effects)
        except ClaimLost:
            if not _is_finished(job, values["state"]):
                raise

    _patiently(write, job.id)


def _is_finished(job: RunningJob, state: str) -> bool:
    """Tell whether the write was committed although its answer never came."""
    with database().read() as connection:
        row = job_rows.get(connection, job.id)
    if row is None or row["token"] != job.token or row["state"] != state:
        return False
    answer([row])
    return True


def _finish_once(
    job: RunningJob, values: Row, effects: Callable[[Work], None] | None = None
) -> None:
    if job.latest is not None:
        values = {**values, "progress": job.latest}
    lost = ClaimLost(f"the claim on job {job.id} is lost")
    if effects is None and not job.lines:
        if not finish(job.row, values):
            raise lost
        return
    with unit_of_work() as work:
        hold_campaign(work, job.row)
        if not work.finish(job.row, values):
            raise lost
        if effects is not None:
            effects(work)
        job_rows.add_log(work.connection, job.id, job.lines)


def describe(error: BaseException) -> Row:
    """Return an error as the plain data that a job keeps."""
    known = isinstance(error, MateriaError)
    text = "".join(tracebacks.format_exception(error))
    return {
        "code": error.code if isinstance(error, MateriaError) else "unexpected",
        "message": storable(
            (error.message if isinstance(error, MateriaError) else str(error))
            or type(error).__name__
        ),
        "hint": error.hint if isinstance(error, MateriaError) else None,
        "type": type(error).__name__,
        "module": type(error).__module__,
        "traceback": None if known else storable(text[-TRACEBACK_LENGTH:]),
    }


def _fail(job: RunningJob, error: Exception) -> None:
    values = {"state": JobState.FAILED, "error": describe(error)}
    with suppress(ClaimLost):
        try:
            _finish(job, values, failure_effects(job.row))
        except Exception as unwritable:
            # The job must end, even when what it left behind cannot be written.
            logger.exception("failure_not_written", job_id=job.id)
            job.lines, job.latest = [], None
            values["error"] = {
                "code": "unwritable",
                "message": f"the job failed ({type(error).__name__}) and its failure could not be "
                f"written ({type(unwritable).__name__})",
                "hint": "the worker's log has both",
            }
            _finish(job, values)


def _try_again(job: RunningJob, error: TransientError) -> Exception:
    """Let the job wait for its next attempt, or fail it when there is none left."""
    policy = broker.policy(job.row["task"])
    if job.row["retries"] >= policy.max_retries:
        _fail(job, error)
        return error
    delay = policy.retry_delay_s * 2 ** job.row["retries"] * random.uniform(0.75, 1.25)
    values = {
        **_waiting_again(job.row, JobState.RETRYING),
        "retries": job.row["retries"] + 1,
        "error": describe(error),
    }

    def write() -> None:
        with unit_of_work() as work:
            hold_campaign(work, job.row)
            row = job_rows.settle(
                work.database, work.connection, job.id, values, token=job.token, run_in_s=delay
            )
            if row is None:
                raise ClaimLost(f"the claim on job {job.id} is lost")
            job_rows.add_log(work.connection, job.id, job.lines)
            work.job_event(row, retry_in_s=delay)
            _cancel_if_asked(work, row)

    try:
        _patiently(write, job.id)
    except ClaimLost as lost:
        return lost
    return Retried(f"attempt {job.row['attempt']} failed, next in {delay:.1f} s: {error.message}")


def _cancel_if_asked(work: Work, row: Row) -> bool:
    """Cancel a job that waits again although its cancel was asked for while it ran."""
    if row["cancel_requested_at"] is None:
        return False
    cancel_job(work, row, "cancelled by its user")
    return True


def _stopped_by_signal(job: RunningJob, error: BaseException) -> Exception:
    """Decide what the soft signal meant: a cancel, the soft limit, or neither."""
    ran_s = time.monotonic() - job.started
    rows: list[Row | None] = []

    def look() -> None:
        with database().read() as connection:
            rows.append(job_rows.get(connection, job.id))

    _patiently(look, job.id)
    row = rows[-1]
    if row is not None and row["token"] == job.token and row["state"] in job_rows.FINAL:
        # The signal came right after the final write, and perhaps before the answer.
        _patiently(lambda: answer([row]), job.id)
        return Stopped("finished before the signal")
    if row is None or row["token"] != job.token or row["state"] != JobState.RUNNING:
        return ClaimLost(f"the claim on job {job.id} is lost")
    if row["cancel_requested_at"] is not None:
        _finish(job, cancelled("cancelled by its user"), failure_effects(row))
        return Cancelled("cancelled by its user")
    soft_limit_s = row["soft_limit_s"]
    # Celery's own clock starts when the message reaches the child, a little before the claim.
    if soft_limit_s is not None and ran_s >= soft_limit_s - 1.0:
        _finish(job, out_of_time("soft", soft_limit_s), failure_effects(row))
        return OutOfTime(f"soft time limit of {soft_limit_s:g} s exceeded")
    # Meant for the job that this process ran before: this attempt must not pay for it.
    _patiently(lambda: give_back(row), job.id)
    return Stopped("interrupted by a stray signal; the job runs again")


def out_of_time(kind: str, limit_s: float) -> Row:
    """Return the columns of a job that exceeded its soft or hard limit."""
    return {
        "state": JobState.FAILED,
        "error": {
            "code": "time_limit",
            "message": f"the {kind} time limit of {limit_s:g} s was exceeded",
            "hint": "raise `timeout_s` (or the task's limit in celeryconfig.py), or do less",
            "type": "SoftTimeLimitExceeded" if kind == "soft" else "TimeLimitExceeded",
            "module": "billiard.exceptions",
        },
    }


def _waiting_again(row: Row, state: JobState = JobState.QUEUED) -> Row:
    """Return the columns of a claimed job that nobody holds any longer; its old token is void."""
    token = row["token"] + 1
    return {"state": state, "token": token, "claimed_by": None, "pid": None, "sent_at": None}


def give_back(row: Row) -> bool:
    """Queue a claimed job again without counting the attempt; its old token is void."""
    values = {**_waiting_again(row), "attempt": max(row["attempt"] - 1, 0), "run_at": None}
    with unit_of_work() as work:
        hold_campaign(work, row)
        queued = job_rows.settle(
            work.database, work.connection, row["id"], values, token=row["token"]
        )
        if queued is not None:
            work.job_event(queued)
            _send_again(work, queued)
    return queued is not None


def _send_again(work: Work, row: Row) -> None:
    if not _cancel_if_asked(work, row):
        job_rows.mark_sent(work.database, work.connection, [row["id"]])
        work.to_send.append(row)


def crashed(row: Row, reason: str) -> None:
    """A job's own process died while its worker lives: run it again, or quarantine it."""
    crashes = row["crashes"] + 1
    limit = settings.current().max_crashes
    error = {
        "code": "crashed",
        "message": f"the process of the job died: {reason} (crash {crashes} of at most {limit})",
        "hint": "look at its memory use and native code; the job's log shows the last lines",
        "type": "WorkerLostError",
        "module": "billiard.exceptions",
    }
    state = JobState.QUEUED if crashes < limit else JobState.QUARANTINED
    stream.count(figures.name(figures.CRASHES, row["task"]))
    _settle_from_outside(row, {**_waiting_again(row, state), "crashes": crashes, "error": error})


def end(row: Row, values: Row) -> bool:
    """Make a running job final from outside, by its worker's parent or the reaper.

    Returns:
        False when the job ended or went on without us.
    """
    return _settle_from_outside(row, {**values, "token": row["token"] + 1})


def _settle_from_outside(row: Row, values: Row) -> bool:
    with unit_of_work() as work:
        hold_campaign(work, row)
        settled = job_rows.settle(
            work.database, work.connection, row["id"], values, token=row["token"]
        )
        if settled is None:
            return False
        work.job_event(settled)
        if settled["state"] in WAITING:
            _send_again(work, settled)
            return True
        work.to_answer.append(settled)
        effects = failure_effects(settled)
        if effects is not None:
            effects(work)
    return True


def rescue(new: NewJob) -> None:
    """Make the message of a plain client a waiting row: its child died before it did so."""
    with unit_of_work() as work:
        for row in job_rows.add(work.database, work.connection, [new.row()]):
            work.job_event(row)
            work.to_send.append(row)
