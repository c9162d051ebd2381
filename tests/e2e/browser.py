"""A headless Chromium driven over the DevTools protocol."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from servers import START_TIMEOUT_S, die_with_tests, wait_until

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# No sandbox, for tests may run as root; nothing that would call home.
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)


def chromium() -> str:
    """Return the browser's program; a machine without one fails the test."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    assert found, (
        f"none of {', '.join(NAMES)} is on PATH: install Chromium"
        " (Debian, Ubuntu: sudo apt-get install chromium) and run the tests again"
    )
    return found


class Browser:
    """One browser with one page; its messages to the console are kept."""

    def __init__(self, folder: Path, *, width: int = 1280, height: int = 900) -> None:
        self._folder = folder
        self._size = (width, height)
        self._number = 0
        self._open = ExitStack()
        self.console: list[str] = []
        self.requests: list[str] = []

    def __enter__(self) -> Browser:
        """Start it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "chromium.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    chromium(),
                    *FLAGS,
                    f"--user-data-dir={self._folder / 'profile'}",
                    f"--window-size={self._size[0]},{self._size[1]}",
                    "about:blank",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_tests(signal.SIGKILL),
            )
        announced = self._folder / "profile" / "DevToolsActivePort"
        wait_until(
            lambda: announced.exists() and "\n/" in announced.read_text(),
            "the browser listens",
            START_TIMEOUT_S,
        )
        port, path = announced.read_text().split("\n")[:2]
        address = f"ws://127.0.0.1:{port}{path}"
        self._connection: ClientConnection = self._open.enter_context(
            connect(address, max_size=None, proxy=None)
        )
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        return self

    _session: str | None = None

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._connection.send(json.dumps(message))
        while True:
            answer = json.loads(self._connection.recv(timeout=START_TIMEOUT_S))
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.console.append(json.dumps(params["exceptionDetails"]))
        elif event.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.console.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif event.get("method") == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def open(self, url: str) -> None:
        """Go to an address."""
        self.send("Page.navigate", url=url)

    def run(self, expression: str) -> Any:
        """Return the value of an expression in the page, a promise's once it is there."""
        answer = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self, selector: str = "body") -> str:
        """Return what a person reads in the first element that a selector finds."""
        return str(self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def wait(self, expression: str, what: str, timeout_s: float = 120.0) -> None:
        """Wait until an expression of the page is true."""
        try:
            wait_until(lambda: bool(self.run(f"!!({expression})")), what, timeout_s)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text()[:3000]}\n{self.console}") from None

    def wait_text(self, text: str, selector: str = "body", timeout_s: float = 120.0) -> None:
        """Wait until an element shows a text."""
        shown = f"document.querySelector({json.dumps(selector)})?.innerText"
        self.wait(f"{shown}?.includes({json.dumps(text)})", f"{selector} shows {text!r}", timeout_s)

    def click(self, selector: str) -> None:
        """Click the first element that a selector finds."""
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def press(self, key: str) -> None:
        """Press and release a key, by the name that it has in `KeyboardEvent.key`."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        code = {"Enter": 13, "Tab": 9}.get(key, 0)
        for kind in ("keyDown", "keyUp"):
            self.send(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                text=text if kind == "keyDown" else "",
                windowsVirtualKeyCode=code,
            )

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write what is seen as PNG; the whole page, or what fits the window."""
        picture = self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(picture["data"]))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """End it with its children."""
        self._session = None
        with suppress(WebSocketException):
            self.send("Browser.close")
        self._open.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
