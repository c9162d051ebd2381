"""What a plain Celery client, without any of our configuration, gets from our workers."""

from __future__ import annotations

import json

import pytest
from celery.exceptions import TaskRevokedError
from celery.exceptions import TimeoutError as CeleryTimeoutError

from fixtures import only_postgresql, only_sqlite
from materia.services import jobs
from materia.settings import QUEUES
from servers import wait_until
from workers import Cluster


@only_sqlite
def test_an_unrouted_ping_is_answered(cluster: Cluster) -> None:
    cluster.worker()
    answer = cluster.client().send_task("tasks.simple_tasks.ping")
    assert answer.get(timeout=120) == {"status": "pong", "worker": "celery"}
    row = jobs.get(answer.id)
    assert (row["state"], row["attempt"], row["queue"]) == ("SUCCEEDED", 1, "celery")


@only_sqlite
def test_every_queue_is_served(cluster: Cluster) -> None:
    cluster.worker()
    client = cluster.client()
    answers = [
        client.send_task("tasks.simple_tasks.ping", queue=queue, priority=3) for queue in QUEUES
    ]
    assert [answer.get(timeout=120)["status"] for answer in answers] == ["pong"] * len(QUEUES)
    assert {jobs.get(answer.id)["queue"] for answer in answers} == set(QUEUES)


@only_postgresql
def test_a_worker_of_default_also_serves_unrouted_messages(cluster: Cluster) -> None:
    cluster.worker("--queues=high_priority,default,low_priority")
    answer = cluster.client().send_task("tasks.simple_tasks.ping")
    assert answer.get(timeout=120)["status"] == "pong"


@only_sqlite
def test_priority_nine_goes_before_zero_and_before_the_queue(cluster: Cluster) -> None:
    client = cluster.client()
    for number, (queue, priority) in enumerate(
        [("low_priority", 0), ("default", 0), ("low_priority", 9), ("default", 6), ("default", 9)]
    ):
        client.send_task(
            "tasks.test.note",
            kwargs={"path": str(cluster.folder / "order"), "value": f"{priority}"},
            task_id=f"job-{number}",
            queue=queue,
            priority=priority,
        )
    cluster.worker("--prefetch-multiplier=1", concurrency=1)
    for number in range(5):
        cluster.wait(f"job-{number}")
    order = (cluster.folder / "order").read_text().split()
    assert order == ["9", "9", "6", "0", "0"]


@only_postgresql
def test_an_error_of_the_task_is_raised_at_the_client(cluster: Cluster) -> None:
    cluster.worker()
    answer = cluster.client().send_task("tasks.test.fail", kwargs={"message": "no such furnace"})
    with pytest.raises(ValueError, match="no such furnace"):
        answer.get(timeout=120)
    error = jobs.get(answer.id)["error"]
    assert error["type"] == "ValueError"
    assert "no such furnace" in error["traceback"]


@only_sqlite
def test_a_wait_that_is_too_short_raises_celerys_timeout(cluster: Cluster) -> None:
    cluster.worker()
    answer = cluster.client().send_task("tasks.test.work", args=["sleep", 3])
    with pytest.raises(CeleryTimeoutError):
        answer.get(timeout=0.2)
    assert answer.get(timeout=120) == "sleep"


def test_a_failed_answer_is_json_and_a_double_message_is_dropped(cluster: Cluster) -> None:
    cluster.worker()
    client = cluster.client()
    path = cluster.folder / "runs"
    for _ in range(3):
        client.send_task(
            "tasks.test.note", kwargs={"path": str(path), "value": "x"}, task_id="same"
        )
    assert client.AsyncResult("same").get(timeout=120) == "x"
    # Another job behind the doubles shows that they were taken and dropped.
    client.send_task("tasks.test.echo", args=["after"]).get(timeout=120)
    assert path.read_text() == "x\n"
    with cluster.redis.client(1) as redis:
        stored = json.loads(redis.get("celery-task-meta-same"))
    assert stored["status"] == "SUCCESS"


@only_postgresql
def test_wrong_arguments_are_an_error_and_not_retried(cluster: Cluster) -> None:
    cluster.worker()
    answer = cluster.client().send_task("tasks.simple_tasks.ping", kwargs={"loud": True})
    with pytest.raises(TypeError, match="loud"):
        answer.get(timeout=120)
    assert jobs.get(answer.id)["attempt"] == 1


def test_a_pickled_message_is_refused_and_the_worker_goes_on(cluster: Cluster) -> None:
    worker = cluster.worker()
    client = cluster.client()
    client.conf.accept_content = ["pickle", "json"]
    client.send_task("tasks.test.echo", args=["x"], serializer="pickle", task_id="pickled")
    assert client.send_task("tasks.test.echo", args=["y"]).get(timeout=120) == "y"
    assert worker.alive()
    assert client.AsyncResult("pickled").state == "PENDING"


def test_a_revoked_job_is_cancelled_in_its_row(cluster: Cluster) -> None:
    cluster.worker(concurrency=1)
    client = cluster.client()
    first = client.send_task("tasks.test.work", args=["sleep", 3])
    cluster.wait_state(first.id, "RUNNING")
    second = client.send_task("tasks.test.echo", args=["never"])
    client.control.revoke(second.id)
    with pytest.raises(TaskRevokedError):
        second.get(timeout=120)
    assert first.get(timeout=120) == "sleep"
    assert cluster.wait(second.id)["state"] == "CANCELLED"


def test_taken_messages_are_forgotten_when_their_jobs_have_ended(cluster: Cluster) -> None:
    cluster.worker()
    client = cluster.client()
    answers = [client.send_task("tasks.simple_tasks.ping") for _ in range(20)]
    assert {answer.get(timeout=120)["status"] for answer in answers} == {"pong"}
    with cluster.redis.client() as redis:
        wait_until(lambda: not redis.exists("unacked", "unacked_index"), "all are acknowledged")


def test_connections_that_redis_closed_are_made_anew(cluster: Cluster) -> None:
    cluster.worker()
    client = cluster.client()
    assert client.send_task("tasks.simple_tasks.ping").get(timeout=120)["status"] == "pong"
    with cluster.redis.client() as redis:
        redis.client_kill_filter(_type="normal", skipme=True)
        redis.client_kill_filter(_type="pubsub", skipme=True)
    again = cluster.client().send_task("tasks.simple_tasks.ping")
    assert again.get(timeout=120)["status"] == "pong"
    row = jobs.get(again.id)
    assert (row["state"], row["attempt"]) == ("SUCCEEDED", 1)


@only_sqlite
@pytest.mark.parametrize("pool", ["threads", "prefork", "solo"])
def test_only_pools_that_can_keep_limits_and_cancels_start(cluster: Cluster, pool: str) -> None:
    cluster.preloaded = False
    worker = cluster.worker(f"--pool={pool}", ready=pool != "threads")
    if pool == "threads":
        assert worker.process.wait(60) == 1
        assert "Choose --pool prefork" in worker.text()
        assert "Traceback" not in worker.text()
        return
    answer = cluster.client().send_task("tasks.simple_tasks.ping")
    assert answer.get(timeout=120)["status"] == "pong"
    assert worker.stop() == 0
