"""Anybody may write into Redis: what is no message must not stop a worker, nor be lost unseen."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from fixtures import only_sqlite
from materia.broker import refusals
from materia.broker.transport import ASIDE, ASIDE_LENGTH, N_ASIDE, PASS_OVER_S
from materia.services import dispatch, jobs
from materia.services.submission import NewJob, submit
from servers import RedisServer, wait_until
from workers import Cluster, Program

# Messages do not depend on the kind of database.
pytestmark = only_sqlite

LOST = "Connection to broker lost"


def envelope(**changes: Any) -> dict[str, Any]:
    """Return a good message of a plain client with something changed; None takes a part away."""
    body = base64.b64encode(b'[["foreign"], {}, {}]').decode()
    whole = {
        "body": body,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": "tasks.test.echo", "id": "foreign", "root_id": "foreign"},
        "properties": {
            "correlation_id": "foreign",
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "default"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": "foreign-tag",
        },
    }
    whole.update(changes)
    return {key: value for key, value in whole.items() if value is not None}


def properties(**changes: Any) -> dict[str, Any]:
    whole = {**envelope()["properties"], **changes}
    return {key: value for key, value in whole.items() if value is not None}


FOREIGN: dict[str, bytes] = {
    "empty": b"",
    "text": b"hello",
    "bytes": b"\xff\x00\xfe",
    "deep": b"[" * 100_000,
    **{
        name: json.dumps(value).encode()
        for name, value in {
            "list": [1, 2],
            "null": None,
            "number": 7,
            "empty envelope": {},
            "without properties": envelope(properties=None),
            "properties are a list": envelope(properties=[1]),
            "without tag": envelope(properties=properties(delivery_tag=None)),
            "tag is a list": envelope(properties=properties(delivery_tag=["x"])),
            "without delivery": envelope(properties=properties(delivery_info=None)),
            "unknown encoding": envelope(properties=properties(body_encoding="rot13")),
            "bad base64": envelope(body="!"),
            "headers are a list": envelope(headers=["x"]),
            "without id": envelope(headers={"task": "tasks.test.echo"}),
            "task is a list": envelope(headers={"task": ["x"], "id": "x"}),
        }.items()
    },
}
# What Celery itself reports and drops, or runs: it needs no list of ours.
HARMLESS: dict[str, Any] = {
    "no headers": envelope(headers={}),
    "unknown task": envelope(headers={"task": "tasks.unknown", "id": "unknown"}),
    "body is no JSON": envelope(body=base64.b64encode(b"{").decode()),
    "body is no triple": envelope(body=base64.b64encode(b"7").decode()),
    "unknown compression": envelope(headers={"compression": "x", "task": "a", "id": "b"}),
    "three limits": envelope(
        headers={"task": "tasks.test.echo", "id": "three", "timelimit": [1, 2, 3]}
    ),
    "limits are words": envelope(
        headers={"task": "tasks.test.echo", "id": "words", "timelimit": ["a", "b"]}
    ),
    "bad ETA": envelope(headers={"task": "tasks.test.echo", "id": "eta", "eta": "soon"}),
    "id is half a character": envelope(headers={"task": "tasks.test.echo", "id": "\ud800"}),
    "id has a line end": envelope(headers={"task": "tasks.test.echo", "id": "a\nb"}),
    "id is longer than a row's": envelope(headers={"task": "tasks.test.echo", "id": "x" * 256}),
    "long name of a task": envelope(headers={"task": "x" * 500_000, "id": "long"}),
}


def aside(redis: redis_py.Redis) -> list[dict[str, Any]]:
    return [json.loads(entry) for entry in redis.lrange(ASIDE, 0, -1)]


def still_works(cluster: Cluster, worker: Program) -> None:
    answer = cluster.client().send_task("tasks.test.echo", args=["still"], queue="default")
    assert answer.get(timeout=120) == "still"
    assert worker.alive()
    assert LOST not in worker.text()


def test_what_is_no_message_is_put_aside_and_the_worker_goes_on(cluster: Cluster) -> None:
    worker = cluster.worker()
    with cluster.redis.client() as redis:
        for raw in FOREIGN.values():
            redis.lpush("default", raw)
        still_works(cluster, worker)
        kept = {entry["message"] for entry in aside(redis)}
        for name, raw in FOREIGN.items():
            assert raw[:ASIDE_LENGTH].decode(errors="backslashreplace") in kept, name
        assert {entry["queue"] for entry in aside(redis)} == {"default"}
        wait_until(lambda: not redis.exists("unacked", "unacked_index"), "nothing is held")
    assert '"message_put_aside"' in worker.text()
    assert "'properties' is missing" in worker.text()


def test_what_celery_can_name_is_reported_and_dropped(cluster: Cluster) -> None:
    worker = cluster.worker()
    with cluster.redis.client() as redis:
        for name, message in HARMLESS.items():
            tagged = {**message, "properties": properties(delivery_tag=name)}
            redis.lpush("default", json.dumps(tagged))
        still_works(cluster, worker)
        wait_until(lambda: not redis.exists("unacked", "unacked_index"), "nothing is held")


def test_arguments_that_no_row_keeps_are_answered(cluster: Cluster) -> None:
    worker, client = cluster.worker(), cluster.client()
    for odd in (10**30, "a\ud800b", json.loads("[" * 300 + "]" * 300)):
        asked = client.send_task("tasks.test.echo", args=[odd], queue="default", priority=77)
        with pytest.raises(Exception, match="the arguments cannot be kept"):
            asked.get(timeout=120)
        row = jobs.get(asked.id)
        assert (row["state"], row["error"]["code"]) == ("FAILED", "data_invalid")
        assert row["priority"] == 9
    still_works(cluster, worker)


class Evil:
    """What runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self._path}",)


