"""Reads and writes at the same time, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest

from materia import settings
from materia.store import leases, migrate
from materia.store.database import Database


def test_a_read_does_not_wait_for_a_writer_and_sees_only_what_is_committed(
    database_url: str,
) -> None:
    database = Database(database_url)
    with database.write() as writer:
        leases.acquire(database, writer, "lead", "somebody", 60)
        with database.read() as reader:
            assert not leases.is_held(database, reader, "lead")
    with database.read() as reader:
        assert leases.is_held(database, reader, "lead")
    database.close()


def test_an_open_read_sees_what_is_committed_meanwhile(database_url: str) -> None:
    database = Database(database_url)
    with database.read() as reader:
        assert not leases.is_held(database, reader, "lead")
        with database.write() as writer:
            leases.acquire(database, writer, "lead", "somebody", 60)
        assert leases.is_held(database, reader, "lead")
    database.close()


@pytest.mark.parametrize("name", ["plain", "a b", "p%20c", "q?x", "é#"])
def test_the_database_lies_in_the_data_folder_whatever_its_name(tmp_path: Path, name: str) -> None:
    chosen = settings.Settings(data_dir=tmp_path / name)
    migrate.upgrade(chosen.database)
    assert (tmp_path / name / "materia.db").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]
