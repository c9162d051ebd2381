"""The order of the events of all topics.

Numbers of one topic are given in the transaction that an event reports; one counter for all topics
would let every transaction wait for the others. So the order is given afterwards, and only while
somebody follows it: each new event gets the next position, in short transactions one after another.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)

from materia.store.database import Database
from materia.store.paging import rows_of
from materia.store.tables import campaigns, events, feed, jobs

Row = dict[str, Any]

# An event is seen when its transaction is committed, and bears the time of its writing: it may come
# later than others by so much, clocks that differ included.
LATE_S = 60.0
# Most events come within this; all that may come late are looked for now and then.
SOON_S = 2.0
# Clients that were away for less go on where they were.
KEPT_S = 3600.0
# A host stood still, was cut off, or has a clock that is wrong. Positions are kept twice as long,
# so that no event whose position was deleted is taken for a new one.
FAR_S = KEPT_S / 2
# A longer backlog is not put into order: who missed it reads the state anew.
MOST = 200_000


class Look(Enum):
    """How far back to look for events without a position."""

    SOON = SOON_S
    LATE = LATE_S
    FAR = FAR_S


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the order reaches.

    Args:
        last: The last position given; 0 before the first.
        time: Until when, by the clock of the database, every event has its position.
    """

    last: int
    time: float


def standing(connection: Connection) -> Standing:
    """Return how far the order reaches."""
    query = select(feed.c.position, feed.c.time).order_by(feed.c.position.desc()).limit(1)
    row = connection.execute(query).first()
    return Standing(0, 0.0) if row is None else Standing(row[0], row[1])


def span(connection: Connection) -> tuple[int, int]:
    """Return the first and the last position kept; (0, 0) before the first."""
    first, last = connection.execute(
        select(func.min(feed.c.position), func.max(feed.c.position))
    ).one()
    return (first or 0, last or 0)


def extend(database: Database, connection: Connection, look: Look) -> bool:
    """Give the events that have none a position; returns whether there were any.

    Args:
        connection: Of a transaction of its own.
        look: Beyond `Look.SOON` also for what came while nobody followed.
    """
    if not database.is_sqlite:
        connection.execute(text("LOCK TABLE feed IN EXCLUSIVE MODE"))
    now, known = database.time(connection), standing(connection)
    since, has_hole = _since(connection, known, now, look)
    last = _begin_anew(connection, known, now) if has_hole else known.last
    place = func.row_number().over(order_by=(events.c.time, events.c.topic, events.c.number))
    new = select(literal(last) + place, events.c.topic, events.c.number, literal(now)).where(
        *_is_new(since)
    )
    statement = insert(feed).from_select(["position", "topic", "number", "time"], new)
    added = connection.execute(statement).rowcount > 0
    if look is not Look.SOON:
        # Positions go on from the newest, and its time says until when every event has its own.
        newest = select(func.max(feed.c.position)).scalar_subquery()
        connection.execute(update(feed).where(feed.c.position == newest).values(time=now))
        connection.execute(delete(feed).where(feed.c.time < now - KEPT_S, feed.c.position < newest))
    return added


def _begin_anew(connection: Connection, known: Standing, now: float) -> int:
    """Forget all positions, because events are left out; returns the one to go on from.

    It is no event's, and two further than the last: so a client that was at the last one sees that
    what it knows is no longer kept.
    """
    connection.execute(delete(feed))
    mark = known.last + 2
    row = {"position": mark, "topic": "feed", "number": mark, "time": now}
    connection.execute(insert(feed).values(row))
    return mark


def has_new(database: Database, connection: Connection, look: Look) -> bool:
    """Tell whether an event that would be found has no position yet."""
    known = standing(connection)
    since, _ = _since(connection, known, database.time(connection), look)
    query = select(events.c.number).where(*_is_new(since)).limit(1)
    return connection.execute(query).first() is not None


def _is_new(since: float) -> list[ColumnElement[bool]]:
    known = select(feed.c.position).where(
        feed.c.topic == events.c.topic, feed.c.number == events.c.number
    )
    return [events.c.time >= since, ~known.exists()]


def _since(connection: Connection, known: Standing, now: float, look: Look) -> tuple[float, bool]:
    """Return from when on to look, and whether older events are left out."""
    if look is Look.SOON:
        return now - SOON_S, False
    if known.last and known.time > now - KEPT_S:
        if look is Look.FAR:
            # Not before the order began: what is older is nobody's news.
            begun = connection.execute(select(func.min(feed.c.time))).scalar_one()
            far = max(now - FAR_S, begun - LATE_S)
            if _are_few(connection, far):
                return far, False
        since = known.time - LATE_S
        if _are_few(connection, since):
            return since, False
    return now - LATE_S, True


def _are_few(connection: Connection, since: float) -> bool:
    few = select(events.c.time).where(events.c.time >= since).limit(MOST).subquery()
    return int(connection.execute(select(func.count()).select_from(few)).scalar_one()) < MOST


def _is_of(owner: str) -> ColumnElement[bool]:
    is_nobodys = and_(events.c.campaign_id.is_(None), events.c.job_id.is_(None))
    of_campaign = select(campaigns.c.id).where(
        campaigns.c.id == events.c.campaign_id, campaigns.c.owner == owner
    )
    of_job = select(jobs.c.id).where(jobs.c.id == events.c.job_id, jobs.c.owner == owner)
    return or_(is_nobodys, of_campaign.exists(), of_job.exists())


def after(
    connection: Connection, position: int, limit: int, *, owner: str | None = None
) -> list[Row]:
    """Return up to `limit` events after a position, each with its position, in order.

    Args:
        owner: Only events of this owner's campaigns and jobs, and those of workers; None for all.
    """
    same = and_(events.c.topic == feed.c.topic, events.c.number == feed.c.number)
    query = (
        select(feed.c.position, *events.c)
        .join(events, same)
        .where(feed.c.position > position, *([] if owner is None else [_is_of(owner)]))
        .order_by(feed.c.position)
        .limit(limit)
    )
    return rows_of(connection.execute(query))