def test_what_is_refused_is_counted_by_its_kind_and_runs_nothing(
    cluster: Cluster, tmp_path: Path
) -> None:
    worker, client = cluster.worker(), cluster.client()
    echo = {"name": "tasks.test.echo", "queue": "default"}
    client.send_task(**echo, args=[Evil(tmp_path / "run")], serializer="pickle")
    client.send_task(**echo, args=["x"], serializer="yaml")
    client.send_task("tasks.unknown", queue="default")
    client.send_task(**echo, args=["y" * 50_000_000])
    outside = {"file_path": "/etc/passwd", "output_path": "out.csv", "transformations": {}}
    refused = [
        client.send_task("tasks.simple_tasks.ping", args=[1, 2], queue="default"),
        client.send_task("tasks.simple_tasks.ping", kwargs={"more": 1}, queue="default"),
        client.send_task("tasks.data_tasks.process_large_csv", kwargs=outside, queue="default"),
    ]
    for answer in refused:
        with pytest.raises(Exception, match=r"argument|outside|allowed"):
            answer.get(timeout=120)
    first = client.send_task(**echo, args=["once"], task_id="replayed")
    assert first.get(timeout=120) == "once"
    client.send_task(**echo, args=["twice"], task_id="replayed")
    still_works(cluster, worker)
    assert not (tmp_path / "run").exists()
    assert jobs.get("replayed")["result"] == "once"
    assert [jobs.get(answer.id)["state"] for answer in refused] == ["FAILED"] * 3
    assert "root:" not in str([jobs.get(answer.id)["error"] for answer in refused])
    counts = {"content_type": 2, "unknown_task": 1, "invalid": 0, "too_large": 1}
    assert refusals.counts() == {**counts, "undecodable": 0}
    with cluster.redis.client() as redis:
        (entry,) = aside(redis)
    assert "MiB, and 8 are the most" in entry["reason"]
    assert len(entry["message"]) <= ASIDE_LENGTH


def test_a_client_of_the_first_protocol_is_answered(cluster: Cluster) -> None:
    worker = cluster.worker()
    client = cluster.client()
    client.conf.task_protocol = 1
    answer = client.send_task("tasks.test.echo", args=["old"], queue="default")
    assert answer.get(timeout=120) == "old"
    assert jobs.get(answer.id)["state"] == "SUCCEEDED"
    still_works(cluster, worker)


