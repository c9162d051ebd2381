"""The API for tests: in this process without a socket, or as a real server on a free port."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from fixtures import KEY
from materia import settings
from materia.api.__main__ import listen, server
from materia.api.app import create_app
from materia.events.hub import Hub
from materia.settings import Settings
from preloaded import Forked, source
from servers import START_TIMEOUT_S, free_port, wait_until

BASE = "/api/v1"
BEARER = {"Authorization": f"Bearer {KEY}"}
# For what is made before a test begins, when the developer's own settings are still there.
DEFAULTS = Settings.model_construct(api_key=SecretStr(KEY))


@cache
def openapi() -> dict[str, Any]:
    """Return the OpenAPI file, which takes a second to make; not to be changed."""
    return create_app(DEFAULTS).openapi()


def operations() -> list[tuple[str, str]]:
    """Return every method and path of the OpenAPI file."""
    return [(method, path) for path, found in openapi()["paths"].items() for method in found]


class InProcess(httpx.BaseTransport):
    """Hands requests of a synchronous client to an application; no socket is involved."""

    def __init__(self, app: FastAPI, *, raises: bool) -> None:
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=raises)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Serve one request."""

        async def serve() -> httpx.Response:
            copied = httpx.Request(
                request.method, request.url, headers=request.headers, content=request.read()
            )
            response = await self._transport.handle_async_request(copied)
            content = await response.aread()
            return httpx.Response(response.status_code, headers=response.headers, content=content)

        return asyncio.run(serve())


def in_process(
    app: FastAPI | None = None, *, raises: bool = True, key: str | None = KEY
) -> httpx.Client:
    """Return an HTTP client of an application in this process.

    Args:
        key: That it sends; None for none.
        raises: Let unexpected errors of the application reach the test.
    """
    transport = InProcess(app or create_app(), raises=raises)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(transport=transport, base_url="http://test", headers=headers)


class ThreadServer:
    """The server in a thread of this process: starts at once, and a test can change its limits."""

    def __init__(self) -> None:
        self._server = server(settings.current())
        self._socket = listen("127.0.0.1", 0)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), daemon=True
        )
        self.port = int(self._socket.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def hub(self) -> Hub:
        """The hub of its live views."""
        found: Hub = self._server.config.app.state.hub
        return found

    def __enter__(self) -> ThreadServer:
        """Start and wait until it answers."""
        self._thread.start()
        wait_until(lambda: self._server.started, "the server has started")
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._server.should_exit = True
        self._thread.join(START_TIMEOUT_S)


class Server:
    """``python -m materia.api`` as a process of its own."""

    def __init__(self, folder: Path, environment: Mapping[str, str], **variables: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / f"api-{self.port}.log"
        self._environment = {**environment, "MATERIA_API_PORT": str(self.port), **variables}
        self._process: Forked | None = None

    def __enter__(self) -> Server:
        """Start and wait until it answers."""
        self.start()
        return self

    def start(self) -> None:
        """Start it and wait until it answers."""
        place = {"cwd": Path.cwd(), "env": self._environment, "log": self._log}
        self._process = source().start("materia.api", **place)
        wait_until(self._is_settled, "the API answers", START_TIMEOUT_S)
        assert self._process.poll() is None, self.log()

    def _is_settled(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            return True
        try:
            return httpx.get(f"{self.url}{BASE}/health/live").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """End it and return its exit status."""
        assert self._process is not None
        self._process.send_signal(signal_number)
        return self._process.wait(START_TIMEOUT_S)

    def log(self) -> str:
        """Return what it logged."""
        return self._log.read_text(errors="replace")

    def __exit__(self, *_: object) -> None:
        """End it."""
        if self._process is not None and self._process.poll() is None:
            self.stop(signal.SIGKILL)


@contextmanager
def serving_commands(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadServer]:
    """Run an API that commands find by the environment."""
    with ThreadServer() as started:
        monkeypatch.setenv("MATERIA_SERVER", started.url)
        yield started
