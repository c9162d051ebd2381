"""Carries operations out: over a blocking connection, or over an asynchronous one."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import ClientConnection as AsyncConnection
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from materia.client.problems import error_of
from materia.client.steps import Call, Emit, Open, Operation, Pause, Receive, Step
from materia.errors import DataError, DefinitionError, MateriaError, NotFoundError, TransientError

BASE = "/api/v1"
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
MAX_MESSAGE = 2**26
PIECE = 2**20
# A client that leaves before it has read all would wait so long for the last word.
CLOSE_TIMEOUT_S = 0.5
UNKNOWN, BAD_REQUEST = 4404, 4400


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts.hostname
    except ValueError:
        pass
    raise DefinitionError(
        f"{url!r} is no address of a server", "write it like http://127.0.0.1:8000"
    )


class Address:
    """Where a server is, and what every connection to it carries.

    Args:
        url: scheme://host:port
        key: Of the server, if it asks for one.
    """

    def __init__(self, url: str, key: str | None) -> None:
        self.url = url.rstrip("/")
        # A proxy of the environment is not meant for one's own machine.
        self.is_local = _host(self.url) in LOOPBACK
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}

    def http_options(self, timeout_s: float) -> dict[str, Any]:
        """Return the arguments of either HTTP client."""
        return {
            "base_url": f"{self.url}{BASE}",
            "headers": self.headers,
            "timeout": timeout_s,
            "trust_env": not self.is_local,
        }

    def live_url(self, path: str) -> str:
        """Return the address of a live view."""
        return f"ws{self.url.removeprefix('http')}{BASE}{path}"

    def live_options(self) -> dict[str, Any]:
        """Return the arguments of either WebSocket client."""
        return {
            "additional_headers": self.headers,
            "max_size": MAX_MESSAGE,
            "close_timeout": CLOSE_TIMEOUT_S,
            "proxy": None if self.is_local else True,
        }

    def unreachable(self, error: Exception) -> TransientError:
        """Return the error for a server that does not answer."""
        return TransientError(
            f"the server at {self.url} does not answer: {str(error) or type(error).__name__}",
            "is it running? `materia status` tells, `materia up` starts one",
        )


def pieces_of(path: Path) -> Iterator[bytes]:
    """Yield the content of a file."""
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


async def async_pieces_of(path: Path) -> AsyncIterator[bytes]:
    """Yield the content of a file; reading a piece is quick enough to be waited for."""
    for piece in pieces_of(path):
        yield piece


def request_options(call: Call, of_file: Callable[[Path], Any]) -> dict[str, Any]:
    """Return the arguments of a request for either HTTP client.

    Args:
        of_file: Yields the content of a file, in the way of that client.
    """
    return {
        "method": call.method,
        "url": call.path,
        "params": dict(call.params),
        "content": call.content if call.file is None else of_file(call.file),
        "headers": dict(call.headers),
    }


def answer_of(response: httpx.Response) -> Any:
    """Return the JSON of an answer; a refusal is raised as the error that it stands for."""
    content = _decoded(response.content)
    if response.is_success:
        return content
    raise error_of(response.status_code, content)


def closed(error: WebSocketException) -> MateriaError:
    """Return why a live view could not be opened, or has ended."""
    if isinstance(error, InvalidStatus):
        return error_of(error.response.status_code, _decoded(error.response.body or b""))
    code, reason = 1006, str(error)
    if isinstance(error, ConnectionClosed) and error.rcvd is not None:
        code, reason = error.rcvd.code, error.rcvd.reason or reason
    kinds: dict[int, type[MateriaError]] = {UNKNOWN: NotFoundError, BAD_REQUEST: DefinitionError}
    return kinds.get(code, TransientError)(f"the live view was closed: {reason}")


@contextmanager
def arriving(path: Path) -> Iterator[BinaryIO]:
    """Provide an open file beside a path, which it replaces when all has come.

    Raises:
        DataError: It cannot be written; the old file is untouched.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            yield file
        beside.replace(path)
    except OSError as error:
        raise DataError(
            f"cannot write '{path}': {error.strerror or error}", "name another file"
        ) from None
    finally:
        beside.unlink(missing_ok=True)


def _decoded(content: bytes | bytearray) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _advance(operation: Operation, value: Any, error: MateriaError | None) -> Step:
    return operation.send(value) if error is None else operation.throw(error)


