"""Named leases: one holder at a time, such as the leading scheduler."""

from __future__ import annotations

from sqlalchemy import Connection, or_, select, update

from materia.store.database import Database
from materia.store.tables import leases


def acquire(
    database: Database, connection: Connection, name: str, holder: str, lease_s: float
) -> bool:
    """Take or renew a lease; False when somebody else holds it."""
    now = database.now()
    free = or_(leases.c.holder == holder, leases.c.until < now)
    renewed = connection.execute(
        update(leases).where(leases.c.name == name, free).values(holder=holder, until=now + lease_s)
    ).rowcount
    if renewed:
        return True
    added = connection.execute(
        database.insert(leases)
        .values(name=name, holder=holder, until=now + lease_s)
        .on_conflict_do_nothing()
        .returning(leases.c.name)
    ).first()
    return added is not None


def release(connection: Connection, name: str, holder: str) -> None:
    """Give a lease back."""
    connection.execute(
        update(leases).where(leases.c.name == name, leases.c.holder == holder).values(until=0.0)
    )


def is_held(database: Database, connection: Connection, name: str) -> bool:
    """Tell whether anybody holds a lease at present."""
    query = select(leases.c.name).where(leases.c.name == name, leases.c.until > database.now())
    return connection.execute(query).first() is not None
