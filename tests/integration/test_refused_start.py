"""A start that is refused leaves nothing behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from materia.errors import AccessError, ConflictError
from materia.services.safety import dangers
from materia.settings import Settings
from materia.stack import up
from servers import RedisServer


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


WEAK = {
    "MATERIA_ENVIRONMENT": "production",
    "MATERIA_API_KEY": "changeme",
    "MATERIA_BROKER_URL": "redis://redis:6379/0",
    "MATERIA_RESULT_BACKEND": "redis://:redis@redis:6379/1",
}
PROGRAMS = {
    "api": ("-m", "materia.api"),
    "worker": ("-m", "celery", "-A", "materia.tasks", "worker", "--concurrency=1"),
    "scheduler": ("-m", "celery", "-A", "materia.tasks", "beat"),
}


def test_in_production_nothing_starts_with_default_secrets_and_all_of_it_is_told(
    tmp_path: Path,
) -> None:
    (tmp_path / ".env.celery").write_text("REDIS_PASSWORD=redis")
    (tmp_path / ".env.celery").chmod(0o644)
    started = {
        name: subprocess.Popen(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={**os.environ, **WEAK},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name, arguments in PROGRAMS.items()
    }
    for name, process in started.items():
        said, _ = process.communicate(timeout=120)
        assert process.returncode == 1, (name, said)
        for part in (
            "MATERIA_API_KEY is a common word",
            "the Redis of MATERIA_BROKER_URL at redis asks for no password",
            "the password of Redis in MATERIA_RESULT_BACKEND is a common word",
            ".env.celery: chmod 600",
            "materia doctor",
        ):
            assert part in said, (name, said)
        assert "Traceback" not in said, name


@pytest.mark.usefixtures("umask")
def test_a_stack_in_production_is_refused_before_its_folder_is_made(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path / "data", environment="production", api_key=SecretStr("changeme")
    )
    with pytest.raises(AccessError, match="MATERIA_API_KEY is a common word"):
        up.run(settings, n_workers=1, on_change=lambda *_: None)
    assert list(tmp_path.iterdir()) == []


def test_a_redis_that_takes_anybody_from_anywhere_is_told(
    start_redis: Callable[[], RedisServer], tmp_path: Path
) -> None:
    server = start_redis()
    strong = "q3Vx9mLr2Ztb8NwKd5Yh" * 2
    url = f"redis://127.0.0.1:{server.port}/0"
    settings = Settings(
        environment="production",
        api_key=strong,
        broker_url=url,
        result_backend=url,
        data_dir=tmp_path,
    )
    with server.client() as client:
        client.config_set("protected-mode", "no")
        client.config_set("requirepass", "")
        assert dangers(settings, tmp_path) == []
        client.config_set("bind", "0.0.0.0")
        (danger,) = dangers(settings, tmp_path)
        assert "takes anybody" in danger.what
        client.config_set("protected-mode", "yes")
        assert dangers(settings, tmp_path) == []
