"""The durable base task: what Celery delivers becomes a claimed job row.

Celery's own result handling is switched off for these tasks: their backend stores nothing. A killed
child would otherwise be marked as failed by its parent, and a dropped double would overwrite the
answer. `materia.broker.results` stores the answer once, after the job's final row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded, WorkerLostError
from celery import Task
from celery.backends.base import DisabledBackend
from celery.exceptions import Ignore, InvalidTaskError, Reject, Retry
from celery.worker.request import Request

from materia import log
from materia.broker.app import app
from materia.broker.messages import HEADER
from materia.errors import DataError, TransientError
from materia.services import arrivals, execution, jobs, tasks
from materia.services.execution import (
    Cancelled,
    Claimant,
    ClaimLost,
    Duplicate,
    OutOfTime,
    Retried,
    Stopped,
)
from materia.services.running import RunningJob
from materia.services.submission import NewJob
from materia.tasks import process

# Types of the hard and the soft limit of a message.
LIMITS = [list(kinds) for kinds in product((int, float, type(None)), repeat=2)]

# The event that tells monitors such as Flower how a stopped job ended.
ENDINGS = {Cancelled: "task-revoked", OutOfTime: "task-failed"}

logger = log.logger(__name__)


class DurableRequest(Request):  # type: ignore[misc]
    """A delivery in the worker's parent: it records how a child ended that cannot say so itself."""

    _limits: Sequence[float | None] = (None, None)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if not arrivals.is_id(self.id):
            raise InvalidTaskError(f"the header id is {self.id!a:.100}; {arrivals.ID_RULE}")

    @property
    def time_limits(self) -> Sequence[float | None]:
        """Hard and soft limit in seconds that the message asks for; Celery sets them."""
        return self._limits

    @time_limits.setter
    def time_limits(self, given: Any) -> None:
        # Anything else would end the worker when its pool starts to count.
        if not isinstance(given, list | tuple) or [*map(type, given)] not in LIMITS:
            raise InvalidTaskError(
                f"the header timelimit is {given!r:.100}; it must be [hard, soft], each a number "
                "of seconds or null"
            )
        self._limits = given

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Record a hard limit; the soft one is handled by the child."""
        super().on_timeout(soft, timeout)
        if not soft:
            self._record(lambda: process.keeper().hard_limit(self.id, self.worker_pid))

    def on_failure(
        self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False
    ) -> Any:
        """Record the death of a child."""
        error = exc_info.exception
        is_lost = isinstance(error, WorkerLostError) and not isinstance(error, TimeLimitExceeded)
        if is_lost and not self._is_ours():
            # The child may have died before the message was a row; it is acknowledged below.
            self._record(lambda: execution.rescue(self._arrived()))
        outcome = super().on_failure(exc_info, send_failed_event, return_ok)
        if is_lost:
            pid, reason = self.worker_pid, str(error)
            self._record(lambda: process.keeper().child_died(self.id, pid, reason))
        if isinstance(error, Ignore) and error.args[1:]:
            self._tell_monitors(*error.args)
        return outcome

    def _tell_monitors(self, reason: str, event: str) -> None:
        """Say how a stopped job ended: Celery says nothing of what it shall ignore."""
        if event == "task-revoked":
            self.send_event(event, terminated=True, signum=None, expired=False)
        else:
            self.send_event(event, exception=f"{reason!r}", traceback=reason)

    def _record(self, write: Callable[[], object]) -> None:
        """Write something of this delivery; Celery's event loop survives whatever happens."""
        try:
            write()
        except Exception as error:  # noqa: BLE001 - see above; the scheduler repairs it
            logger.warning("delivery_not_recorded", job_id=self.id, reason=str(error))

    def _is_ours(self) -> bool:
        return bool((self.request_dict.get("headers") or {}).get(HEADER))

    def _announce_revoked(
        self, reason: str, terminated: bool, signum: int | None, expired: bool
    ) -> None:
        super()._announce_revoked(reason, terminated, signum, expired)
        # A revocation, also one from Flower, becomes the cancel of the row.
        arrived = None if self._is_ours() else self._arrived()
        text = f"revoked: {reason}"
        self._record(lambda: jobs.revoke(arrived, self.id, text, only_waiting=expired))

    def _arrived(self) -> NewJob:
        # Its own name is what the sender wants it to be shown as.
        return arrivals.job(
            self.task.name,
            self.id,
            self.args,
            self.kwargs,
            self.delivery_info,
            self.time_limits,
            not self.ignore_result,
        )


def _refuse(fault: DataError, /, *_: Any, **__: Any) -> None:
    raise fault


class DurableTask(Task):  # type: ignore[misc]
    """Base of every task: one claim, one run, one guarded final write."""

    Request = DurableRequest
    abstract = True
    acks_late = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run one delivery."""
        claimant = Claimant(boot=process.boot(), worker=str(self.request.hostname))
        try:
            job = self._claim(claimant, args, kwargs)
        except Duplicate as error:
            execution.answer_again(self.request.id)
            raise Ignore(str(error)) from None
        except SoftTimeLimitExceeded:
            # The signal was meant for the job before and struck this one between claim and run.
            raise self._not_claimed(claimant, "interrupted while claiming") from None
        except TransientError as error:
            raise self._not_claimed(claimant, str(error)) from None
        body = self._checked if self._is_ours() else self._arrived_whole(args, kwargs)
        try:
            return execution.run(
                job, body, job.row["args"], job.row["kwargs"], SoftTimeLimitExceeded
            )
        except Retried as error:
            raise Retry(str(error), exc=error.__cause__) from None
        except (Stopped, ClaimLost) as error:
            ending = ENDINGS.get(type(error))
            raise Ignore(str(error), *([ending] if ending else ())) from None

    def _checked(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body: what a plain client has sent was not looked at before."""
        tasks.check(self.name, args, kwargs)
        return self.run(*args, **kwargs)

    def _arrived_whole(self, args: Any, kwargs: Any) -> Callable[..., Any]:
        """Return what runs: nothing that was sent may be missing in the row."""
        fault = arrivals.fault(args, kwargs)
        return self._checked if fault is None else partial(_refuse, fault)

    def _is_ours(self) -> bool:
        return bool((self.request.headers or {}).get(HEADER))

    def _not_claimed(self, claimant: Claimant, reason: str) -> Exception:
        """Give back what may just have been claimed; a message without a row stays in its queue."""
        execution.abandon(self.request.id, claimant)
        return Ignore(reason) if self._is_ours() else Reject(reason, requeue=True)

    def _claim(
        self, claimant: Claimant, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> RunningJob:
        request = self.request
        if self._is_ours():
            return execution.claim(request.id, claimant)
        arrived = arrivals.job(
            self.name,
            request.id,
            args,
            kwargs,
            request.delivery_info,
            request.timelimit,
            not request.ignore_result,
        )
        return execution.adopt(arrived, claimant)


class _Silent(DisabledBackend):  # type: ignore[misc]
    """A backend that stores nothing and never pretends that something was stored."""

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        return {"status": "PENDING", "result": None}


DurableTask._backend = _Silent(app)


def durable_task(name: str, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Register a function as the durable task `tasks.<module>.<function>`."""
    return app.task(name=name, base=DurableTask, **options)
