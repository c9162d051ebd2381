"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from materia.errors import DataError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name to write to; it takes the place of `path` when all went well.

    Raises:
        DataError: The folder cannot be written; the old file is untouched and nothing is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(
            f"cannot write '{path.name}': {reason}", "free space or name another folder"
        ) from None
    finally:
        # Gone already when all went well; ours to clean up when the disk was full.
        if temporary.is_file():
            temporary.unlink()
