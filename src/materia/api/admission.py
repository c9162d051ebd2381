"""Who may come in, and with how much: key, origin and size are checked before any route runs.

Plain ASGI, outside of the application, so that no route can forget it.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from materia.api.problems import CODES, HINTS, Refusal, problem

MAX_BODY = 2**20
# So much of a refused body is taken from the client, so that it stays to read the refusal.
MAX_DROPPED = 2**28
DROP_TIMEOUT_S = 5.0
SUBPROTOCOL = "materia.bearer."
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


class Admission:
    """Refuses what has no key, comes from a foreign page, or is too large.

    Args:
        app: The application behind.
        key: The key that a request must carry; None when none is needed.
        public: Paths that need no key.
        uploads: Paths that take whole files, and how many bytes of one.
    """

    def __init__(
        self, app: ASGIApp, *, key: str | None, public: frozenset[str], uploads: Mapping[str, int]
    ) -> None:
        self._app = app
        self._key = key.encode() if key else None
        self._public = public
        self._uploads = {path: Limit(size, UPLOAD_HINT) for path, size in uploads.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["type"] == "http":
            body = Body(headers, receive, send, self._limit(scope))
            receive, send = body.receive, body.send
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refuse(refusal, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        if _is_foreign(scope, headers):
            return problem(
                403,
                CODES[403],
                f"pages of {headers['origin'][:200]!r} may not use this server",
                hint="open the page from the server itself",
            )
        if not self._may_enter(scope, headers):
            return problem(
                401,
                CODES[401],
                "this server asks for its key"
                if "authorization" not in headers
                else "this is not the key of this server",
                hint="send the header `Authorization: Bearer <key>`;"
                " `materia status --json` prints the key of an embedded stack",
                headers={"WWW-Authenticate": "Bearer"},
            )
        length, limit = headers.get("content-length", "0"), self._limit(scope)
        if length.isdigit() and int(length) > limit.size:
            return problem(413, CODES[413], limit.message, hint=limit.hint)
        return None

    def _limit(self, scope: Scope) -> Limit:
        return self._uploads.get(scope["path"], ORDINARY)

    def _may_enter(self, scope: Scope, headers: Headers) -> bool:
        if self._key is None or scope["path"] in self._public:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return hmac.compare_digest(given.strip().encode(), self._key)
        if scope["type"] != "websocket":
            return False
        # A browser can set no header on a WebSocket; it can offer subprotocols.
        offered = (name for name in scope["subprotocols"] if name.startswith(SUBPROTOCOL))
        given = next(offered, "").removeprefix(SUBPROTOCOL)
        return hmac.compare_digest(given.encode(), self._key)


@dataclass(frozen=True, slots=True)
class Limit:
    """How large a body may be, in bytes, and what to do about a larger one."""

    size: int
    hint: str

    @property
    def message(self) -> str:
        """What is wrong with a larger one."""
        is_whole = self.size % 2**20 == 0
        largest = f"{self.size // 2**20} MiB" if is_whole else f"{self.size} bytes"
        return f"the body is larger than {largest}"


ORDINARY = Limit(MAX_BODY, HINTS[413])
UPLOAD_HINT = (
    "copy the file to a place below the data root yourself, or let the admin raise"
    " MATERIA_MAX_UPLOAD_BYTES"
)


def _is_foreign(scope: Scope, headers: Headers) -> bool:
    """Tell whether a page of another host makes a browser write or listen here."""
    origin = headers.get("origin")
    if origin is None or (scope["type"] == "http" and scope["method"] in SAFE_METHODS):
        return False
    return urlsplit(origin).netloc != headers.get("host")


class Body:
    """The body of one request: read up to the limit, whatever length the request announced.

    What is left of it when the answer is sent is read and dropped before the answer ends: a
    connection that is closed with unread bytes is reset, and the reset may overtake the answer.
    """

    def __init__(self, headers: Headers, receive: Receive, send: Send, limit: Limit) -> None:
        self._receive, self._send = receive, send
        self._limit = limit
        self._size = 0
        is_announced = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        # A client that waits to be asked for its body has sent nothing that could be left.
        self._is_left = is_announced and headers.get("expect", "").lower() != "100-continue"

    async def receive(self) -> Message:
        """Return the next part; `Refusal` beyond the limit."""
        message = await self._receive()
        self._is_left = bool(message.get("more_body", False))
        self._size += len(message.get("body", b""))
        if self._size > self._limit.size:
            raise Refusal(413, self._limit.message, self._limit.hint)
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer; the last one when nothing is left of the request."""
        is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if is_last and self._is_left:
            await self._send({**message, "more_body": True})
            await self._drop()
            message = {"type": "http.response.body"}
        await self._send(message)

    async def _drop(self) -> None:
        dropped = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(DROP_TIMEOUT_S):
                while self._is_left and dropped < MAX_DROPPED:
                    message = await self._receive()
                    self._is_left = bool(message.get("more_body", False))
                    dropped += len(message.get("body", b""))


async def refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a refusal; a WebSocket gets it as the answer to its handshake."""
    if scope["type"] == "http":
        await response(scope, receive, send)
        return
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    start = {"status": response.status_code, "headers": response.raw_headers}
    await send({"type": "websocket.http.response.start", **start})
    await send({"type": "websocket.http.response.body", "body": response.body})
