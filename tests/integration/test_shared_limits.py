"""Limits that hold for all servers together: what keys ask for, and how many jobs wait."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from fixtures import only_sqlite
from materia import settings
from materia.api import pace
from materia.api.pace import Pace
from materia.events import tally
from materia.services import quotas
from materia.services.keys import OPERATOR
from materia.services.quotas import NoRoomError
from materia.services.submission import NewJob, submit

RATE = 10.0
BURST = int(pace.BURST_S * RATE)


@pytest.fixture
def standing_still(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """A clock that only the test moves."""
    now = [1000.0]
    monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=lambda: now[0]))
    yield now


def taken(server: Pace, n: int) -> int:
    """Ask for so many, and return how many were let in."""
    return sum(server.wait_s(OPERATOR, is_change=False) == 0.0 for _ in range(n))


def exchange(*servers: Pace, add: Any = tally.add) -> None:
    for server in servers:
        asyncio.run(server.exchange(add))


@only_sqlite
def test_a_key_gets_no_more_of_two_servers_than_of_one(
    backends: dict[str, str], standing_still: list[float]
) -> None:
    one, other = Pace(RATE, RATE), Pace(RATE, RATE)
    assert taken(one, 1) == taken(other, 1) == 1
    exchange(one, other, one)
    let_in = 2
    for _ in range(400):
        standing_still[0] += pace.EXCHANGE_EVERY_S
        let_in += taken(one, BURST) + taken(other, BURST)
        exchange(one, other)
    # What fills up meanwhile, and at the beginning the burst of each.
    filled = 400 * pace.EXCHANGE_EVERY_S * RATE
    assert filled <= let_in <= filled + 2 * BURST + 1
    # Who is served by one alone has all of it.
    standing_still[0] += 60
    exchange(one, other)
    assert taken(one, 2 * BURST) == BURST


@only_sqlite
def test_without_redis_each_server_goes_on_alone(
    backends: dict[str, str], standing_still: list[float]
) -> None:
    def away(own: Mapping[str, int], known: Any) -> dict[str, int]:
        raise redis.ConnectionError("away")

    one, other = Pace(RATE, RATE), Pace(RATE, RATE)
    exchange(one, other)
    assert taken(one, 1) == taken(other, 1) == 1
    exchange(one, other)
    standing_still[0] += 30
    assert taken(one, 2 * BURST) == BURST
    exchange(one, add=away)
    exchange(other)
    assert taken(other, 2 * BURST) == BURST
    # What was let in so long ago has been made up for.
    standing_still[0] += 60
    exchange(one, other)
    assert taken(one, 2 * BURST) == BURST


@only_sqlite
def test_servers_that_fill_the_room_for_jobs_at_once_let_in_hardly_more_than_fit(
    backends: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, n_servers = 40, 3
    monkeypatch.setenv("MATERIA_MAX_WAITING_JOBS", str(limit))
    settings.current.cache_clear()
    rooms: list[dict[Any, Any]] = [{} for _ in range(n_servers)]
    n = 0
    for number in range(2 * limit * n_servers):
        monkeypatch.setattr(quotas, "_rooms", rooms[number % n_servers])
        try:
            quotas.require_room("anna")
        except NoRoomError:
            continue
        submit(NewJob("tasks.simple_tasks.ping", owner="anna"))
        n += 1
    assert limit <= n < limit + n_servers
