"""Send the message of a job. A message is a hint: it carries the id, the row holds the work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kombu.exceptions import OperationalError

from materia import log
from materia.broker.app import app

# Marks a message whose job is a row already; without it a message is one of a plain client.
HEADER = "materia_job"

logger = log.logger(__name__)


def send(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Send one message a job.

    Args:
        rows: Jobs with id, task, queue, priority, soft_limit_s and hard_limit_s.

    Returns:
        Ids of the jobs whose message could not be sent; the scheduler sends them later.
    """
    unsent: list[str] = []
    with app.producer_or_acquire() as producer:
        for row in rows:
            if unsent:
                unsent.append(row["id"])
                continue
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
                    producer=producer,
                    retry=False,
                )
            except (OperationalError, OSError) as error:
                logger.warning("message_not_sent", job_id=row["id"], reason=str(error))
                unsent.append(row["id"])
    return unsent
