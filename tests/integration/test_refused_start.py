"""A start that is refused leaves nothing behind."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from materia.errors import ConflictError
from materia.settings import Settings
from materia.stack import up


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0)
    os.umask(before)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_a_taken_port_is_refused_before_the_folder_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(data_dir=tmp_path / "data", api_port=taken.getsockname()[1])
        with pytest.raises(ConflictError, match="is taken"):
            up.run(settings, n_workers=1, on_change=lambda *_: None)
    assert list(tmp_path.iterdir()) == []