def test_only_the_newest_of_what_is_put_aside_are_kept(cluster: Cluster) -> None:
    with cluster.redis.client() as redis:
        redis.lpush(ASIDE, *["{}"] * N_ASIDE)
        redis.lpush("default", "x", "y")
        still_works(cluster, cluster.worker())
        assert redis.llen(ASIDE) == N_ASIDE
        assert [entry["message"] for entry in aside(redis)[:2]] == ["y", "x"]


def test_a_list_of_ours_that_is_none_does_not_stop_a_worker(cluster: Cluster) -> None:
    with cluster.redis.client() as redis:
        redis.set(ASIDE, "mine")
        redis.lpush("default", "x")
        still_works(cluster, cluster.worker())


def test_a_broadcast_that_is_no_message_is_ignored(cluster: Cluster) -> None:
    worker = cluster.worker()
    topic = "/0.celery.pidbox"
    with cluster.redis.client() as redis:
        for name in ("text", "bytes", "deep", "list", "null", "empty envelope", "without tag"):
            redis.publish(topic, FOREIGN[name])
    still_works(cluster, worker)
    assert cluster.client().control.inspect(timeout=10).ping()


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_queue_that_is_no_list_is_passed_over_until_it_is_one(
    cluster: Cluster, when: str
) -> None:
    with cluster.redis.client() as redis:
        if when == "before":
            redis.set("default", "mine")
        worker = cluster.worker()
        redis.set("default", "mine")
        client = cluster.client()
        for queue in ("ml", "celery"):
            answer = client.send_task("tasks.test.echo", args=[queue], queue=queue, priority=5)
            assert answer.get(timeout=120) == queue
        urgent = client.send_task("tasks.test.echo", args=["u"], queue="default", priority=9)
        assert urgent.get(timeout=120) == "u"
        refused = submit(NewJob("tasks.test.echo", queue="default", priority=0))
        sent = submit(NewJob("tasks.test.echo", queue="default", priority=5))
        assert (refused["id"], jobs.get(refused["id"])["sent_at"]) == (refused["id"], None)
        assert cluster.wait(sent["id"])["state"] == "SUCCEEDED"
        said = worker.text().count('"queue_is_no_list"')
        started = time.monotonic()
        redis.delete("default")
        answer = client.send_task("tasks.test.echo", args=["d"], queue="default", priority=0)
        assert answer.get(timeout=120 + PASS_OVER_S) == "d"
    # Looked at once a pause, and not once a read.
    assert 1 <= said <= 2 + (time.monotonic() - started) / PASS_OVER_S
    assert worker.alive()
    assert LOST not in worker.text()


def test_a_worker_starts_with_foreign_entries_among_those_taken(cluster: Cluster) -> None:
    with cluster.redis.client() as redis:
        for number, raw in enumerate([b"x", b"[]", b"[7, 8, 9]", b'{"a": 1}', b"\xff"]):
            redis.hset("unacked", f"tag-{number}", raw)
            redis.zadd("unacked_index", {f"tag-{number}": 1.0})
        worker = cluster.worker()
        still_works(cluster, worker)
        wait_until(lambda: not redis.exists("unacked", "unacked_index"), "nothing is held")


def test_foreign_entries_among_those_taken_do_not_hold_up_the_others(
    redis_backed: Callable[[RedisServer], dict[str, str]], start_redis: Callable[[], RedisServer]
) -> None:
    server = start_redis()
    redis_backed(server)
    raw = json.dumps([envelope(), "", "default"]).encode()
    half = raw.replace(b'"id": "foreign"', b'"id": "\\ud800"')
    with server.client() as redis:
        for tag, taken in {"a": b"x", "b": b"[1]", "c": b"\xff", "d": raw, "e": half}.items():
            redis.hset("unacked", tag, taken)
            redis.zadd("unacked_index", {tag: 1.0})
        redis.zadd("unacked_index", {"without an entry": 1.0})
        assert dispatch.restore_unclaimed() == 5
        given_back = {json.loads(one)["headers"]["id"] for one in redis.lrange("default", 0, -1)}
        assert given_back == {"foreign", "\ud800"}
        assert {entry["message"] for entry in aside(redis)} == {"x", "[1]", "\\xff"}
        assert redis.hlen("unacked") == 0
