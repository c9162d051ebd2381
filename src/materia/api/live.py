"""WebSockets: what was missed from the table, then what happens, without a gap or a double."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple, ParamSpec, TypeVar

import anyio
import anyio.to_thread
import orjson
from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from materia.api.admission import SUBPROTOCOL
from materia.api.scopes import READ
from materia.errors import DefinitionError, MateriaError, NotFoundError, TransientError
from materia.events.feed_reader import FeedReader
from materia.events.hub import Hub, Listener
from materia.events.models import Event, campaign_topic, job_topic
from materia.services import access, campaigns, events, feed, jobs, keys
from materia.services.access import ForeignError
from materia.services.keys import Caller, RefusedKey

PAGE = 500
SEND_TIMEOUT_S = 10.0
MAX_LISTENERS = 2000
PLAIN_SUBPROTOCOL = "materia.v1"

# Stands for all topics.
EVERYTHING = "*"

# Codes of a close: RFC 6455's "try again later", and three of our own range.
TRY_AGAIN, BAD_REQUEST, NOT_ALLOWED, UNKNOWN = 1013, 4400, 4401, 4404
# A view whose key was revoked ends after so long.
LOOK_AGAIN_S = 10.0
GET: dict[str, Callable[[str], Any]] = {"campaign": campaigns.get, "job": jobs.get}

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")

router = APIRouter(prefix="/ws", dependencies=[READ])


def hub(url: str) -> Hub:
    """Return the hub of an application."""
    return Hub(url, events.last_numbers)


def feed_reader() -> FeedReader:
    """Return the reader of all topics of an application."""
    return FeedReader(feed.look, feed.after)


class History(NamedTuple):
    """What is kept of the events that one view shows.

    Args:
        span: Returns the first and the last number kept; (0, 0) when there is none.
        after: Returns up to so many events after a number.
        is_whole: Whether a view that names no event begins with all that is kept.
        is_part: Whether `after` leaves out what belongs to other owners.
    """

    span: Callable[[], tuple[int, int]]
    after: Callable[[int, int], list[Event]]
    is_whole: bool
    is_part: bool = False


def _of_topic(topic: str) -> History:
    return History(partial(events.span, topic), partial(events.after, topic), is_whole=True)


def _span_of_all() -> tuple[int, int]:
    feed.extend(feed.Look.LATE)
    return feed.span()


def _of_all(owner: str | None) -> History:
    """Return the history of all topics, of one owner and of nobody's where one is given."""
    after = partial(feed.after, owner=owner)
    return History(_span_of_all, after, is_whole=False, is_part=owner is not None)


@router.websocket("/campaigns/{campaign_id}")
async def campaign(websocket: WebSocket, campaign_id: str) -> None:
    """Follow a campaign."""
    who = {"campaign_id": campaign_id, "job_id": None}
    await _serve(websocket, campaign_topic(campaign_id), who, "campaign", campaign_id)


@router.websocket("/events")
async def everything(websocket: WebSocket) -> None:
    """Follow everything that happens to what the caller may see."""
    who = {"campaign_id": None, "job_id": None}
    await _serve(websocket, EVERYTHING, who)


@router.websocket("/jobs/{job_id}")
async def job(websocket: WebSocket, job_id: str) -> None:
    """Follow a job, its progress included."""
    who = {"campaign_id": None, "job_id": job_id}
    await _serve(websocket, job_topic(job_id), who, "job", job_id)


def _require(caller: Caller, noun: str, row_id: str) -> None:
    """Raise a `NotFoundError` unless there is such a thing for a caller."""
    access.require(caller, noun, row_id)
    GET[noun](row_id)


async def _serve(
    websocket: WebSocket,
    topic: str,
    who: dict[str, Any],
    noun: str | None = None,
    row_id: str = "",
) -> None:
    caller: Caller = websocket.state.caller
    await websocket.accept(_subprotocol(websocket))
    try:
        after = _after(websocket.query_params)
        if not topic.isprintable():
            raise NotFoundError("there is no such thing")
        if noun is not None:
            await _in_thread(_require, caller, noun, row_id)
        live: Hub = websocket.app.state.hub
        of_all: FeedReader = websocket.app.state.feed
        if live.n_listeners + of_all.n_listeners >= MAX_LISTENERS:
            await websocket.close(TRY_AGAIN, "too many live views are open")
            return
        follower = Follower(websocket, live, topic, who, _of_topic(topic))
        if topic == EVERYTHING:
            follower = Follower(websocket, of_all, topic, who, _of_all(caller.sees))
        await _first_of(follower.run(after), _until_gone(websocket), _until_refused(caller))
    except DefinitionError as error:
        await websocket.close(BAD_REQUEST, error.message)
    except NotFoundError as error:
        if isinstance(error, ForeignError):
            websocket.state.refused = "another_owner"
        await websocket.close(UNKNOWN, error.message[:100])
    except RefusedKey as error:
        websocket.state.refused = error.reason
        await websocket.close(NOT_ALLOWED, error.message[:100])
    except MateriaError as error:
        await websocket.close(TRY_AGAIN, error.message[:100])
    except WebSocketDisconnect:
        pass


