"""What the scheduler does at every tick: send what is due, reap what is abandoned."""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial

import redis
from kombu.exceptions import OperationalError

from materia import log, settings
from materia.broker import app as broker
from materia.broker import messages, results, unclaimed
from materia.errors import TransientError
from materia.events import figures, stream
from materia.events.models import Event
from materia.services import execution, gpu_queue, schedules, workers
from materia.services.campaign_life import cancelled
from materia.store import events as event_rows
from materia.store import jobs as job_rows
from materia.store import leases
from materia.store.database import database
from materia.store.jobs import Row

EPOCH_KEY = "materia:epoch"
BATCH = 500
LEADER = "scheduler"
REFILL_EVERY_S = 5.0
REFILL_TOPICS = 1000

logger = log.logger(__name__)


def _name() -> str:
    return f"{socket.gethostname()[:20]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


@dataclass(slots=True)
class Dispatcher:
    """One scheduler; of any number the holder of the lease acts."""

    name: str = field(default_factory=_name)
    _refilled: float = 0.0
    _is_configured: bool = False

    def tick(self) -> bool:
        """Look once; False when another scheduler leads."""
        config = settings.current()
        lease_s = max(5.0, 5 * config.scan_interval_s)
        with database().write() as connection:
            if not leases.acquire(database(), connection, LEADER, self.name, lease_s):
                return False
        if not self._is_configured:
            schedules.ensure_configured()
            self._is_configured = True
        duties: list[Callable[[], int]] = [
            reap,
            gpu_queue.leave_unserved,
            schedules.fire_due,
            send_due,
            resend_after_loss,
            answer_again,
        ]
        now = time.monotonic()
        if now - self._refilled > REFILL_EVERY_S:
            self._refilled = now
            duties += [workers.note_lost, refill_events, restore_unclaimed]
        for duty in duties:
            _do(duty)
        return True

    def close(self) -> None:
        """Let another scheduler lead at once."""
        with database().write() as connection:
            leases.release(connection, LEADER, self.name)


def _do(duty: Callable[[], int]) -> None:
    """Do one duty; what it meets must not keep the others from being done."""
    try:
        duty()
    except (redis.RedisError, OperationalError, TransientError) as error:
        logger.warning("duty_waits", duty=str(duty), reason=str(error))
    except Exception:
        logger.exception("duty_failed", duty=str(duty))


def reap() -> int:
    """Take jobs back whose lease ran out: their worker or its host is dead."""
    with database().read() as connection:
        abandoned = job_rows.abandoned(database(), connection, BATCH)
    for row in abandoned:
        logger.warning("lease_ran_out", job_id=row["id"], worker=row["worker"])
        _do(partial(_take_back, row))
    stream.count(figures.EXPIRIES, len(abandoned))
    return len(abandoned)


def _take_back(row: Row) -> int:
    if row["cancel_requested_at"] is not None:
        return execution.end(row, cancelled("cancelled; its worker was lost"))
    return execution.give_back(row)


def answer_again() -> int:
    """Store answers that could not be stored when their job ended."""
    with database().read() as connection:
        due = job_rows.unanswered(connection, BATCH)
    answered = [row["id"] for row in due if results.store(row)]
    with database().write() as connection:
        job_rows.mark_answered(connection, answered, done=True)
    return len(answered)


def send_due() -> int:
    """Send the message of every waiting job whose time has come."""
    with database().read() as connection:
        due = job_rows.sendable(database(), connection, settings.current().resend_after_s, BATCH)
    _send(due)
    return len(due)


def _send(rows: list[Row]) -> bool:
    """Send messages; False when some could not leave."""
    if not rows:
        return True
    # Noted after sending: a row sent twice is harmless, one noted and never sent waits for long.
    unsent = set(messages.send(rows))
    sent = [row["id"] for row in rows if row["id"] not in unsent]
    with database().write() as connection:
        job_rows.mark_sent(database(), connection, sent)
        job_rows.mark_unsent(connection, list(unsent))
    return not unsent


def resend_after_loss() -> int:
    """Send every waiting job again when Redis has lost its memory, most urgent first."""
    with broker.connection() as line:
        channel = line.default_channel
        return _resend_after_loss(channel.client, channel.global_keyprefix)


def _resend_after_loss(client: redis.Redis, prefix: str) -> int:
    # A restarted server has another run id; what it loaded from its disk may be older.
    run_id = client.info("server")["run_id"]
    # With a prefix, kombu's client puts it before the key of SET, but not of GET.
    if client.get(prefix + EPOCH_KEY) == run_id.encode():
        return 0
    total, left, after = 0, True, None
    while True:
        with database().read() as connection:
            rows = job_rows.waiting_page(connection, after, BATCH)
        if not rows:
            break
        now = time.time()
        due = [row for row in rows if row["run_at"] is None or row["run_at"] <= now]
        left = _send(due) and left
        total += len(due)
        after = (rows[-1]["priority"], rows[-1]["queued_at"], rows[-1]["id"])
    # Set last: a scheduler that dies before leaves the work to the next one.
    if left:
        client.set(EPOCH_KEY, run_id)
    if total:
        logger.warning("redis_was_emptied", jobs_sent_again=total)
    return total


def restore_unclaimed() -> int:
    """Return messages of plain clients that died with the worker that took them."""

    def open_jobs(ids: Collection[str]) -> set[str]:
        with database().read() as connection:
            return job_rows.open_of(connection, ids)

    return unclaimed.restore(settings.current().resend_after_s, open_jobs)


def refill_events() -> int:
    """Append to the streams what the table has and they lack."""
    with database().read() as connection:
        newest = event_rows.newest_numbers(connection, time.time() - 60, REFILL_TOPICS)
    started = oldest = time.time()
    filled = 0
    for topic, number in newest.items():
        last = stream.last_number(topic)
        if last >= number:
            continue
        with database().read() as connection:
            rows = event_rows.after(connection, topic, last, stream.KEEP_ENTRIES)
        stream.append([Event(**row) for row in rows], again=True)
        filled += len(rows)
        oldest = min(oldest, *(row["time"] for row in rows))
    # What leaves at this moment is no lag: only what was there at the look before is.
    stream.note(figures.LAG, max(0.0, started - oldest))
    stream.count(figures.REFILLED, filled)
    return filled
