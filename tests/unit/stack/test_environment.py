"""What the processes of a stack inherit, and where settings come from."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from materia.errors import MateriaError
from materia.settings import Settings
from materia.stack.environment import (
    absolute_places,
    api_url,
    dashboard_url,
    environment,
    read_settings,
    with_db,
)
from materia.stack.sources import sourced


def test_processes_get_every_setting_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("materia_api_port", "1")
    monkeypatch.setenv("MATERIA_EVENTS_URL", "redis://left-over")
    env = environment(Settings(api_key="k" * 20, api_port=8123, events_url=None), "id")
    assert env["MATERIA_API_PORT"] == "8123"
    assert env["MATERIA_API_KEY"] == "k" * 20
    assert "MATERIA_EVENTS_URL" not in env
    assert "materia_api_port" not in env


def test_what_the_dotenv_file_says_of_celery_reaches_the_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("MATERIA_CELERY_TASK_TIME_LIMIT=7200\nUNRELATED=1\n")
    monkeypatch.chdir(tmp_path)
    env = environment(Settings(), "id")
    assert env["MATERIA_CELERY_TASK_TIME_LIMIT"] == "7200"
    assert "UNRELATED" not in env


def test_numerical_libraries_get_one_thread_unless_the_operator_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    env = environment(Settings(), "id")
    assert (env["OMP_NUM_THREADS"], env["OPENBLAS_NUM_THREADS"]) == ("3", "1")


def test_places_no_longer_depend_on_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = tmp_path.resolve()
    given = Settings(data_dir="data", data_roots="a:/b", database_url="sqlite:///my.db")
    assert absolute_places(given) == {
        "data_dir": here / "data",
        "data_roots": f"{here}/a:/b",
        "database_url": f"sqlite:///{here}/my.db",
    }


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::1", "http://[::1]:8000"),
    ],
)
def test_the_address_of_the_api_can_be_reached(host: str, url: str) -> None:
    assert api_url(Settings(api_host=host)) == url


def test_the_dashboard_is_opened_with_the_key_in_the_fragment() -> None:
    settings = Settings(api_key=SecretStr("a&b c"))
    assert dashboard_url(settings) == "http://127.0.0.1:8000/#key=a%26b+c"
    assert dashboard_url(Settings()) == "http://127.0.0.1:8000"


def test_the_result_backend_lies_beside_the_broker() -> None:
    assert with_db("redis://:pw@host:6380/0", 1) == "redis://:pw@host:6380/1"


def test_a_setting_that_is_not_allowed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATERIA_API_PORT", "http")
    with pytest.raises(MateriaError, match="api_port"):
        read_settings(data_dir=None)


def test_each_setting_tells_its_source_and_hides_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("MATERIA_LEASE_S=7\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(Settings.model_config, "env_file", ".env")
    monkeypatch.setenv("MATERIA_API_KEY", "very-secret")
    monkeypatch.setenv("MATERIA_DATABASE_URL", "postgresql://me:very-secret@host/db")
    settings = Settings(data_dir="d", broker_url="redis://:very-secret@127.0.0.1/0")
    found = sourced(settings, flags={"data_dir"}, decided={"broker_url"})
    sources = {setting.name: setting.source for setting in found}
    assert sources["broker_url"] == "stack"
    assert sources["data_dir"] == "flag"
    assert sources["api_key"] == "environment"
    assert sources["lease_s"] == ".env"
    assert sources["api_port"] == "default"
    assert set(sources) == set(Settings.model_fields)
    assert "very-secret" not in str(found)


def test_processes_read_the_same_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = Settings(
        api_key="k" * 20,
        new_data_dir="inbox",
        new_data_transformations={"filter": {"x": {"in": ["a", 1.5, None]}}},
        database_url="sqlite:////x.db",
    )
    for name, value in environment(given, "id").items():
        monkeypatch.setenv(name, value)
    assert given.new_data_dir == "inbox"
    assert Settings() == given


@pytest.mark.parametrize("url", ["mysql://user:secret@x/db", "x", "postgresqlx://a"])
def test_a_database_that_is_neither_sqlite_nor_postgresql_is_refused_by_its_setting(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MATERIA_DATABASE_URL", url)
    with pytest.raises(MateriaError, match="MATERIA_DATABASE_URL must be") as error:
        read_settings()
    assert "sqlite:////" in error.value.message
    assert "postgresql://" in error.value.message
    assert "secret" not in error.value.message


@pytest.mark.parametrize("url", ["sqlite:///x.db", "postgres://h/d", "postgresql+psycopg://h/d"])
def test_urls_of_known_databases_are_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATERIA_DATABASE_URL", url)
    assert read_settings().database_url == url


def test_a_refused_setting_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATERIA_DATABASE_URL", "mysql://user:secret@x/db")
    with pytest.raises(ValidationError) as error:
        Settings()
    assert "secret" not in str(error.value)
