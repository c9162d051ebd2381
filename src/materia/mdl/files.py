"""Read the file of a definition, and nothing that only looks like one."""

from __future__ import annotations

import stat
from pathlib import Path

from materia.errors import DataError
from materia.mdl.yaml import MAX_BYTES

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def read_file(path: Path) -> bytes:
    """Return the content of a file; of one that is too large, one byte more than is allowed.

    `materia.mdl.yaml` refuses that with the limit. A device has no end and a pipe may never
    begin, so neither is opened.

    Raises:
        DataError: There is no such file, or it cannot be read.
    """
    try:
        if (kind := _other_kind(path)) is not None:
            raise DataError(
                f"cannot read '{path}': it is {kind}, not a regular file",
                "save the definition as a file and name that",
            )
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror or error}") from None


def _other_kind(path: Path) -> str | None:
    """Return what a path is when it is no regular file."""
    mode = path.stat().st_mode
    if stat.S_ISREG(mode):
        return None
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "something else")
