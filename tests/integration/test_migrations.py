"""The schema: migrations give what the tables say, on both databases, and may run at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from materia.store import migrate
from materia.store.database import Database
from materia.store.tables import Document, metadata


def _compare_type(_: Any, __: Any, ___: Any, inspected: Any, declared: Any) -> bool | None:
    # What the migration calls JSON or text, the tables call a document.
    return False if isinstance(declared, Document) else None


def test_the_migrations_give_the_declared_schema(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    database = Database(empty_database_url)
    with database.read() as connection:
        options = {"compare_type": _compare_type, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, metadata)
    database.close()
    assert differences == []
    current, newest = migrate.versions(empty_database_url)
    assert current == newest


def test_migrating_again_changes_nothing(empty_database_url: str) -> None:
    migrate.upgrade(empty_database_url)
    migrate.upgrade(empty_database_url)
    current, newest = migrate.versions(empty_database_url)
    assert current == newest


def test_several_processes_may_migrate_at_once(empty_database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: _migrate_apart(empty_database_url), range(4)))
    database = Database(empty_database_url)
    with database.read() as connection:
        assert "jobs" in inspect(connection).get_table_names()
    database.close()


def _migrate_apart(url: str) -> None:
    import os
    import subprocess
    import sys

    subprocess.run(
        [sys.executable, "-m", "materia.store.migrate"],
        check=True,
        env={**os.environ, "MATERIA_DATABASE_URL": url},
    )


@pytest.mark.parametrize("url", ["mysql://localhost/x", "not a url"])
def test_a_database_that_is_not_supported_is_refused_with_a_hint(url: str) -> None:
    with pytest.raises(Exception, match="SQLite or PostgreSQL"):
        Database(url)
