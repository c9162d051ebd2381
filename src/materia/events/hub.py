"""The live view's hub: one reader of the Redis streams for all listeners of a process.

The numbers of events are the ids of the stream's entries, so a topic is read on from the number
that the table had when its first listener came. What the stream loses (a flush, a restart, a
publication that failed) the table still has: its last numbers are compared every few seconds, and
listeners are told to read it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import orjson
import redis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from materia import log
from materia.errors import MateriaError
from materia.events.stream import progress_key, stream_key

QUEUE_LENGTH = 1000
READ_COUNT = 500
BLOCK_S = 5.0
REPAIR_EVERY_S = 2.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
WAKE_EXPIRES_S = 60

logger = log.logger(__name__)


class Message(NamedTuple):
    """What a listener is handed.

    Args:
        number: Of the event; of progress, the number of the job's last event before it.
        text: JSON for the client; None when the table must be read up to `number`.
        is_progress: Progress has no number of its own and is in no table.
    """

    number: int
    text: str | None
    is_progress: bool = False


class Listener:
    """One reader of one topic; holds a bounded number of messages."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.is_overrun = False
        self._queue: asyncio.Queue[Message] = asyncio.Queue(QUEUE_LENGTH)

    def offer(self, message: Message) -> None:
        """Queue a message; one too many makes the listener overrun."""
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            # Progress can be left out: the next one says it again.
            self.is_overrun |= not message.is_progress

    async def next(self) -> Message:
        """Wait for the next message."""
        return await self._queue.get()

    def clear(self) -> None:
        """Forget what is queued, because the table is read instead."""
        self.is_overrun = False
        while not self._queue.empty():
            self._queue.get_nowait()


class _Topic:
    """Where the reading of one topic stands, and who listens."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.progress_id = "0-0"
        self.progress: Message | None = None
        self.listeners: set[Listener] = set()

    def hand_out(self, message: Message) -> None:
        for listener in self.listeners:
            listener.offer(message)


class Hub:
    """Reads every topic that somebody listens to, once.

    All methods belong to the event loop.

    Args:
        url: Redis of the events.
        last_numbers: Returns the last number of topics in the table; runs in a thread.
    """

    def __init__(self, url: str, last_numbers: Callable[[Sequence[str]], dict[str, int]]) -> None:
        self._url = url
        self._last_numbers = last_numbers
        self._topics: dict[str, _Topic] = {}
        self._wake_key = f"materia:hub:{uuid.uuid4().hex}"
        self._wake_id = "0-0"
        self._client: redis.asyncio.Redis | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._has_topics = asyncio.Event()
        self._must_repair = asyncio.Event()
        self.n_listeners = 0

    def listen(self, topic: str, number: int) -> Listener:
        """Hand out what a topic gets from now on.

        Args:
            number: The table's last number of the topic; what comes after is handed out.
        """
        if not self._tasks:
            self._start()
        listener = Listener(topic)
        known = self._topics.get(topic)
        if known is None:
            known = self._topics[topic] = _Topic(number)
            self._has_topics.set()
            self._in_background(self._wake())
        elif known.progress is not None:
            listener.offer(known.progress)
        known.listeners.add(listener)
        self.n_listeners += 1
        return listener

    def leave(self, listener: Listener) -> None:
        """End what `listen` began."""
        known = self._topics.get(listener.topic)
        if known is None or listener not in known.listeners:
            return
        self.n_listeners -= 1
        known.listeners.discard(listener)
        if not known.listeners:
            del self._topics[listener.topic]
        if not self._topics:
            self._has_topics.clear()

    async def close(self) -> None:
        """Stop reading."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def _start(self) -> None:
        self._client = redis.asyncio.Redis.from_url(
            self._url,
            protocol=2,
            socket_connect_timeout=2.0,
            socket_timeout=BLOCK_S + 5.0,
            retry=Retry(NoBackoff(), 0),
        )
        self._in_background(self._read())
        self._in_background(self._repair())

    def _in_background(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wake(self) -> None:
        """End the blocking read, so that the next one knows of a new topic."""
        assert self._client is not None
        # When Redis is away there is no read to end.
        with suppress(redis.RedisError, OSError):
            async with self._client.pipeline(transaction=False) as pipeline:
                pipeline.xadd(self._wake_key, {"wake": 1}, maxlen=1, approximate=False)
                pipeline.expire(self._wake_key, WAKE_EXPIRES_S)
                await pipeline.execute()

    async def _read(self) -> None:
        assert self._client is not None
        pause = FIRST_PAUSE_S
        while True:
            await self._has_topics.wait()
            try:
                await self._read_once(self._client)
                pause = FIRST_PAUSE_S
            except (redis.RedisError, OSError) as error:
                logger.warning("live_events_interrupted", reason=str(error))
                await self._pause(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
            except Exception:
                # The live view must outlive whatever one entry holds; the table repairs it.
                logger.exception("live_events_interrupted")
                await self._pause(LONGEST_PAUSE_S)

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._must_repair.set()

    async def _read_once(self, client: redis.asyncio.Redis) -> None:
        block_ms = int(1000 * BLOCK_S)
        answers = await client.xread(self._positions(), count=READ_COUNT, block=block_ms)
        for key, entries in answers or ():
            self._take(key.decode(), entries)

    def _positions(self) -> dict[Any, Any]:
        positions = {self._wake_key: self._wake_id}
        for name, topic in self._topics.items():
            positions[stream_key(name)] = f"{topic.number}-0"
            positions[progress_key(name)] = topic.progress_id
        return positions

    def _take(self, key: str, entries: Iterable[tuple[bytes, dict[bytes, bytes]]]) -> None:
        if key == self._wake_key:
            self._wake_id = [entry_id for entry_id, _ in entries][-1].decode()
            return
        # The reserved part of a key ends at its second colon; the rest is the topic.
        _, kind, name = key.split(":", 2)
        topic = self._topics.get(name)
        if topic is None:
            return
        for entry_id, fields in entries:
            text = fields[b"event"].decode()
            if kind == "progress":
                topic.progress_id = entry_id.decode()
                topic.progress = Message(orjson.loads(text)["id"], text, is_progress=True)
                topic.hand_out(topic.progress)
            else:
                topic.number = int(entry_id.split(b"-")[0])
                topic.hand_out(Message(topic.number, text))

    async def _repair(self) -> None:
        """Tell listeners of what the table has and no stream brought."""
        while True:
            await self._has_topics.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(REPAIR_EVERY_S):
                    await self._must_repair.wait()
            self._must_repair.clear()
            try:
                found = await asyncio.to_thread(self._last_numbers, list(self._topics))
            except MateriaError as error:
                logger.warning("live_events_not_checked", reason=str(error))
                continue
            except Exception:
                # The live view must outlive whatever one look meets.
                logger.exception("live_events_not_checked")
                continue
            for name, number in found.items():
                topic = self._topics.get(name)
                if topic is not None and number > topic.number:
                    topic.number = number
                    topic.hand_out(Message(number, None))
