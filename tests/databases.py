"""PostgreSQL databases with the newest schema that one test after the other uses.

Making a database costs half a second, and its first connection as much again; emptying one costs
some milliseconds. One whose schema or settings a test has changed is thrown away.
"""

from __future__ import annotations

import psycopg
from psycopg import Connection, sql

from servers import PostgresServer, wait_until

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
COUNTERS = """
SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL
"""
SHAPE = """
SELECT md5(string_agg(line, chr(10) ORDER BY line)) FROM (
    SELECT concat_ws(' ', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
                     a.attnotnull, pg_get_expr(d.adbin, d.adrelid)) AS line
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'i', 'v', 'S')
    UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON oid = indexrelid
    WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT setconfig::text FROM pg_db_role_setting
) AS shape
"""


class Databases:
    """Databases that are copies of a template, as many as are in use at a time."""

    def __init__(self, server: PostgresServer, template: str) -> None:
        self._server = server
        self._template = template
        self._free: list[str] = []
        with self._connect(server.url(template)) as connection:
            self._shape = _shape(connection)
            self._rows = {name: _rows(connection, name) for name in _filled(connection)}

    def take(self) -> str:
        """Return the URL of a database that is as after the migrations."""
        if self._free:
            return self._free.pop()
        return self._server.create_database(template=self._template)

    def give_back(self, url: str) -> None:
        """Empty a database for the next test, or drop it where that does not do."""
        with self._connect(url) as connection:
            _let_go(connection)
            is_as_new = _shape(connection) == self._shape
            if is_as_new:
                self._empty(connection)
        if is_as_new:
            self._free.append(url)
        else:
            self._server.drop_database(url)

    def _empty(self, connection: Connection) -> None:
        changed = [
            name
            for name in _filled(connection)
            if name not in self._rows or _rows(connection, name) != self._rows[name]
        ]
        if changed:
            names = sql.SQL(", ").join(map(sql.Identifier, changed))
            connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(names))
        for (name,) in connection.execute(COUNTERS).fetchall():
            connection.execute(sql.SQL("ALTER SEQUENCE {} RESTART").format(sql.Identifier(name)))
        for name in self._rows.keys() - set(_filled(connection)):
            copy = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(name))
            with connection.cursor().copy(copy) as written:
                written.write(self._rows[name])

    @staticmethod
    def _connect(url: str) -> Connection:
        return psycopg.connect(url, autocommit=True)


def _let_go(connection: Connection) -> None:
    """End what a test has left connected, so that nothing is written any more."""
    # Again and again: a thread that is about to write connects anew.
    ended = f"SELECT pg_terminate_backend(pid) {OTHERS}"
    wait_until(lambda: not connection.execute(ended).fetchall(), "all are gone")


def _shape(connection: Connection) -> str:
    row = connection.execute(SHAPE).fetchone()
    assert row is not None
    return str(row[0])


def _filled(connection: Connection) -> list[str]:
    """Return the tables that hold rows."""
    names = [name for (name,) in connection.execute(TABLES).fetchall()]
    parts = [
        sql.SQL("SELECT {} WHERE EXISTS (SELECT 1 FROM {})").format(name, sql.Identifier(name))
        for name in names
    ]
    return [name for (name,) in connection.execute(sql.SQL(" UNION ALL ").join(parts)).fetchall()]


def _rows(connection: Connection, name: str) -> bytes:
    """Return a table's rows as text."""
    query = sql.SQL("COPY (SELECT * FROM {} ORDER BY 1) TO STDOUT").format(sql.Identifier(name))
    with connection.cursor().copy(query) as read:
        return b"".join(bytes(part) for part in read)
