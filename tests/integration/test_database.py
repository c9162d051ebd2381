"""Reads and writes at the same time, on both databases."""

from __future__ import annotations

from materia.store import leases
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
