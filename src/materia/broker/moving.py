"""Messages that wait in one queue, put into another."""

from __future__ import annotations

from materia.broker.app import connection

LIMIT = 1000


def move(source: str, target: str) -> int:
    """Append what waits in a queue to another one, in its order and with its priorities.

    Returns:
        How many messages were moved; what is left of very many is moved by the next call.
    """
    n_moved = 0
    with connection() as broker:
        channel = broker.default_channel
        # A broker that is not Redis has no such lists; there nobody's message is moved.
        for level in getattr(channel, "priority_steps", ()):
            # The client puts the prefix before the keys of some commands, not of this one.
            keys = [
                channel.global_keyprefix + channel._q_for_pri(q, level) for q in (source, target)
            ]
            while n_moved < LIMIT and channel.client.rpoplpush(*keys) is not None:
                n_moved += 1
    return n_moved
