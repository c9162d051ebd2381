"""One stack and one browser for all tests of the dashboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser
from stack_api import Api

from stacks import Stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a running stack without any campaign."""
    started = Stack(tmp_path_factory.mktemp("dashboard") / "data", n_workers=2)
    started.start()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def shared_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Return a browser for the tests of a module."""
    with Browser(tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture
def page(shared_browser: Browser, stack: Stack) -> Browser:
    """Return the browser, on the dashboard and with the key, as `materia up --open` opens it."""
    shared_browser.console.clear()
    shared_browser.requests.clear()
    # Leaves the page before: another fragment alone loads nothing.
    shared_browser.open("about:blank")
    found = stack.state()
    shared_browser.open(f"{found['api_url']}/#key={found['api_key']}")
    shared_browser.wait("document.querySelector('h1')?.innerText === 'Campaigns'", "the dashboard")
    return shared_browser


@pytest.fixture
def api(stack: Stack) -> Api:
    """Return the API of the stack."""
    return Api(stack.state())


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return where a test leaves screenshots."""
    return tmp_path
