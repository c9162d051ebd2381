"""Files that tasks may touch: inside the data root or another allowed folder, nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

from materia import settings, visibility
from materia.errors import AccessError, DataError, NotFoundError

MAX_PART_BYTES = 255
"""Of the name of a file or folder, as file systems allow."""
MAX_PATH_BYTES = 4095
ROOTS_HINT = "put it below the data root, or add its folder to MATERIA_DATA_ROOTS"


def resolve(name: str) -> Path:
    """Return the resolved path of a name; a relative one starts at the data root.

    Raises:
        AccessError: Its resolved target lies outside every allowed folder; nothing was read.
        DataError: It is no path.
        NotFoundError: It belongs to another owner than the caller of this request.
    """
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise DataError(
            f"{name!r} is not the path of a file", "give a path below the data root as text"
        )
    config = settings.current()
    if any(len(os.fsencode(part)) > MAX_PART_BYTES for part in Path(name).parts):
        what = f"{name[:40] + '…'!r} has a part that is longer than {MAX_PART_BYTES} bytes"
        raise DataError(what, "no file can be called so; shorten it")
    try:
        target = (config.data_root / name).resolve()
    except (OSError, RuntimeError) as error:  # far too long, or links that lead round in a circle
        raise DataError(f"{name[:40]!r} is no path: {error}"[:200], "name a file") from error
    if len(os.fsencode(target)) > MAX_PATH_BYTES:
        what = f"{name[:40] + '…'!r} is longer than {MAX_PATH_BYTES} bytes with the data root"
        raise DataError(what, "no file can be called so; shorten it")
    if not any(target.is_relative_to(root) for root in config.allowed_roots):
        raise AccessError(f"{name!r} lies outside the folders that tasks may touch", ROOTS_HINT)
    if visibility.is_hidden(target):
        raise NotFoundError(f"there is no file {name!r}", "`materia dataset list` shows the tables")
    return target


def readable(name: str) -> Path:
    """Return the path of an existing ordinary file.

    Raises:
        AccessError, DataError: As of `resolve`.
        DataError: There is no such file, or it is a folder or a device.
    """
    target = resolve(name)
    if not target.is_file():
        what = "is not an ordinary file" if target.exists() else "does not exist"
        raise DataError(f"{name!r} {what}", "a relative path starts at the data root")
    return target


def writable(name: str) -> Path:
    """Return the path of a file that may be written; its folder is made.

    Raises:
        AccessError, DataError: As of `resolve`.
        DataError: It is a folder or a device, or lies below a file.
    """
    target = resolve(name)
    if target.exists() and not target.is_file():
        raise DataError(f"{name!r} is not an ordinary file", "choose another name")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"the folder of {name!r} cannot be made: {error.strerror}") from error
    return target


def shown(path: Path) -> str:
    """Return a path as results show it: relative to the data root where it lies below it."""
    root = settings.current().data_root.resolve()
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
