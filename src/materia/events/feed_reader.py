"""Reads the events of all topics in their order, once for all who follow them in a process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson

from materia import log
from materia.errors import MateriaError
from materia.events.hub import Listener, Message
from materia.events.models import Event

EVERY_S = 0.2
AT_ONCE = 500

logger = log.logger(__name__)


class FeedReader:
    """Hands new events to everybody who listens; looks for them only while somebody does.

    All methods belong to the event loop; the arguments run in threads.

    Args:
        extend: Puts new events into order and returns the last position; told the how manieth look
            it is, for not each goes as far back.
        after: Returns up to so many events after a position.
    """

    def __init__(
        self, extend: Callable[[int], int], after: Callable[[int, int], list[Event]]
    ) -> None:
        self._extend, self._after = extend, after
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._position = 0

    @property
    def n_listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def listen(self, topic: str, number: int) -> Listener:
        """Hand out what comes after a position that was given just now."""
        listener = Listener(topic)
        if not self._listeners:
            self._position = number
        self._listeners.add(listener)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._read())
        return listener

    def leave(self, listener: Listener) -> None:
        """End what `listen` began."""
        self._listeners.discard(listener)

    async def close(self) -> None:
        """Stop reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        looks = 0
        while self._listeners:
            looks += 1
            try:
                last = await asyncio.to_thread(self._extend, looks)
                if last > self._position:
                    await self._hand_out(last)
            except MateriaError as error:
                logger.warning("events_not_ordered", reason=str(error))
            except Exception:
                # The live view must outlive whatever one look meets.
                logger.exception("events_not_ordered")
            await asyncio.sleep(EVERY_S)

    async def _hand_out(self, last: int) -> None:
        found: list[Event] = []
        if last - self._position <= AT_ONCE:
            found = await asyncio.to_thread(self._after, self._position, AT_ONCE)
        messages = [Message(event.number, _text(event)) for event in found]
        if not messages or messages[-1].number < last:
            # So many, or deleted meanwhile: everybody reads the table.
            messages.append(Message(last, None))
        for listener in self._listeners:
            for message in messages:
                listener.offer(message)
        self._position = last


def _text(event: Event) -> str:
    text: Any = orjson.dumps(event.message())
    return str(text, "utf-8")
