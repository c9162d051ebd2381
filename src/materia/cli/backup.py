"""`materia backup` and `materia restore`: one archive of everything that is kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO, Annotated

import typer

from materia.errors import AccessError, ConflictError, MateriaError
from materia.services import backup as archives
from materia.settings import Settings
from materia.stack.environment import absolute_places, read_settings
from materia.stack.folder import DataFolder

STANDARD = Path("-")
DataDir = Annotated[
    Path | None, typer.Option(help="folder given to `materia up` [default: materia-data]")
]


def backup(
    file: Annotated[Path, typer.Argument(help="a new file, or - for standard output")],
    data_dir: DataDir = None,
) -> None:
    """Write rows, files, checkpoints and secrets to a file; the stack may run meanwhile."""
    config = _settings(data_dir)
    if file == STANDARD:
        _told(archives.save(config.database, config.data_dir, sys.stdout.buffer), "saved")
        return
    new = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        if file.exists():
            raise ConflictError(f"{file} exists already", "give the name of a new file")
        with _private(new) as output:
            counts = archives.save(config.database, config.data_dir, output)
            os.fsync(output.fileno())
        new.rename(file)
    finally:
        new.unlink(missing_ok=True)
    _told(counts, "saved")


def restore(
    file: Annotated[
        Path, typer.Argument(help="what `materia backup` wrote, or - for standard input")
    ],
    data_dir: DataDir = None,
) -> None:
    """Restore a backup onto an empty data folder and an empty database."""
    config = _settings(data_dir)
    if DataFolder(config.data_dir).is_locked():
        raise ConflictError(f"a stack runs on {config.data_dir}", "stop it, or give another folder")
    # What comes back is as private as it was.
    before = os.umask(0o077)
    try:
        if file == STANDARD:
            counts = archives.restore(config.database, config.data_dir, sys.stdin.buffer)
        else:
            counts = _restored(file, config)
    finally:
        os.umask(before)
    _told(counts, "restored")


def _restored(file: Path, config: Settings) -> dict[str, int]:
    try:
        with file.open("rb") as given:
            return archives.restore(config.database, config.data_dir, given)
    except OSError as error:
        raise MateriaError(f"{file} cannot be read: {error.strerror}") from error


def _settings(data_dir: Path | None) -> Settings:
    given = read_settings(data_dir=data_dir)
    return given.model_copy(update=absolute_places(given))


def _private(path: Path) -> IO[bytes]:
    """Open a file that only its owner may read: an archive holds secrets."""
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except OSError as error:
        raise AccessError(f"{path.parent} cannot be written: {error.strerror}") from error


def _told(counts: dict[str, int], what: str) -> None:
    typer.echo(f"{what}: {counts['rows']} rows, {counts['files']} files", err=True)
