"""Paths that tasks are given: inside the allowed folders, nowhere else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from materia import settings
from materia.errors import AccessError, DataError
from materia.evaluators.places import Places
from materia.services import files


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("MATERIA_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("MATERIA_DATA_ROOTS", str(tmp_path / "shared"))
    settings.current.cache_clear()
    root = tmp_path / "data" / "files"
    root.mkdir(parents=True)
    (tmp_path / "shared").mkdir()
    (tmp_path / "secret.csv").write_text("x\n1\n")
    yield root
    settings.current.cache_clear()


def test_a_relative_path_starts_at_the_data_root(root: Path) -> None:
    (root / "a.csv").write_text("x\n1\n")
    assert files.readable("a.csv") == root / "a.csv"
    assert files.readable(str(root / "a.csv")) == root / "a.csv"
    assert files.shown(root / "a.csv") == "a.csv"


def test_another_allowed_folder_is_fine(root: Path, tmp_path: Path) -> None:
    (tmp_path / "shared" / "b.csv").write_text("x\n")
    assert files.readable(str(tmp_path / "shared" / "b.csv")).name == "b.csv"
    assert files.shown(tmp_path / "shared" / "b.csv") == str(tmp_path / "shared" / "b.csv")


@pytest.mark.parametrize("name", ["../../secret.csv", "/etc/passwd", "x/../../../secret.csv"])
@pytest.mark.parametrize("find", [files.readable, files.writable])
def test_a_path_outside_is_refused(root: Path, find: object, name: str) -> None:
    with pytest.raises(AccessError, match="MATERIA_DATA_ROOTS"):
        find(name)  # type: ignore[operator]


def test_a_link_is_judged_by_its_target(root: Path, tmp_path: Path) -> None:
    (root / "link.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(AccessError):
        files.readable("link.csv")
    with pytest.raises(AccessError):
        files.writable("link.csv")


@pytest.mark.parametrize("name", ["", " ", "a\0b", None, 3])
def test_what_is_no_path_is_refused(root: Path, name: object) -> None:
    with pytest.raises(DataError):
        files.readable(name)  # type: ignore[arg-type]


def test_what_cannot_even_be_looked_at_is_refused(root: Path) -> None:
    (root / "a").symlink_to(root / "b")
    (root / "b").symlink_to(root / "a")
    for name in ("a/x.csv", "x" * 300, "y/" * 3000 + "z.csv"):
        with pytest.raises(DataError):
            files.readable(name)
        with pytest.raises(DataError):
            Places.of([root]).find(name)


def test_folders_devices_and_missing_files_are_told_apart(root: Path) -> None:
    (root / "folder").mkdir()
    os.mkfifo(root / "pipe")
    with pytest.raises(DataError, match="not an ordinary file"):
        files.readable("folder")
    with pytest.raises(DataError, match="not an ordinary file"):
        files.writable("pipe")
    with pytest.raises(DataError, match="does not exist"):
        files.readable("none.csv")


def test_the_folder_of_an_output_is_made(root: Path) -> None:
    assert files.writable("new/deep/out.csv").parent.is_dir()
    (root / "file").write_text("")
    with pytest.raises(DataError):
        files.writable("file/out.csv")
