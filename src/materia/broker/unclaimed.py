"""Messages of plain clients that a worker took and died before they became rows.

Redis gives an unacknowledged message back only after the visibility timeout, which is longer than
any job. A job that is a row does not need that message; one that is not would wait for an hour.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from kombu.utils.json import loads

from materia.broker.app import app

LIMIT = 1000


def give_back(older_than_s: float, known: Callable[[Collection[str]], Collection[str]]) -> int:
    """Return taken messages to their queues when no row has come of them.

    A worker that is alive and merely busy may still hold one; it then finds its job claimed.

    Args:
        older_than_s: Messages taken later than so many seconds ago are left alone.
        known: Returns those of some job ids that are rows.
    """
    with app.connection_or_acquire() as connection:
        channel = connection.default_channel
        if not hasattr(channel, "unacked_index_key"):
            return 0
        client, oldest = channel.client, time.time() - older_than_s
        tags = client.zrange(
            channel.unacked_index_key, 0, oldest, byscore=True, offset=0, num=LIMIT
        )
        if not tags:
            return 0
        ids = {}
        for tag, taken in zip(tags, client.hmget(channel.unacked_key, tags), strict=True):
            if taken is not None:
                headers = loads(taken.decode())[0]["headers"]
                # One with an ETA is held on purpose until it is due.
                if headers.get("id") and not headers.get("eta"):
                    ids[tag] = str(headers["id"])
        rows = known(set(ids.values()))
        lost = [tag for tag, job_id in ids.items() if job_id not in rows]
        for tag in lost:
            channel.qos.restore_by_tag(tag, client)
        return len(lost)
