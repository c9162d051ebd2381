"""The data folder of a stack: who may use it, what lies where, and its secrets."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from materia.errors import AccessError, ConflictError

NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "fuse.sshfs", "fuse.glusterfs", "ceph", "afs")
# `status` takes the lock for an instant in order to look at it.
LOCK_PATIENCE_S = 1.0


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Layout of a data folder: private, used by one stack at a time.

    Args:
        path: Absolute path of the folder.
    """

    path: Path

    @property
    def files(self) -> Path:
        """Files that tasks may touch."""
        return self.path / "files"

    @property
    def artifacts(self) -> Path:
        """Checkpoints and reports."""
        return self.path / "artifacts"

    @property
    def logs(self) -> Path:
        """One log per process."""
        return self.path / "logs"

    @property
    def run(self) -> Path:
        """What processes leave for each other while they run; also their working folder."""
        return self.path / "run"

    @property
    def ray_place(self) -> Path:
        """Where the address of the embedded Ray head is written."""
        return self.run / "ray.json"

    @property
    def redis(self) -> Path:
        """Configuration and data of the embedded Redis."""
        return self.path / "redis"

    @property
    def state(self) -> Path:
        """State file of the stack."""
        return self.path / "stack.json"

    @property
    def lock_file(self) -> Path:
        """Locked for as long as a stack runs; holds its pid."""
        return self.path / "stack.lock"

    def prepare(self) -> None:
        """Make the folder and its parts, readable by their owner only.

        Raises:
            AccessError: When the folder cannot be made or written, or is shared with others.
        """
        self._refuse_shared()
        try:
            for part in (self.path, self.files, self.artifacts, self.logs, self.run, self.redis):
                part.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            probe = self.run / "write-test"
            write_private(probe, "")
            probe.unlink()
        except (FileExistsError, NotADirectoryError) as error:
            where = self.path if self.path.exists() else Path(str(error.filename))
            raise AccessError(
                f"the data folder {self.path} cannot be used: {_file_on_the_way(where)} is a file,"
                " not a folder",
                "choose another one with --data-dir",
            ) from error
        except OSError as error:
            is_owned = error.errno in (errno.EACCES, errno.EPERM)
            raise AccessError(
                f"the data folder {self.path} cannot be used: {error.strerror}",
                "choose another one with --data-dir"
                + (", or become its owner" if is_owned else ""),
            ) from error

    def _refuse_shared(self) -> None:
        own = f"choose a folder of its own: --data-dir {self.path / 'materia-data'}"
        with suppress(FileNotFoundError, NotADirectoryError):
            mode = self.path.stat().st_mode
            if self.path in (Path("/"), Path.home()):
                raise AccessError(f"the data folder {self.path} is used for other things too", own)
            if not stat.S_ISDIR(mode):
                return
            if os.statvfs(self.path).f_flag & os.ST_RDONLY:
                raise AccessError(
                    f"the data folder {self.path} lies on a file system that is mounted read-only",
                    "choose another one with --data-dir",
                )
            if mode & stat.S_ISVTX:
                raise AccessError(
                    f"the data folder {self.path} is shared with others"
                    f" (mode {stat.S_IMODE(mode):o}), and it would be made private",
                    own,
                )

    def refuse_network(self) -> None:
        """Raise `AccessError` on a network file system, whose locks SQLite cannot rely on."""
        kind = file_system(self.path)
        if kind.startswith(NETWORK_FILE_SYSTEMS):
            raise AccessError(
                f"the data folder {self.path} lies on a network file system ({kind}),"
                " on which SQLite can lose data",
                "choose a local folder with --data-dir, or a PostgreSQL server"
                " with MATERIA_DATABASE_URL",
            )

    def lock(self) -> int:
        """Take the folder for this process and return the descriptor that holds it.

        Raises:
            ConflictError: When another stack runs on it; names its pid.
        """
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while not _try_lock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise ConflictError(
                    f"the data folder {self.path} is in use: `materia up` runs with"
                    f" pid {self.holder()}",
                    "stop it with Ctrl-C there, or choose another folder with --data-dir",
                )
            time.sleep(0.05)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    def holder(self) -> int | None:
        """Return the pid of the stack that holds, or held last, the lock."""
        try:
            return int(self.lock_file.read_text())
        except (OSError, ValueError):
            return None

    def is_locked(self) -> bool:
        """Return whether a stack runs on this folder.

        Raises:
            AccessError: When the folder belongs to somebody else.
        """
        try:
            descriptor = os.open(self.lock_file, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise AccessError(
                f"the data folder {self.path} cannot be read: {error.strerror}",
                "ask its owner, or choose another one with --data-dir",
            ) from error
        try:
            return not _try_lock(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)

    def secret(self, name: str) -> str:
        """Return a secret of this folder, made at the first call."""
        path = self.path / "secrets" / name
        with suppress(FileNotFoundError):
            if kept := path.read_text().strip():
                path.chmod(0o600)
                return kept
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_private(path, secrets.token_urlsafe(32) + "\n")
        return path.read_text().strip()


def _file_on_the_way(path: Path) -> Path:
    """Return the part of a path that is there and is no folder, else the path itself."""
    return next((p for p in (path, *path.parents) if p.exists() and not p.is_dir()), path)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, readable by its owner only."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def file_system(path: Path) -> str:
    """Return the kind of file system that `path` lies on; empty where that cannot be known."""
    if sys.platform != "linux":
        return ""
    best, kind = "", ""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        mount = fields.split()[4].encode().decode("unicode_escape")
        inside = path == Path(mount) or Path(mount) in path.parents
        # Of two mounts at one place the later one hides the earlier one.
        if inside and len(mount) >= len(best):
            best, kind = mount, rest.split()[0]
    return kind