class Wire:
    """A blocking connection to a server."""

    def __init__(self, address: Address, timeout_s: float, transport: Any = None) -> None:
        self._address = address
        self._http = httpx.Client(transport=transport, **address.http_options(timeout_s))

    def run(self, operation: Operation) -> Any:
        """Carry an operation out and return its result."""
        events = self.stream(operation)
        while True:
            try:
                next(events)
            except StopIteration as end:
                return end.value

    def stream(self, operation: Operation) -> Generator[dict[str, Any], None, Any]:
        """Carry an operation out: yield its events, return its result."""
        value: Any = None
        error: MateriaError | None = None
        view: ClientConnection | None = None
        with ExitStack() as views:
            while True:
                try:
                    step = _advance(operation, value, error)
                except StopIteration as end:
                    return end.value
                value, error = None, None
                try:
                    match step:
                        case Emit():
                            yield step.event
                        case Open():
                            views.close()
                            view = self._open(step, views)
                        case Receive():
                            assert view is not None
                            value = json.loads(view.recv())
                        case Pause():
                            time.sleep(step.seconds)
                        case Call():
                            value = self._call(step)
                except MateriaError as found:
                    error = found
                except WebSocketException as found:
                    error = closed(found)

    def _call(self, call: Call) -> Any:
        options = request_options(call, pieces_of)
        try:
            if call.into is not None:
                return self._receive(call.into, options)
            return answer_of(self._http.request(**options))
        except httpx.TransportError as error:
            raise self._address.unreachable(error) from error

    def _receive(self, path: Path, options: dict[str, Any]) -> Path:
        with self._http.stream(**options) as response:
            if not response.is_success:
                response.read()
                answer_of(response)
            with arriving(path) as file:
                for piece in response.iter_bytes(PIECE):
                    file.write(piece)
        return path

    def _open(self, step: Open, views: ExitStack) -> ClientConnection:
        url = self._address.live_url(step.path)
        try:
            view: ClientConnection = views.enter_context(
                connect(url, **self._address.live_options())
            )
            return view
        except (OSError, EOFError) as error:
            raise self._address.unreachable(error) from error

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


class AsyncWire:
    """An asynchronous connection to a server."""

    def __init__(self, address: Address, timeout_s: float, transport: Any = None) -> None:
        self._address = address
        self._http = httpx.AsyncClient(transport=transport, **address.http_options(timeout_s))

    async def run(self, operation: Operation) -> Any:
        """Carry an operation out and return its result."""
        result: list[Any] = []
        async for _ in self._carry_out(operation, result):
            pass
        return result[0]

    def stream(self, operation: Operation) -> AsyncIterator[dict[str, Any]]:
        """Carry an operation out and yield its events."""
        return self._carry_out(operation, [])

    async def _carry_out(
        self, operation: Operation, result: list[Any]
    ) -> AsyncIterator[dict[str, Any]]:
        value: Any = None
        error: MateriaError | None = None
        view: AsyncConnection | None = None
        try:
            while True:
                try:
                    step = _advance(operation, value, error)
                except StopIteration as end:
                    result.append(end.value)
                    return
                value, error = None, None
                try:
                    match step:
                        case Emit():
                            yield step.event
                        case Open():
                            await _aclose(view)
                            view = await self._open(step)
                        case Receive():
                            assert view is not None
                            value = json.loads(await view.recv())
                        case Pause():
                            await asyncio.sleep(step.seconds)
                        case Call():
                            value = await self._call(step)
                except MateriaError as found:
                    error = found
                except WebSocketException as found:
                    error = closed(found)
        finally:
            await _aclose(view)

    async def _call(self, call: Call) -> Any:
        options = request_options(call, async_pieces_of)
        try:
            if call.into is not None:
                return await self._receive(call.into, options)
            return answer_of(await self._http.request(**options))
        except httpx.TransportError as error:
            raise self._address.unreachable(error) from error

    async def _receive(self, path: Path, options: dict[str, Any]) -> Path:
        async with self._http.stream(**options) as response:
            if not response.is_success:
                await response.aread()
                answer_of(response)
            with arriving(path) as file:
                async for piece in response.aiter_bytes(PIECE):
                    file.write(piece)
        return path

    async def _open(self, step: Open) -> AsyncConnection:
        try:
            url = self._address.live_url(step.path)
            return await connect_async(url, **self._address.live_options())
        except (OSError, EOFError) as error:
            raise self._address.unreachable(error) from error

    async def aclose(self) -> None:
        """Close the connection."""
        await self._http.aclose()


async def _aclose(view: AsyncConnection | None) -> None:
    if view is not None:
        await view.close()
