"""Who may come in, and with how much: key, origin and size are checked before any route runs.

Plain ASGI, outside of the application, so that no route can forget it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from materia import visibility
from materia.api.pace import Pace, too_many
from materia.api.problems import CODES, HINTS, Refusal, of_error, problem
from materia.errors import TransientError
from materia.services import access, keys
from materia.services.audit import Entry, Record
from materia.services.keys import Caller, RefusedKey
from materia.services.running import storable

MAX_BODY = 2**20
# So much of a refused body is taken from the client, so that it stays to read the refusal.
MAX_DROPPED = 2**28
DROP_TIMEOUT_S = 5.0
MAX_KEY = 512
# Requests that are served at a time; more would only wait for each other.
MAX_SERVED = 1000
SUBPROTOCOL = "materia.bearer."
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


class Admission:
    """Refuses what has no key, comes from a foreign page, is too large or too much.

    What a key may do is looked at where the route is known, in `materia.api.scopes`.

    Args:
        app: The application behind.
        key: The key of the settings, which opens everything; others are in the database.
        public: Paths that need no key.
        uploads: Paths that take whole files, and how many bytes of one.
        pace: How much one key may ask for.
        record: Takes what was done and what was refused.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        key: str | None,
        public: frozenset[str],
        uploads: Mapping[str, int],
        pace: Pace,
        record: Record,
    ) -> None:
        self._app = app
        self._key = key
        self._public = public
        self._uploads = {path: Limit(size, UPLOAD_HINT) for path, size in uploads.items()}
        self._pace = pace
        self._record = record
        self._n_served = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["type"] == "http":
            body = Body(headers, receive, send, self._limit(scope))
            receive, send = body.receive, body.send
        state = scope.setdefault("state", {})
        state["caller"], state["refused"] = None, None
        seen = Seen(send)
        # Live views last, and have a limit of their own.
        n_more = int(scope["type"] == "http")
        self._n_served += n_more
        try:
            refusal = await self._refusal(scope, headers)
            if refusal is not None:
                await refuse(refusal, scope, receive, seen.send)
            else:
                with visibility.hiding(access.hidden_files(state["caller"])):
                    await self._app(scope, receive, seen.send)
        finally:
            self._n_served -= n_more
            self._note(scope, seen)

    async def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        state = scope["state"]
        if _is_foreign(scope, headers):
            state["refused"] = "foreign_page"
            return problem(
                403,
                CODES[403],
                f"pages of {headers['origin'][:200]!r} may not use this server",
                hint="open the page from the server itself",
            )
        if scope["path"] not in self._public:
            try:
                state["caller"] = await self._caller(scope, headers)
            except RefusedKey as error:
                state["refused"], state["refused_caller"] = error.reason, error.caller
                return problem(
                    401,
                    CODES[401],
                    error.message,
                    hint="send the header `Authorization: Bearer <key>`;"
                    " `materia status --json` prints the key of an embedded stack",
                    headers={"WWW-Authenticate": "Bearer"},
                )
            except TransientError as error:
                return of_error(error)
            if (busy := self._too_much(scope)) is not None:
                return busy
        length, limit = headers.get("content-length", "0"), self._limit(scope)
        if length.isdigit() and int(length) > limit.size:
            return problem(413, CODES[413], limit.message, hint=limit.hint)
        return None

    def _limit(self, scope: Scope) -> Limit:
        return self._uploads.get(scope["path"], ORDINARY)

    async def _caller(self, scope: Scope, headers: Headers) -> Caller:
        given = _given_key(scope, headers)
        if not given:
            raise RefusedKey("this server asks for a key", "no_key")
        if self._key is not None and keys.is_same(given, self._key):
            return keys.OPERATOR
        # No key looks like this: it is not worth a look into the database.
        if len(given) > MAX_KEY or not given.startswith(keys.PREFIX):
            raise RefusedKey("this is not a key of this server", "unknown")
        return keys.known(given) or await run_in_threadpool(keys.check, given)

    def _too_much(self, scope: Scope) -> Response | None:
        if scope["type"] != "http":
            return None
        if self._n_served > MAX_SERVED:
            return of_error(TransientError("the server is busy", "try again a little later"))
        caller: Caller = scope["state"]["caller"]
        wait_s = self._pace.wait_s(caller, is_change=scope["method"] not in SAFE_METHODS)
        if wait_s <= 0.0:
            return None
        scope["state"]["refused"] = "rate"
        return too_many(
            f"the key {caller.name!r} asks for too much",
            "send more slowly; MATERIA_REQUESTS_PER_S and MATERIA_CHANGES_PER_S set the limits",
            wait_s,
        )

    def _note(self, scope: Scope, seen: Seen) -> None:
        """Record what was refused, and what changed something."""
        state = scope["state"]
        method = scope.get("method", "WEBSOCKET")
        # The check of a definition, for one, is a POST that only reads.
        changes = method not in SAFE_METHODS and state.get("scope") in ("write", "admin")
        if seen.status == 429 and state["refused"] is None:
            state["refused"] = "room"
        if state["refused"] is None and not (changes and 0 < seen.status < 400):
            return
        caller: Caller | None = state["caller"] or state.get("refused_caller")
        client = scope.get("client")
        entry = Entry(
            method=method[:16],
            path=storable(seen.made or scope["path"])[:500],
            status=seen.status,
            key_id=caller and caller.key_id,
            name=caller and caller.name,
            owner=caller and caller.owner,
            address=client and str(client[0])[:64],
            refused=state["refused"],
        )
        self._record.note(entry)


class Seen:
    """What a client was answered."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        # Where what was made is found.
        self.made: str | None = None

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        match message["type"]:
            case "http.response.start" | "websocket.http.response.start":
                self.status = int(message["status"])
                self.made = Headers(raw=message.get("headers", [])).get("location")
            case "websocket.close":
                self.status = int(message.get("code", 1000))
        await self._send(message)


def _given_key(scope: Scope, headers: Headers) -> str:
    """Return the key that a request carries; empty without one."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    if scope["type"] != "websocket":
        return ""
    # A browser can set no header on a WebSocket; it can offer subprotocols.
    offered = (name for name in scope["subprotocols"] if name.startswith(SUBPROTOCOL))
    return next(offered, "").removeprefix(SUBPROTOCOL)


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
