"""A folder into which people drop tables: what is new, what still grows, and where it goes then.

What is known of a table goes by its content, not by its name: the ledger is the caller's and holds
SHA-256 digests. A file stays in the folder until its fate is in the ledger; it then moves to `done`
or `failed` below the folder. Whoever is killed on the way leaves the file in one of these places,
and the next look finishes what was begun.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Container, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from materia.data.limits import MAX_NAME_BYTES
from materia.errors import DataError, NotFoundError

DONE = "done"
FAILED = "failed"
BLOCK_BYTES = 8 * 2**20

Progress = Callable[[float, float | None, str], None]
Stamp = tuple[int, int, int, int]
"""Inode, size, and the times of the last change of content and of anything, in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A whole file in the folder.

    Attributes:
        stamp: Tells whether it is still the file that was read.
    """

    name: str
    sha256: str
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Look:
    """What lies in the folder, each list by name.

    Attributes:
        new: Content that the ledger does not hold; to be worked on.
        known: Content that the ledger holds: being worked on, or left behind by a move that was
            interrupted, or brought once more.
        doubles: Content that one of `new` holds as well; known at the next look.
        growing: Names of files that changed while they were watched.
        refused: Why other files named ``*.csv`` are not taken.
    """

    new: list[Arrival] = field(default_factory=list)
    known: list[Arrival] = field(default_factory=list)
    doubles: list[Arrival] = field(default_factory=list)
    growing: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def look(
    folder: Path,
    ledger: Container[str],
    *,
    settle_s: float,
    pause: Callable[[float], None],
    progress: Progress,
) -> Look:
    """Sort the tables of a folder into new ones, known ones and ones that still grow.

    Changes nothing. Only regular files named ``*.csv`` are read, in any case of letters; links,
    devices, hidden files and subfolders are not.

    Args:
        ledger: Digests of the content that was taken before.
        settle_s: How long a file must not have changed to count as whole.
        pause: Waits for that long, as `time.sleep` does; not called when there is no file.
        progress: Called with bytes read so far and in all.

    Raises:
        NotFoundError: There is no such folder.
        DataError: It cannot be listed.
    """
    found = Look()
    before = _stamps(folder, found)
    if not before:
        return found
    pause(settle_s)
    now = _stamps(folder, found)
    whole = {name: stamp for name, stamp in now.items() if before.get(name) == stamp}
    found.growing.extend(name for name in now if name not in whole)
    reading = _Reading(sum(size for _, size, _, _ in whole.values()), progress)
    new: set[str] = set()
    for name, stamp in whole.items():
        digest = _digest(folder / name, stamp, reading, found)
        if digest is None:
            continue
        arrival = Arrival(name, digest, stamp)
        if digest in ledger:
            found.known.append(arrival)
        elif digest in new:
            found.doubles.append(arrival)
        else:
            found.new.append(arrival)
            new.add(digest)
    found.growing.sort()
    return found


def move_done(folder: Path, arrival: Arrival) -> Path | None:
    """Move a file to `done`, and return where it is now.

    A name that is taken there gets a number: ``orders-1.csv``.

    Returns:
        None when the file is gone or is another one by now: it was left alone, and the next look
        sorts it in.

    Raises:
        DataError: It cannot be moved.
    """
    return _move(folder, arrival, DONE, None)


def move_failed(folder: Path, arrival: Arrival, reason: str) -> Path | None:
    """Move a file to `failed` and say why in ``<name>.reason.txt`` beside it; as `move_done`."""
    return _move(folder, arrival, FAILED, reason)


def _stamps(folder: Path, found: Look) -> dict[str, Stamp]:
    """Return the files that may be taken, by name; the others are noted as refused."""
    stamps: dict[str, Stamp] = {}
    try:
        names = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        raise NotFoundError(
            f"there is no folder '{folder}' for new data", "make it, or name another one"
        ) from None
    except OSError as error:
        raise _unusable(folder, error) from None
    for name in names:
        if not _is_table(name):
            continue
        with suppress(FileNotFoundError):
            status = (folder / name).lstat()
            fault = _fault(name, status)
            if fault:
                found.refused[name if name.isprintable() else ascii(name)] = fault
            else:
                stamps[name] = _stamp(status)
    return stamps


def _is_table(name: str) -> bool:
    return name.lower().endswith(".csv") and not name.startswith(".")


def _fault(name: str, status: os.stat_result) -> str | None:
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    # The system allows any bytes, some of which are no text that a database or JSON can hold.
    if not name.isprintable():
        return "its name is not printable text"
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        return f"its name is longer than {MAX_NAME_BYTES} bytes"
    return None


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _digest(path: Path, stamp: Stamp, reading: _Reading, found: Look) -> str | None:
    """Return the digest of a file, or note why there is none."""
    try:
        digest = reading.digest(path, stamp)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno is None:
            raise  # not the system's, but a signal's exception
        found.refused[path.name] = f"cannot be read: {error.strerror}"
        return None
    if digest is None:
        found.growing.append(path.name)
    return digest


class _Reading:
    """Reads files for their digests and reports how far it is over all of them."""

    def __init__(self, n_bytes: int, progress: Progress) -> None:
        self._n_bytes = n_bytes
        self._progress = progress
        self._n_read = 0

    def digest(self, path: Path, stamp: Stamp) -> str | None:
        """Return the SHA-256 of a file, or None when it is not the one with this stamp."""
        # What was a file a moment ago may have become a link, or a pipe that never ends.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(fd, "rb", buffering=0) as file:
            digest = hashlib.sha256()
            while _stamp(os.fstat(fd)) == stamp:
                block = file.read(BLOCK_BYTES)
                if not block:
                    return digest.hexdigest()
                digest.update(block)
                self._n_read += len(block)
                self._progress(self._n_read, self._n_bytes, f"reading '{path.name}'")
        return None


def _move(folder: Path, arrival: Arrival, place: str, reason: str | None) -> Path | None:
    # It may have travelled through a message.
    if "/" in arrival.name or not (_is_table(arrival.name) and arrival.name.isprintable()):
        raise DataError(f"{arrival.name!r} is no name of a file in '{folder}'")
    source = folder / arrival.name
    try:
        if _stamp(source.lstat()) != arrival.stamp:
            return None
        opened = _open_place(folder / place)
        for target in (opened / name for name in numbered(arrival.name)):
            if _is_another(target, source):
                continue
            if reason is not None:
                _write_whole(target.with_name(f"{target.name}.reason.txt"), f"{reason}\n")
            with suppress(FileExistsError):
                _carry(source, target)
                return target
    except FileNotFoundError:
        return None  # somebody else has moved it
    except OSError as error:
        raise _unusable(folder / place, error) from None
    return None


def _open_place(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    if path.is_symlink():
        raise DataError(f"'{path}' is a link, and files would leave the folder", "remove the link")
    return path


def numbered(name: str) -> Iterator[str]:
    """Yield names for a file, of which the first free one is taken: a.csv, a-1.csv, a-2.csv …"""
    yield name
    stem, suffix = name[: -len(".csv")], name[-len(".csv") :]
    for number in count(1):
        yield f"{stem}-{number}{suffix}"


def _is_another(target: Path, source: Path) -> bool:
    """Whether another file has the name; the file itself has it after an interrupted move."""
    return os.path.lexists(target) and not os.path.samestat(target.lstat(), source.lstat())


def _carry(source: Path, target: Path) -> None:
    """Move a file, never over another one; interrupted, it has both names.

    Raises:
        FileExistsError: Another file has just taken the name.
    """
    if not os.path.lexists(target):
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            source.rename(target)  # a file system without links
    _sync(target.parent)
    # A new file of this name may have come meanwhile.
    if os.path.lexists(source) and not _is_another(target, source):
        source.unlink()
    _sync(source.parent)


def _write_whole(path: Path, text: str) -> None:
    # Always the same name, so that the next try takes away what a killed one left.
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _unusable(folder: Path, error: OSError) -> Exception:
    if error.errno is None:
        return error  # not the system's, but a signal's exception
    return DataError(f"cannot use the folder '{folder}': {error.strerror}", "check its permissions")
