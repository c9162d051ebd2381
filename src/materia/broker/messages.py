"""Send the message of a job. A message is a hint: it carries the id, the row holds the work."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from kombu.exceptions import OperationalError
from redis.exceptions import ResponseError

from materia import log
from materia.broker.app import app, producer

# Marks a message whose job is a row already; without it a message is one of a plain client.
HEADER = "materia_job"
# A broker that was away is left alone for so long: nobody who submits a job waits for it again.
PAUSE_S = 3.0

_paused: dict[str, float] = {}

logger = log.logger(__name__)


def send(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Send one message a job.

    Args:
        rows: Jobs with id, task, queue, priority, soft_limit_s and hard_limit_s.

    Returns:
        Ids of the jobs whose message could not be sent; the scheduler sends them later.
    """
    url, unsent = app.conf.broker_write_url, []
    if _is_paused(url):
        return [row["id"] for row in rows]
    with producer() as line:
        for row in rows:
            # Looked at again each time: another thread may have found the broker away.
            if _is_paused(url) or not _is_sent(row, url, line):
                unsent.append(row["id"])
    return unsent


def _is_paused(url: str) -> bool:
    return bool(_paused) and time.monotonic() < _paused.get(url, 0.0)


def _is_sent(row: dict[str, Any], url: str, line: Any) -> bool:
    try:
        app.send_task(
            row["task"],
            task_id=row["id"],
            queue=row["queue"],
            priority=row["priority"],
            soft_time_limit=row["soft_limit_s"],
            time_limit=row["hard_limit_s"],
            headers={HEADER: 1},
            ignore_result=True,
            producer=line,
            retry=False,
        )
    except (OperationalError, OSError) as error:
        logger.warning("message_not_sent", job_id=row["id"], reason=str(error))
        # Redis that refuses one message, such as one for a key that is no list, is not away.
        if not isinstance(error.__cause__, ResponseError):
            _paused[url] = time.monotonic() + PAUSE_S
        return False
    return True
