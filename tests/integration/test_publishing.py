"""Publishing from many threads that come and go, as those of a server do."""

from __future__ import annotations

import gc
import threading

import pytest

from materia.events import stream
from materia.events.models import Event, EventType
from servers import RedisServer, wait_until


def test_threads_that_end_leave_neither_connections_nor_a_full_pool(
    backends: dict[str, str], redis_server: RedisServer, request: pytest.FixtureRequest
) -> None:
    failures: list[Exception] = []

    def publish(number: int) -> None:
        event = Event("campaign:x", number, EventType.ITERATION_STARTED, 1e9, {})
        try:
            stream.append([event])
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            failures.append(error)

    gc.disable()
    request.addfinalizer(gc.enable)
    with redis_server.client() as client:
        n_before = len(client.client_list())
    for number in range(1, 301):
        thread = threading.Thread(target=publish, args=(number,))
        thread.start()
        thread.join()
    assert failures == []
    wait_until(lambda: stream.last_number("campaign:x") == 300, "the last event is there")
    with redis_server.client() as client:
        wait_until(
            lambda: len(client.client_list()) < n_before + 20,
            "connections of ended threads are gone",
        )