def _subprotocol(websocket: WebSocket) -> str | None:
    """Return which of the offered subprotocols is spoken; a browser insists on one of its own."""
    offered = websocket.scope.get("subprotocols", [])
    spoken = (n for n in offered if n == PLAIN_SUBPROTOCOL or n.startswith(SUBPROTOCOL))
    return PLAIN_SUBPROTOCOL if PLAIN_SUBPROTOCOL in offered else next(spoken, None)


def _after(parameters: Mapping[str, str]) -> int | None:
    unknown = [name for name in parameters if name != "after"]
    if unknown:
        raise DefinitionError(f"there is no parameter {unknown[0][:32]!a}; allowed: after")
    text = parameters.get("after")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise DefinitionError("`after` is the id of an event, a whole number")
    return int(text)


async def _until_gone(websocket: WebSocket) -> None:
    """Read and drop what the client sends, until it is gone."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


async def _until_refused(caller: Caller) -> None:
    """Look now and then whether the key still opens anything; raises `RefusedKey` when not."""
    while True:
        await asyncio.sleep(LOOK_AGAIN_S)
        if caller.key_id is not None:
            with suppress(TransientError):
                await _in_thread(keys.require_active, caller.key_id)


async def _first_of(*work: Any) -> None:
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# Long replays must not take the threads that routes run in.
_threads = anyio.CapacityLimiter(4)


async def _in_thread(
    call: Callable[Arguments, Value], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Value:
    return await anyio.to_thread.run_sync(lambda: call(*args, **kwargs), limiter=_threads)


class TooSlow(Exception):
    """The client reads more slowly than events come."""


class Follower:
    """Sends one client the events of one topic, or of all, in order and each once."""

    def __init__(
        self,
        websocket: WebSocket,
        live: Hub | FeedReader,
        topic: str,
        who: dict[str, Any],
        history: History,
    ) -> None:
        self._websocket = websocket
        self._hub = live
        self._topic = topic
        self._who = who
        self._history = history
        self._sent = 0

    async def run(self, after: int | None) -> None:
        """Replay what came after a number, then go on live.

        None stands for everything kept of a topic. Of all topics it stands for what comes from now
        on: a `resync` then says where that is, so that the client may go on from there later.

        A client that is too slow is told to read the state anew, and closed.
        """
        first, last = await _in_thread(self._history.span)
        listener = self._hub.listen(self._topic, last)
        try:
            await self._begin(after, first, last)
            await self._replay(listener)
            while True:
                await self._pass_on(listener)
        except TooSlow:
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._websocket.send_text(self._resync())
                    await self._websocket.close(TRY_AGAIN, "events come faster than they are read")
        finally:
            self._hub.leave(listener)

    async def _begin(self, after: int | None, first: int, last: int) -> None:
        if after is None and self._history.is_whole:
            self._sent = first - 1 if first else 0
        elif after is None or after > last or after < first - 1:
            self._sent = last
            await self._send(self._resync())
        else:
            self._sent = after

    async def _replay(self, listener: Listener) -> None:
        while True:
            await self._catch_up()
            if not listener.is_overrun:
                return
            # A long replay is no fault of the client: the table has what the queue lost.
            listener.clear()

    async def _catch_up(self) -> None:
        """Send what the table has after the last number sent."""
        while True:
            found = await _in_thread(self._history.after, self._sent, PAGE)
            for event in found:
                await self._send(orjson.dumps(event.message()).decode())
                self._sent = event.number
            if len(found) < PAGE:
                return

    async def _pass_on(self, listener: Listener) -> None:
        message = await listener.next()
        if listener.is_overrun:
            raise TooSlow
        if message.is_progress:
            # Progress of before the last change of state would be news from the past.
            if message.number >= self._sent:
                await self._send(message.text or "")
        elif message.number <= self._sent:
            return
        elif self._history.is_part:
            await self._catch_up()
            self._sent = max(self._sent, message.number)
        elif message.number == self._sent + 1 and message.text is not None:
            await self._send(message.text)
            self._sent = message.number
        else:
            await self._catch_up()

    async def _send(self, text: str) -> None:
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._websocket.send_text(text)
        except TimeoutError:
            raise TooSlow from None

    def _resync(self) -> str:
        message = {
            "id": self._sent,
            "type": "resync",
            "time": datetime.now(UTC).isoformat(),
            **self._who,
            "data": {},
        }
        return orjson.dumps(message).decode()
