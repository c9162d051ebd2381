"""Datasets that are sent: received in a folder of their own, looked at, and put in place whole.

What did not become a dataset leaves nothing behind; what a killed server left is cleared away a day
later, by the next upload.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from materia import settings
from materia.errors import AccessError, ConflictError, DataError, StateError
from materia.services import datasets, files
from materia.services.arguments import TABLES
from materia.services.idempotency import Once
from materia.services.work import unit_of_work
from materia.store import datasets as rows
from materia.store.database import database

FOLDER = ".uploads"
ABANDONED_S = 86_400.0
LONGEST_NAME = 255

Row = dict[str, Any]


@dataclass(slots=True)
class Arrival:
    """A dataset on its way in.

    Args:
        target: Where it will stand.
        file: Where it is received, under the same name.
    """

    target: Path
    file: Path
    size: int = 0
    _digest: Any = field(default_factory=hashlib.sha256)
    _open: BinaryIO | None = None

    def write(self, content: bytes) -> None:
        """Append a piece.

        Raises:
            StateError: There is no room for it.
        """
        try:
            self._open = self._open or self.file.open("wb")
            self._open.write(content)
        except OSError as error:
            raise _unwritten(error) from error
        self._digest.update(content)
        self.size += len(content)

    @property
    def sha256(self) -> str:
        """Hash of what has come."""
        return str(self._digest.hexdigest())

    def complete(self) -> None:
        """Make what has come durable; nothing comes after it."""
        self.write(b"")
        assert self._open is not None
        try:
            self._open.flush()
            os.fsync(self._open.fileno())
        except OSError as error:
            raise _unwritten(error) from error
        finally:
            self._open.close()

    def close(self) -> None:
        """Take away what is left of it."""
        if self._open is not None:
            self._open.close()
        shutil.rmtree(self.file.parent, ignore_errors=True)


def begin(name: str, size: int | None, *, replace: bool) -> Arrival:
    """Prepare for a dataset.

    Args:
        name: Path below the data root that it will have.
        size: Bytes that were announced.
        replace: Whether it may take the place of another one.

    Raises:
        AccessError: It would lie outside the data root.
        DataError: It would be no dataset there.
        ConflictError: There is another one already.
    """
    target = _target(name)
    if not replace and size is not None and target.exists() and target.stat().st_size != size:
        raise _taken(target)
    waiting = settings.current().data_root.resolve() / FOLDER
    _clear(waiting)
    file = waiting / uuid.uuid4().hex / target.name
    try:
        file.parent.mkdir(parents=True)
    except OSError as error:
        raise _unwritten(error) from error
    return Arrival(target, file)


def keep(arrival: Arrival, *, replace: bool, delimiter: str = ",", once: Once | None = None) -> Row:
    """Make a complete arrival a dataset and return what is in it, as `datasets.describe` does.

    The same content in the same place is not another dataset.

    Raises:
        DataError: It is no table; says why. Nothing was stored.
        ConflictError: There is another one already.
    """
    if not arrival.size:
        raise DataError("the body is empty", "send the file itself as the body")
    found = datasets.describe(str(arrival.file), delimiter)
    found |= {"path": files.shown(arrival.target), "sha256": arrival.sha256}
    found["inode"] = arrival.file.stat().st_ino
    if once is None:
        _put(arrival, replace=replace)
    else:
        with unit_of_work() as work:
            # A file of a request whose answer was lost is found in its place, and is the same.
            if once.keep(work, {"path": found["path"]}) is None:
                _put(arrival, replace=replace)
    return _kept(arrival.target, found)


def _kept(target: Path, found: Row) -> Row:
    """Keep what was seen; a file of the same content that lay there before stays its owner's."""
    inode = found.pop("inode")
    try:
        stat = target.stat()
    except FileNotFoundError:  # sent again after it was deleted
        return datasets.listed(found, is_upload=False)
    is_ours = stat.st_ino == inode
    found["changed_at"] = stat.st_mtime
    with database().read() as connection:
        known = rows.get(connection, found["path"])
    if known is not None and datasets.is_same(known, found):
        is_ours = is_ours or known["is_upload"]
    datasets.keep(found, is_upload=is_ours)
    return datasets.listed(found, is_upload=is_ours)


def _target(name: str) -> Path:
    target, root = files.resolve(name), settings.current().data_root.resolve()
    if not target.is_relative_to(root):
        raise AccessError(
            f"{name!r} lies outside the data root", "name a path below it, such as alloys.csv"
        )
    places = target.relative_to(root).parts
    if not target.name.lower().endswith(TABLES):
        raise DataError(
            f"the ending of {target.name!r} names no kind of table",
            f"allowed: {', '.join(TABLES)}",
        )
    if any(place.startswith(".") for place in places) or places[0] in datasets.LEFT_OUT:
        raise DataError(
            f"{name!r} is no place for a dataset",
            f"hidden folders and {', '.join(sorted(datasets.LEFT_OUT))} hold other things",
        )
    if any(len(place.encode()) > LONGEST_NAME for place in places):
        raise DataError(f"a name in the path has more than {LONGEST_NAME} bytes", "shorten it")
    if target.exists() and not target.is_file():
        raise DataError(f"{name!r} is not an ordinary file", "choose another name")
    return target


def _put(arrival: Arrival, *, replace: bool) -> None:
    target = files.writable(str(arrival.target))
    try:
        if replace:
            arrival.file.replace(target)
        else:
            _link(arrival, target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _unwritten(error) from error


def _link(arrival: Arrival, target: Path) -> None:
    """Give the file its name, but not one that another file has."""
    try:
        os.link(arrival.file, target)
    except FileExistsError:
        if not _is_same(arrival, target):
            raise _taken(target) from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        if target.exists() and not _is_same(arrival, target):
            raise _taken(target) from None
        arrival.file.rename(target)  # a file system without links


def _is_same(arrival: Arrival, target: Path) -> bool:
    if target.stat().st_size != arrival.size:
        return False
    with target.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == arrival.sha256


def _taken(target: Path) -> ConflictError:
    return ConflictError(
        f"there is another dataset {files.shown(target)!r}",
        "choose another name, or say that it is to be replaced",
    )


def _unwritten(error: OSError) -> StateError:
    return StateError(
        f"the file cannot be stored: {error.strerror or error}",
        "make room on the disk of the data folder, and see that the server may write there",
    )


def _clear(folder: Path) -> None:
    """Remove what was abandoned."""
    if not folder.is_dir():
        return
    for left in folder.iterdir():
        try:
            is_old = time.time() - left.stat().st_mtime > ABANDONED_S
        except FileNotFoundError:  # another upload has just ended
            continue
        if is_old:
            shutil.rmtree(left, ignore_errors=True)
