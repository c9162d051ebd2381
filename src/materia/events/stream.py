"""The fast copy of the events: one Redis Stream a topic. The table is the truth.

An entry's id is ``<number>-0``, so that the stream refuses doubles by itself. Two workers may
append in another order than they committed; the later number then hides the earlier one, and a
reader that sees the gap reads the table. Progress is not an event of the table: it travels on a
stream of its own that keeps the latest message only.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import orjson
import redis

from materia import log, settings
from materia.events import figures
from materia.events.models import Event

KEEP_ENTRIES = 1000
EXPIRE_S = 3600
# A publisher must never wait long for the hint: the scheduler repairs what it leaves out.
TIMEOUT_S = 2.0

logger = log.logger(__name__)


def stream_key(topic: str) -> str:
    """Return the Redis key of a topic's events."""
    return f"materia:events:{topic}"


def progress_key(topic: str) -> str:
    """Return the Redis key of a topic's latest progress."""
    return f"materia:progress:{topic}"


@lru_cache(maxsize=4)
def _of_process(url: str, pid: int) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)


def connection() -> redis.Redis:
    """Return this process's connection pool to the Redis of the events."""
    return _of_process(settings.current().events, os.getpid())


class _Line:
    """A connection of one thread that is closed as soon as the thread lets go of it."""

    def __init__(self) -> None:
        pool = connection().connection_pool
        # Not one that the pool counts: a thread that ends gives nothing back to it.
        self.connection: Any = pool.connection_class(**pool.connection_kwargs)

    def __del__(self) -> None:
        # The connection is part of a cycle, so that it would stay open until garbage is collected.
        self.connection.disconnect()


class _Speaker(threading.local):
    """A connection on which Redis answers nothing, so that publishing never waits for it.

    What is lost with the connection is repaired from the table, as is anything else.
    """

    url: str | None = None
    pid: int | None = None
    line: _Line | None = None
    held: list[tuple[Any, ...]]

    def say(self, commands: list[tuple[Any, ...]], hold: bool = False, counts: bytes = b"") -> None:
        url, pid = settings.current().events, os.getpid()
        if self.line is None or (url, pid) != (self.url, self.pid):
            self.line = _Line()
            self.url, self.pid, self.held = url, pid, []
        if hold:
            self.held = commands
            return
        # Held and new ones are mostly of one topic, and keep it alive with one command.
        commands, self.held = list(dict.fromkeys([*self.held, *commands])), []
        line = self.line.connection
        try:
            if not line.is_connected:
                line.connect()
                line.send_command("CLIENT", "REPLY", "OFF", check_health=False)
            packed = [*line.pack_commands(commands), counts]
            line.send_packed_command(packed, check_health=False)
        except (redis.RedisError, OSError) as error:
            line.disconnect()
            logger.warning("events_not_published", reason=str(error))


_speaker = _Speaker()


def append(events: Iterable[Event], *, hold: bool = False, again: bool = False) -> None:
    """Append committed events without waiting; a Redis that is away is not an error.

    Args:
        hold: Let them leave together with the next ones of this thread. A claim is held: most jobs
            end within milliseconds, and of the others the worker's parent tells that they run.
        again: They may have been appended before, so they are not counted.
    """
    events = list(events)
    commands: list[tuple[Any, ...]] = []
    for event in events:
        key = stream_key(event.topic)
        message = orjson.dumps(event.message())
        # An entry that is already there, or hidden by a later one, is refused by Redis: see above.
        number = f"{event.number}-0"
        commands.append(("XADD", key, "MAXLEN", "~", KEEP_ENTRIES, number, "event", message))
        commands.append(("EXPIRE", key, EXPIRE_S))
    if commands:
        _speaker.say(commands, hold, b"" if again else figures.packed(events))


def count(field: str, n: int = 1) -> None:
    """Add to a counter of `materia.events.figures`."""
    if n:
        _speaker.say([], counts=figures.addition(field, n))


def note(field: str, value: float) -> None:
    """Set a figure that goes up and down."""
    _speaker.say([("HSET", figures.KEY, field, value)])


def read_figures() -> figures.Figures:
    """Return what was counted so far."""
    found: Any = connection().hgetall(figures.KEY)
    return figures.read(found)


def append_progress(topic: str, event: Event) -> None:
    """Publish the latest progress of a job; earlier ones are dropped."""
    key = progress_key(topic)
    message = orjson.dumps(event.message())
    _speaker.say([("XADD", key, "MAXLEN", 1, "*", "event", message), ("EXPIRE", key, EXPIRE_S)])


def last_number(topic: str) -> int:
    """Return the number of the newest entry of a topic's stream, 0 when there is none."""
    entries: Any = connection().xrevrange(stream_key(topic), count=1)
    return int(entries[0][0].split(b"-")[0]) if entries else 0
