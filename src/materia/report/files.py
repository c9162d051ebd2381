"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from materia.errors import DataError


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file so that it is either the old or the new one, also after a power cut.

    Raises:
        DataError: It cannot be written; the old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise unwritable(path.parent, error) from None
    finally:
        # Gone already when all went well; ours to clean up when the disk was full.
        if temporary.is_file():
            temporary.unlink()


@contextmanager
def made_whole(path: Path) -> Iterator[Path]:
    """Provide a folder beside a file in which to make it, by the same name; then put it in place.

    Raises:
        DataError: It cannot be written; the old file is untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            made = Path(folder) / path.name
            yield made.parent
            with made.open("rb") as file:
                os.fsync(file.fileno())
            made.replace(path)
    except OSError as error:
        raise unwritable(path.parent, error) from None


def unwritable(folder: Path, error: OSError) -> DataError:
    """Return the error that says why a folder cannot be written."""
    reason = error.strerror or str(error)
    return DataError(f"cannot write to '{folder}': {reason}", "name another folder")
