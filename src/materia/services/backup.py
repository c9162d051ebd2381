"""Everything that an installation keeps, as one archive: rows, files, checkpoints, secrets.

Rows are written as JSON, so that SQLite and PostgreSQL restore each other's. They are one snapshot;
files are read after it, so that every file that a row names is there unless it was deleted since.
Redis is left out: it holds hints, which the scheduler sends again.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson
from sqlalchemy import Connection, Table, func, insert, select

from materia.errors import ConflictError, DataError
from materia.store import migrate
from materia.store.database import Database
from materia.store.tables import metadata
from materia.version import __version__

FORMAT = 1
FOLDERS = ("secrets", "files", "artifacts")
"""Parts of the data folder that are kept; what else is there is made anew at each start."""
MANIFEST = "manifest.json"
END = "end"
"""The last part: without it the archive was cut."""
ROWS_AT_ONCE = 500

# Signs of life and leases are of processes that are gone when an archive is restored.
PASSING = frozenset({"workers", "leases"})


def save(database_url: str, data_dir: Path, archive: IO[bytes]) -> dict[str, int]:
    """Write an archive and return how many rows and files it holds; the stack may run."""
    present, newest = migrate.versions(database_url)
    if present != newest:
        raise ConflictError(
            f"the database has schema {present}, and this version of MatCraft writes {newest}",
            "bring it up to date first: python -m materia.store.migrate",
        )
    counts = {"rows": 0, "files": 0}
    with (
        gzip.GzipFile(fileobj=archive, mode="wb", compresslevel=1) as packed,
        tarfile.open(fileobj=packed, mode="w|") as tar,
    ):
        manifest = {
            "format": FORMAT,
            "version": __version__,
            "schema": present,
            "created_at": time.time(),
        }
        _add_bytes(tar, MANIFEST, orjson.dumps(manifest))
        with _snapshot(database_url) as connection:
            for table in metadata.sorted_tables:
                if table.name not in PASSING:
                    counts["rows"] += _add_table(tar, connection, table)
        for folder in FOLDERS:
            counts["files"] += _add_folder(tar, data_dir / folder, folder)
        _add_bytes(tar, END, b"")
    return counts


@contextmanager
def _snapshot(database_url: str) -> Iterator[Connection]:
    """Yield a connection that sees one moment for as long as it is open."""
    database = Database(database_url)
    try:
        if database.is_sqlite:
            with database.read() as connection:
                connection.exec_driver_sql("BEGIN")
                yield connection
                connection.exec_driver_sql("COMMIT")
        else:
            repeatable = database.engine.execution_options(isolation_level="REPEATABLE READ")
            with repeatable.begin() as connection:
                yield connection
    finally:
        database.close()


def _add_table(tar: tarfile.TarFile, connection: Connection, table: Table) -> int:
    n = 0
    with tempfile.TemporaryFile() as file:
        result = connection.execution_options(yield_per=ROWS_AT_ONCE).execute(select(table))
        # Names of columns are of a class of their own, which orjson does not write.
        names = [str(column.name) for column in table.columns]
        for row in result:
            line = dict(zip(names, row, strict=True))
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
            n += 1
        member = tarfile.TarInfo(f"tables/{table.name}.jsonl")
        member.size = file.tell()
        file.seek(0)
        tar.addfile(member, file)
    return n


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _add_folder(tar: tarfile.TarFile, folder: Path, name: str) -> int:
    """Add the ordinary files of a folder; links and what vanishes meanwhile are left out."""
    n = 0
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        try:
            with path.open("rb") as file:
                member = tar.gettarinfo(arcname=f"{name}/{path.relative_to(folder)}", fileobj=file)
                tar.addfile(member, file)
        except FileNotFoundError:
            continue
        n += 1
    return n


def restore(database_url: str, data_dir: Path, archive: IO[bytes]) -> dict[str, int]:
    """Restore an archive onto an empty folder and an empty database.

    Raises:
        ConflictError: One of them is not empty; nothing was written.
        DataError: It is no archive of ours, or of a newer version.
    """
    _require_empty(database_url, data_dir)
    counts = {"rows": 0, "files": 0}
    try:
        with tarfile.open(fileobj=archive, mode="r|*") as tar:
            members = iter(tar)
            schema = _schema(tar, next(members, None))
            migrate.upgrade(database_url, schema)
            database = Database(database_url)
            try:
                # All rows or none: an archive that ends early leaves an empty database.
                with database.write() as connection:
                    last = ""
                    for member in members:
                        last = member.name
                        _take(tar, member, connection, data_dir, counts)
                    if last != END:
                        raise tarfile.ReadError("it ends early")
            finally:
                database.close()
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"the archive cannot be read: {error}", "was it copied whole?") from error
    migrate.upgrade(database_url)
    return counts


def _require_empty(database_url: str, data_dir: Path) -> None:
    for folder in FOLDERS:
        found = next((p for p in (data_dir / folder).rglob("*") if p.is_file()), None)
        if found is not None:
            raise ConflictError(
                f"{data_dir} is not empty: there is {found.relative_to(data_dir)}",
                "restore into a new folder: --data-dir",
            )
    if database_url.startswith("sqlite") and not Path(database_url.partition(":///")[2]).exists():
        return
    present, _ = migrate.versions(database_url)
    if present is None:
        return
    database = Database(database_url)
    try:
        with database.read() as connection:
            for name in ("jobs", "campaigns"):
                if connection.execute(select(func.count()).select_from(_table(name))).scalar():
                    raise ConflictError(
                        f"the database is not empty: it has {name}",
                        "restore into a new database: MATERIA_DATABASE_URL",
                    )
            # What a first start has written by itself, such as schedules, makes way below.
    finally:
        database.close()


def _table(name: str) -> Table:
    return metadata.tables[name]


def _schema(tar: tarfile.TarFile, first: tarfile.TarInfo | None) -> str:
    hint = "give a file that `materia backup` has written"
    if first is None or first.name != MANIFEST:
        raise DataError("this is no archive of MatCraft", hint)
    manifest = orjson.loads(_read(tar, first))
    known = migrate.known()
    if manifest.get("format") != FORMAT or manifest.get("schema") not in known:
        raise DataError(
            f"the archive is of MatCraft {manifest.get('version')} with schema "
            f"{manifest.get('schema')}, which this version ({__version__}) does not know",
            "restore it with that version or a newer one",
        )
    return str(manifest["schema"])


def _read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file else b""


def _take(
    tar: tarfile.TarFile,
    member: tarfile.TarInfo,
    connection: Connection,
    data_dir: Path,
    counts: dict[str, int],
) -> None:
    folder, _, name = member.name.partition("/")
    name = name.removesuffix(".jsonl")
    if folder == "tables" and name in metadata.tables:
        counts["rows"] += _take_table(tar, member, connection, _table(name))
    elif folder in FOLDERS:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        (data_dir / folder).mkdir(mode=0o700, exist_ok=True)
        # Refuses paths that lead elsewhere, links and devices.
        tar.extract(member, data_dir, filter="data")
        counts["files"] += 1


def _take_table(
    tar: tarfile.TarFile, member: tarfile.TarInfo, connection: Connection, table: Table
) -> int:
    file: Any = tar.extractfile(member)
    connection.execute(table.delete())
    n, rows = 0, []
    for line in file:
        rows.append(orjson.loads(line))
        if len(rows) == ROWS_AT_ONCE:
            n += _insert(connection, table, rows)
            rows = []
    return n + _insert(connection, table, rows)


def _insert(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> int:
    if rows:
        connection.execute(insert(table), rows)
    return len(rows)
