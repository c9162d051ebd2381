"""What must not be in production is told all at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from materia.errors import AccessError
from materia.services import safety
from materia.services.safety import (
    FILES,
    LEAST_KEY,
    LEAST_PASSWORD,
    dangers,
    require_safe,
    weakness,
)
from materia.settings import Settings

STRONG = "q3Vx9mLr2Ztb8NwKd5Yh"


def settings(**values: Any) -> Settings:
    strong = {
        "environment": "production",
        "api_key": STRONG * 2,
        "broker_url": f"redis://:{STRONG}@redis:6380/0",
        "result_backend": f"redis://:{STRONG}@redis:6380/1",
        "database_url": f"postgresql://materia:{STRONG}@postgres:5432/materia",
    }
    return Settings(**{**strong, **values})


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "   ",
        "changeme",
        "change-me-please-1234",
        "password",
        "Passw0rd",
        "redis-password",
        "your-secret-key-here-change-me",
        "materia",
        "postgres",
        "aaaaaaaaaaaaaaaaaaaaaaaa",
        "abababababababababababab",
        "q3Vx9mLr",
    ],
)
def test_a_default_an_empty_and_a_weak_secret_are_none(secret: str) -> None:
    assert weakness(secret) is not None


@pytest.mark.parametrize("secret", [STRONG, "a-key-of-thirty-two-characters-0", "9f86d081884c7d65"])
def test_what_a_program_made_is_a_secret(secret: str) -> None:
    assert weakness(secret) is None


def test_strong_settings_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safety, "_is_open", lambda _: False)
    assert dangers(settings(), tmp_path) == []
    assert dangers(settings(api_key=None), tmp_path) == []
    with_sqlite = settings(database_url=None, broker_url="redis://127.0.0.1:1/0")
    assert dangers(with_sqlite, tmp_path) == []


def test_everything_is_told_at_once_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (".env", ".env.celery", ".env.redis", ".env.postgres"):
        (tmp_path / name).write_text("REDIS_PASSWORD=x\n")
        (tmp_path / name).chmod(0o644)
    bad = settings(
        api_key="short",
        broker_url="redis://redis:6379/0",
        result_backend="redis://:redis@other:6379/1",
        database_url="postgresql://materia:materia@postgres/materia",
        ray_address="head:6380",
    )
    with pytest.raises(AccessError) as refused:
        require_safe(bad)
    lines = refused.value.message.splitlines()[1:]
    assert len(lines) == 9
    for part in (
        f"MATERIA_API_KEY has 5 characters, and {LEAST_KEY} are the least",
        "the Redis of MATERIA_BROKER_URL at redis asks for no password",
        "the password of Redis in MATERIA_RESULT_BACKEND is a common word",
        "the password in MATERIA_DATABASE_URL is a common word",
        "Ray cluster is used without token",
        f"every user may read {tmp_path / '.env'}: chmod 600",
        ".env.celery",
        ".env.redis",
        ".env.postgres",
    ):
        assert part in refused.value.message
    assert "short" not in refused.value.message
    require_safe(bad.model_copy(update={"environment": "development"}))


def test_the_numbers_of_the_guide_are_those_of_the_code() -> None:
    guide = " ".join((Path(__file__).parents[3] / "docs" / "keys.md").read_text().split())
    assert f"({LEAST_KEY} characters or more" in guide
    assert f"({LEAST_PASSWORD} or more)" in guide
    assert all(f"`{name}`" in guide for name in FILES)


def test_private_files_are_fine(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("x")
    (tmp_path / ".env").chmod(0o600)
    assert dangers(settings(), tmp_path) == []


def test_an_empty_key_is_told(tmp_path: Path) -> None:
    (danger,) = dangers(settings(api_key=""), tmp_path)
    assert danger.what == "MATERIA_API_KEY is empty"
