"""What `materia doctor` says of folders and files; servers are examined in integration tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from materia.settings import Settings
from materia.stack import checks, folder, state
from materia.stack.checks import Check, Place
from materia.store import migrate


def place(path: Path, *, has_own_broker: bool = False, **settings: object) -> Place:
    return Place(Settings(data_dir=path, **settings), state.look(path), has_own_broker)


def only(found: object) -> Check:
    (check,) = list(found)  # type: ignore[call-overload]
    return check


def test_a_private_folder_is_fine(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert only(checks.data_folder(place(tmp_path))).level == "ok"


def test_a_folder_open_to_others_is_noticed_with_its_fix(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    check = only(checks.data_folder(place(tmp_path)))
    assert (check.level, check.fix) == ("warn", f"chmod 700 {tmp_path}")


def test_a_secret_that_others_may_read_is_noticed(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "stack.json").touch(mode=0o644)
    assert "stack.json" in only(checks.data_folder(place(tmp_path))).message


def test_a_folder_on_a_network_file_system_fails_with_sqlite_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr(checks, "file_system", lambda _: folder.NETWORK_FILE_SYSTEMS[0])
    assert only(checks.data_folder(place(tmp_path))).level == "fail"
    elsewhere = place(tmp_path, database_url="postgresql://host/db")
    assert only(checks.data_folder(elsewhere)).level == "ok"


def test_a_folder_that_cannot_be_made_fails() -> None:
    assert only(checks.data_folder(place(Path(sys.executable) / "data"))).level == "fail"


def test_an_extra_that_is_missing_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "EXTRAS", {"ase": "no_such_module"})
    assert only(checks.extras(place(tmp_path))).fix == "pip install 'materia[ase]'"


def test_an_older_schema_is_noticed(tmp_path: Path) -> None:
    where = place(tmp_path)
    assert only(checks.database(where)).level == "ok"
    migrate.upgrade(where.settings.database)
    assert only(checks.database(where)).level == "ok"
    other = place(tmp_path, database_url=f"sqlite:///{tmp_path / 'other.db'}")
    (tmp_path / "other.db").touch()
    assert only(checks.database(other)).level == "warn"


def test_an_address_that_is_no_broker_says_how_one_is_written(tmp_path: Path) -> None:
    where = place(tmp_path, has_own_broker=True, broker_url="http://:secret@127.0.0.1:80")
    check = only(checks.broker(where))
    assert check.level == "fail"
    assert "is no address of a Redis" in check.message
    assert "secret" not in check.message
    assert check.fix == "write MATERIA_BROKER_URL as redis://:password@host:6379/0"
    assert only(checks.workers(where)).level == "fail"


def test_nothing_is_asked_of_a_database_that_will_only_be_made(tmp_path: Path) -> None:
    where = place(tmp_path, has_own_broker=True)
    assert only(checks.database(where)).level == "ok"
    assert list(checks.scheduler(where)) == []
    assert not (tmp_path / "materia.db").exists()


def test_a_check_that_breaks_has_failed_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> Path:
        raise RuntimeError("redis://:secret@host refused")

    monkeypatch.setattr(checks, "find_server", broken)
    monkeypatch.setattr(checks, "is_free", lambda *_: True)
    found = {check.name: check for check in checks.examine(place(tmp_path))}
    assert found["redis server"].level == "fail"
    assert "secret" not in found["redis server"].message
    assert found["port"].level == "ok"
