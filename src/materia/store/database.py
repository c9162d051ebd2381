"""The database: one engine a process, short reads, guarded writes. SQLite or PostgreSQL."""

from __future__ import annotations

import math
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from typing import Any

import orjson
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Dialect,
    Double,
    Engine,
    bindparam,
    cast,
    create_engine,
    event,
    select,
)
from sqlalchemy import Table as SqlTable
from sqlalchemy import exc as sql_errors
from sqlalchemy import extract as sql_extract
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql import func

from materia import settings
from materia.errors import DefinitionError, MissingExtraError, TransientError

BUSY_TIMEOUT_S = 15.0
# A silent network must not hang a worker's parent for longer than the lease of its jobs.
POSTGRES_OPTIONS = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
}
# A connection that was used so recently is taken to be alive.
PING_AFTER_S = 1.0
USED_AT = "materia_used_at"
# Errors that waiting can heal.
PASSING = (sql_errors.OperationalError, sql_errors.InterfaceError, sql_errors.TimeoutError)
# Marks a connection that only reads; on SQLite it then begins no transaction.
READS = "materia_reads"


def _dumps(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def driver_of(connection: Connection) -> Any:
    """Return the driver's connection, which is in the same transaction."""
    return connection.connection.driver_connection


class Database:
    """Connections to one database.

    Reads run in autocommit mode, so that no snapshot is held open; writes run in one transaction
    that takes the write lock at its start (``BEGIN IMMEDIATE`` on SQLite).
    """

    def __init__(self, url: str) -> None:
        self.url = _parse(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.url.drivername in {"postgresql", "postgres"}:
            self.url = self.url.set(drivername="postgresql+psycopg")
        self.engine = self._create_engine()
        reading = {READS: True} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        # Prepared statements meet the driver's own errors, all others SQLAlchemy's.
        dbapi: Any = self.engine.dialect.loaded_dbapi
        self._passing = (*PASSING, dbapi.OperationalError)
        self._kept = _Kept()
        self._reader = self.engine.execution_options(**reading)

    def _create_engine(self) -> Engine:
        options: dict[str, Any] = {"json_serializer": _dumps, "json_deserializer": orjson.loads}
        if self.is_sqlite:
            options["connect_args"] = {"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
        else:
            options["connect_args"] = POSTGRES_OPTIONS
        try:
            engine = create_engine(self.url, pool_size=8, max_overflow=32, **options)
        except ModuleNotFoundError as error:
            raise MissingExtraError("postgres", "A PostgreSQL database") from error
        if self.is_sqlite:
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_immediate)
        else:
            event.listen(engine, "checkin", _note_use)
            event.listen(engine, "checkout", partial(_ping_idle, engine.dialect))
        return engine

    def now(self) -> ColumnElement[float]:
        """Return the present time as SQL: the server's on PostgreSQL, so that hosts may differ.

        On SQLite the clock is read when the statement runs, so that a statement can be built once.
        """
        if self.is_sqlite:
            return bindparam(None, callable_=time.time, type_=Double(), unique=True)
        return cast(sql_extract("epoch", func.clock_timestamp()), Double)

    def time(self, connection: Connection) -> float:
        """Return the present time by the clock of the database."""
        return float(connection.execute(select(self.now())).scalar_one())

    def insert(self, table: SqlTable) -> sqlite.Insert | postgresql.Insert:
        """Return an insert that knows ``on_conflict_do_nothing``."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection whose every statement sees the latest committed state."""
        with self._translated(), _forks.away(), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a connection in a write transaction; committed unless an error leaves it."""
        with self._translated(), _forks.away(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def alone(self) -> Iterator[Any]:
        """Yield the connection of the driver that this thread keeps, for one `Reported` change.

        Such a change is a transaction by itself on PostgreSQL, and gets one on SQLite. Neither
        the pool nor SQLAlchemy's transactions are passed: together they cost more than the change.
        """
        with self._translated(), _forks.away():
            try:
                driver = self._kept.connection(self.engine)
                if self.is_sqlite:
                    _begin_soon(driver)
                yield self._kept
                if self.is_sqlite:
                    driver.execute("COMMIT")
            except BaseException:
                # Whatever the state is that it was left in, the next change begins afresh.
                self._kept.drop()
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn errors that waiting can heal into `TransientError`."""
        try:
            yield
        except self._passing as error:
            raise TransientError(
                f"the database did not answer: {getattr(error, 'orig', error)}",
                "check that it runs and that its disk is not full; `materia doctor` tells",
            ) from error

    def close(self) -> None:
        """Give all connections back, of other threads only those that they do not use."""
        self._kept.drop()
        self.engine.dispose()


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() in {"sqlite", "postgresql", "postgres"}:
            return parsed
    except sql_errors.ArgumentError:
        pass
    raise DefinitionError(
        "the URL of the database is not one of SQLite or PostgreSQL",
        "set MATERIA_DATABASE_URL to sqlite:////folder/materia.db or "
        "postgresql://user:password@host:5432/name",
    )


def _prepare_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    # The driver's own implicit transactions would start as readers and fail to upgrade.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    # In WAL mode NORMAL survives the death of any process; a power cut may cost the last commits.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    # A checkpoint waits for the disk: fewer and larger ones.
    cursor.execute("PRAGMA wal_autocheckpoint = 4000")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    if not connection.get_execution_options().get(READS):
        # Straight to the driver: SQLAlchemy's way costs ten times as much.
        driver_of(connection).execute("BEGIN IMMEDIATE")


class _Kept(threading.local):
    """A connection of the driver that one thread keeps to itself."""

    driver: Any = None
    used_at = 0.0

    def __init__(self) -> None:
        self._cursors: dict[str, Any] = {}

    def execute(self, text: str, values: Any) -> Any:
        """Execute a statement on a cursor of its own, which keeps how to convert its values."""
        cursor = self._cursors.get(text)
        if cursor is None:
            cursor = self._cursors[text] = self.driver.cursor()
        return cursor.execute(text, values)

    def connection(self, engine: Engine) -> Any:
        """Return the connection, made anew when it broke while nobody used it."""
        now = time.monotonic()
        if self.driver is not None and now - self.used_at > PING_AFTER_S:
            try:
                engine.dialect.do_ping(self.driver)
            except engine.dialect.loaded_dbapi.Error:
                self.drop()
        if self.driver is None:
            fairy = engine.raw_connection()
            driver: Any = fairy.driver_connection
            fairy.detach()
            if engine.dialect.name == "sqlite":
                driver.execute("PRAGMA busy_timeout = 0")
            else:
                driver.autocommit = True
            # Kept last: a signal may strike at any line above.
            self.driver = driver
        self.used_at = now
        return self.driver

    def drop(self) -> None:
        """Close the connection, and with it whatever it had begun."""
        if self.driver is not None:
            driver, self.driver = self.driver, None
            self._cursors.clear()
            # Closing alone ends nothing as long as a traceback holds a cursor: SQLite would keep
            # the lock, and with it everybody waiting.
            with suppress(Exception):
                driver.rollback()
            driver.close()


def _note_use(_: Any, record: ConnectionPoolEntry) -> None:
    record.info[USED_AT] = time.monotonic()


def _ping_idle(dialect: Dialect, connection: Any, record: ConnectionPoolEntry, _: Any) -> None:
    """Replace a connection that broke while it lay in the pool.

    SQLAlchemy's own `pool_pre_ping` asks each time, which doubles the cost of a short statement.
    """
    if time.monotonic() - record.info.get(USED_AT, math.inf) < PING_AFTER_S:
        return
    try:
        dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error as error:
        raise sql_errors.DisconnectionError(str(error)) from error


def _begin_soon(driver: sqlite3.Connection) -> None:
    """Begin a write; SQLite itself would look for the lock once a millisecond at most.

    Another worker holds it for a tenth of that.
    """
    deadline, pause = time.monotonic() + BUSY_TIMEOUT_S, 1e-4
    while True:
        try:
            driver.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > deadline:
                raise
        time.sleep(pause)
        pause = min(1.5 * pause, 0.01)


class _Forks:
    """Keeps the use of connections and the forking of children apart.

    SQLite's table of locks lives in the memory of the process: a child that is forked while another
    thread holds a lock inherits one that nobody ever releases. Only the parent of a worker's pool
    has both threads and forks, so only there is this switched on.
    """

    def __init__(self) -> None:
        self._lock: threading.RLock | None = None

    @contextmanager
    def away(self) -> Iterator[None]:
        """Hold off forks as long as a connection is in use."""
        lock = self._lock
        if lock is None:
            yield
            return
        with lock:
            yield

    def guard(self) -> None:
        """Switch on in this process; children start without."""
        if self._lock is None:
            lock = self._lock = threading.RLock()
            os.register_at_fork(
                before=self._before, after_in_parent=lock.release, after_in_child=self._in_child
            )

    def _before(self) -> None:
        if self._lock is not None:
            self._lock.acquire()
            # No connection may be open across the fork.
            database().close()

    def _in_child(self) -> None:
        self._lock = None


_forks = _Forks()
guard_forks = _forks.guard


@lru_cache(maxsize=4)
def _of_process(url: str, pid: int) -> Database:
    return Database(url)


def database(url: str | None = None) -> Database:
    """Return this process's database; a forked child gets an engine of its own."""
    return _of_process(url or settings.current().database, os.getpid())
