"""The data folder is private, used by one stack at a time, and keeps its secrets."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from materia.errors import AccessError, ConflictError
from materia.stack import folder as folders
from materia.stack.folder import DataFolder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_and_its_secrets_are_for_their_owner_only(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.prepare()
    folder.secret("api_key")
    assert mode(folder.path) == 0o700
    assert mode(folder.path / "secrets") == 0o700
    assert mode(folder.path / "secrets" / "api_key") == 0o600


def test_a_secret_is_made_once(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    assert folder.secret("api_key") == folder.secret("api_key") != folder.secret("redis_password")


def test_a_second_stack_is_refused_and_told_who_has_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "LOCK_PATIENCE_S", 0)
    folder = DataFolder(tmp_path)
    held = folder.lock()
    assert folder.is_locked()
    with pytest.raises(ConflictError, match=f"pid {os.getpid()}"):
        folder.lock()
    os.close(held)
    assert not folder.is_locked()
    os.close(folder.lock())


def test_a_file_in_the_place_of_the_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(AccessError, match=r"data folder .*/data cannot be used"):
        DataFolder(tmp_path / "data").prepare()


@pytest.mark.parametrize("below", ["", "inside", "deep/inside"])
def test_a_file_is_told_from_a_folder(tmp_path: Path, below: str) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(AccessError, match=r"/data is a file, not a folder"):
        DataFolder(tmp_path / "data" / below).prepare()


def test_a_folder_that_cannot_be_written_is_a_clear_error() -> None:
    # Nobody can make a folder there, root included; nor would becoming its owner help.
    with pytest.raises(AccessError, match="cannot be used") as error:
        DataFolder(Path("/proc/materia")).prepare()
    assert error.value.hint == "choose another one with --data-dir"


def test_a_folder_shared_by_everybody_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(AccessError, match=r"shared with others \(mode 1777\)"):
        DataFolder(shared).prepare()
    assert mode(shared) == 0o1777


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "file_system", lambda _: "nfs4")
    with pytest.raises(AccessError, match="nfs4") as error:
        DataFolder(tmp_path).refuse_network()
    assert "MATERIA_DATABASE_URL" in str(error.value.hint)


def test_the_file_system_of_a_folder_is_known() -> None:
    assert folders.file_system(Path("/proc/self")) == "proc"


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "state"
    folders.write_private(path, "old")
    folders.write_private(path, "new")
    assert path.read_text() == "new"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]
