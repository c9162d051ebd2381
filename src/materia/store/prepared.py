"""Statements of the hot path: compiled once, then handed to the driver as they are.

A ping is four statements. SQLAlchemy spends several times as long on executing one as the database
does, so here it only writes the SQL and converts the values; transactions stay its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Insert, Update

from materia.store.database import Database

Row = dict[str, Any]


class Prepared:
    """An insert or update of one row.

    Args:
        statement: Its values and conditions are constants, bound parameters with a name, or ones
            with a `callable_`; an ``IN`` over a list cannot be prepared.
        returns: Columns of the changed row that `run` returns.
    """

    def __init__(
        self, database: Database, statement: Insert | Update, returns: Sequence[Column[Any]] = ()
    ) -> None:
        self._dialect = database.engine.dialect
        whole = statement.returning(*returns) if returns else statement
        compiled: Any = whole.compile(dialect=self._dialect)
        self._text = compiled.string
        self._is_positional = compiled.positional
        self._names = tuple(compiled.positiontup if self._is_positional else compiled.binds)
        self._values = [_reader(compiled.binds[name], self._dialect) for name in self._names]
        self._returns = tuple(returns)
        self._columns = tuple(str(column.name) for column in returns)
        self._decoders: list[tuple[str, Callable[[Any], Any]]] | None = None

    def run(self, driver: Any, parameters: Mapping[str, Any]) -> Row | None:
        """Execute on a connection of the driver, within whatever transaction that has.

        Returns:
            The columns of the changed row; None when no row was changed, or none is returned.
        """
        values: Any = [read(parameters) for read in self._values]
        if not self._is_positional:
            values = dict(zip(self._names, values, strict=True))
        cursor = driver.execute(self._text, values)
        found = cursor.fetchall() if self._columns else ()
        if not found:
            return None
        if self._decoders is None:
            self._decoders = self._find_decoders(cursor.description)
        row = dict(zip(self._columns, found[0], strict=True))
        for name, decode in self._decoders:
            row[name] = decode(row[name])
        return row

    def _find_decoders(self, description: Any) -> list[tuple[str, Callable[[Any], Any]]]:
        """Return how to decode the columns that need it; drivers tell types with the result."""
        decoders = [
            column.type.dialect_impl(self._dialect).result_processor(self._dialect, told[1])
            for column, told in zip(self._returns, description, strict=True)
        ]
        return [
            (name, decode)
            for name, decode in zip(self._columns, decoders, strict=True)
            if decode is not None
        ]


def _reader(bind: Any, dialect: Any) -> Callable[[Mapping[str, Any]], Any]:
    """Return what reads the value of one bound parameter as the driver wants it."""
    encode = bind.type.dialect_impl(dialect).bind_processor(dialect)
    key = bind.key
    if bind.callable is not None:
        return lambda parameters: bind.callable()
    if not bind.required:
        constant = encode(bind.value) if encode else bind.value
        return lambda parameters: constant
    if encode:
        return lambda parameters: encode(parameters[key])
    return lambda parameters: parameters[key]
