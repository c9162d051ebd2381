"""Keeps this process from reaching what it may not, whatever code runs in it.

For processes that do nothing but deliver: an audit hook cannot be taken away again. It sees the
address that is really connected to, so that neither a redirect nor a name that changes its meaning
between check and use gets past it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from materia.outbound.addresses import Allowed

ANSWER_BYTES = 64 * 1024
REACHING = ("socket.connect", "socket.sendto", "socket.sendmsg")
STARTING = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty")


class Refused(OSError):
    """The address may not be reached."""


@dataclass(slots=True)
class Guard:
    """Refuses connections of this process.

    Attributes:
        refusals: Why connections were refused, since this was emptied last.
    """

    allowed: Allowed
    refusals: list[str] = field(default_factory=list)

    def install(self) -> None:
        """Begin to refuse; for the rest of this process."""
        sys.addaudithook(self._look)

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in STARTING:
            raise self._refused("no other program is started")
        if event in REACHING and arguments[1] is not None:
            address = arguments[1]
            if not isinstance(address, tuple) or not isinstance(address[0], str):
                raise self._refused("sockets of this machine are not used")
            reason = self.allowed.refusal(address[0])
            if reason:
                raise self._refused(reason)

    def _refused(self, reason: str) -> Refused:
        self.refusals.append(reason)
        return Refused(reason)


@dataclass(slots=True)
class Exchanges:
    """Bounds what `requests` does in this process, and notes how it went.

    Attributes:
        statuses: Of the answers that came, since this was emptied last.
        is_too_long: Whether an answer was longer than `ANSWER_BYTES`.
    """

    timeout_s: float
    statuses: list[int] = field(default_factory=list)
    is_too_long: bool = False

    def bound(self) -> None:
        """Follow no redirect, use no proxy, read no long answer; for the rest of this process."""
        import requests
        from requests.adapters import HTTPAdapter

        send = HTTPAdapter.send

        def bounded(adapter: Any, request: Any, **options: Any) -> Any:
            limits: Mapping[str, Any] = {
                "stream": True,
                "timeout": self.timeout_s,
                "proxies": {},
            }
            response = send(adapter, request, **{**options, **limits})
            body = response.raw.read(ANSWER_BYTES + 1, decode_content=True)
            response.close()
            if len(body) > ANSWER_BYTES:
                self.is_too_long = True
                raise requests.ConnectionError("the answer is too long")
            response._content, response._content_consumed = body, True
            self.statuses.append(response.status_code)
            return response

        def nowhere(*_: Any, **__: Any) -> Iterable[Any]:
            return iter(())

        adapters: Any = HTTPAdapter
        sessions: Any = requests.Session
        adapters.send, sessions.resolve_redirects = bounded, nowhere

    def forget(self) -> None:
        """Empty the notes."""
        self.statuses.clear()
        self.is_too_long = False
