"""Messages of plain clients that a worker took and died before it had done with them.

Redis gives an unacknowledged message back only after the visibility timeout, which is longer than
any job. A job that is an open row does not need that message. One that is no row yet would wait for
an hour; so would the client of one that is final, for its answer may have died with the worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from kombu.utils.json import loads

from materia.broker.app import connection

LIMIT = 1000


def restore(older_than_s: float, open_jobs: Callable[[Collection[str]], Collection[str]]) -> int:
    """Return taken messages to their queues when their jobs are no open rows.

    A worker that is alive and merely busy may still hold one; it then finds its job claimed.

    Args:
        older_than_s: Messages taken later than so many seconds ago are left alone.
        open_jobs: Returns those of some job ids that are rows and not final.
    """
    with connection() as broker:
        channel = broker.default_channel
        if not hasattr(channel, "unacked_index_key"):
            return 0
        client, oldest = channel.client, time.time() - older_than_s
        tags = client.zrange(
            channel.unacked_index_key, 0, oldest, byscore=True, offset=0, num=LIMIT
        )
        if not tags:
            return 0
        # The client puts the prefix before the keys of some commands, not of this one.
        held = client.hmget(channel.global_keyprefix + channel.unacked_key, tags)
        ids = {tag: _job_id(taken) for tag, taken in zip(tags, held, strict=True) if taken}
        is_open = open_jobs({job_id for job_id in ids.values() if job_id})
        lost = [tag for tag, job_id in ids.items() if job_id is not None and job_id not in is_open]
        for tag in lost:
            channel.qos.restore_by_tag(tag, client)
        return len(lost)


def _job_id(taken: bytes) -> str | None:
    """Return the job of a taken message: None when it stays, empty when it is no message."""
    try:
        message: dict[str, Any] = loads(taken.decode())[0]
        headers = message.get("headers") or {}
        # One with an ETA is held on purpose until it is due; one without an id is old-fashioned.
        if not headers.get("id") or headers.get("eta"):
            return None
        job_id = str(headers["id"])
        # No database can be asked for a lone surrogate; this raises a ValueError.
        job_id.encode()
        return job_id
    except (ValueError, TypeError, LookupError, AttributeError):
        return ""
