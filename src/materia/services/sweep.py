"""Delete files below folders of our own, without ever leaving them.

Everything is done relative to open folders, so that a link put in the place of one in between leads
nowhere. Links are never followed; one that lies in a folder that goes is deleted itself.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


@dataclass(slots=True)
class Freed:
    """What was deleted so far.

    Attributes:
        space: Bytes.
    """

    files: int = 0
    space: int = 0

    def file(self, name: str, folder: int, older_than: float) -> bool:
        """Delete an ordinary file that was not written to since a time; False when it stays."""
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode) or found.st_mtime >= older_than:
                return False
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            return False
        self.files += 1
        self.space += found.st_size
        return True

    def tree(self, name: str, folder: int, older_than: float) -> bool:
        """Delete a folder in which nothing was written since a time; False when it stays."""
        try:
            if _newest(name, folder) >= older_than:
                return False
            for _, folders, names, inner in os.fwalk(name, topdown=False, dir_fd=folder):
                for one in names:
                    self._unlink(one, inner)
                for one in folders:
                    self._rmdir(one, inner)
            os.rmdir(name, dir_fd=folder)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            # Something was put there meanwhile: it is in use after all.
            return False
        return True

    def _unlink(self, name: str, folder: int) -> None:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        os.unlink(name, dir_fd=folder)
        self.files += 1
        self.space += found.st_size

    def _rmdir(self, name: str, folder: int) -> None:
        try:
            os.rmdir(name, dir_fd=folder)
        except NotADirectoryError:
            self._unlink(name, folder)


def _newest(name: str, folder: int) -> float:
    """Return when something in a folder was written last; raises when it is no folder."""
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(name)
    newest = found.st_mtime
    for _, folders, names, inner in os.fwalk(name, dir_fd=folder):
        for one in (*folders, *names):
            with suppress(FileNotFoundError):
                at = os.stat(one, dir_fd=inner, follow_symlinks=False).st_mtime
                newest = max(newest, at)
    return newest


@contextmanager
def opened(path: Path) -> Iterator[int | None]:
    """Yield a descriptor of a folder; None where there is none, or a link in its place."""
    try:
        descriptor = os.open(path, OPEN)
    except (FileNotFoundError, NotADirectoryError, OSError):
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def folders_below(root: Path) -> Iterator[tuple[int, list[str], list[str]]]:
    """Yield every folder of a tree as a descriptor with the names of its folders and its files.

    What the caller takes out of the list of folders is not entered. Links are not followed.
    """
    with opened(root) as descriptor:
        if descriptor is None:
            return
        for _, folders, names, inner in os.fwalk(".", dir_fd=descriptor):
            yield inner, folders, names
