"""Jobs over HTTP, on both databases."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from pydantic import TypeAdapter

from fixtures import only_postgresql, only_sqlite
from materia.api import schemas
from materia.api.app import create_app
from materia.services import jobs
from materia.services.submission import NewJob, submit
from materia.settings import QUEUES
from materia.store import jobs as job_rows
from materia.store.database import database
from materia.store.jobs import JobState
from servers import RedisServer, wait_until
from serving import BASE, in_process
from workers import Cluster

PING = "tasks.simple_tasks.ping"
DEFINITION = {
    "name": "sphere",
    "parameters": [{"name": "x", "type": "continuous", "bounds": [0, 1]}],
    "objectives": [{"name": "y"}],
    "evaluator": {"type": "expression", "options": {"y": "x * x"}},
}


@pytest.fixture
def client(backends: dict[str, str]) -> Iterator[httpx.Client]:
    """Return a client of the application in this process."""
    with in_process() as opened:
        yield opened


def post(client: httpx.Client, **body: object) -> httpx.Response:
    return client.post(f"{BASE}/jobs", json=body)


def end(job_id: str, **values: object) -> None:
    """Make a waiting job final, as a worker would."""
    with database().write() as connection:
        row = job_rows.settle(
            database(), connection, job_id, values, states=tuple(job_rows.WAITING)
        )
    assert row is not None


@only_sqlite
def test_a_submitted_job_runs_and_its_parts_are_seen(
    client: httpx.Client, cluster: Cluster
) -> None:
    answer = post(client, task=PING, priority=9)
    assert answer.status_code == 202
    submitted = schemas.Submitted.model_validate(answer.json())
    assert answer.headers["location"] == submitted.links["self"]
    waiting = client.get(submitted.links["result"])
    assert (waiting.status_code, waiting.json()["code"]) == (409, "state")
    cluster.worker()
    cluster.wait(submitted.task_id)
    job = schemas.Job.model_validate(client.get(submitted.links["self"]).json())
    assert (job.state, job.priority, job.queue, job.attempt) == ("SUCCEEDED", 9, "default", 1)
    assert job.result == {"status": "pong", "worker": "celery"}
    assert job.worker
    result = schemas.JobResult.model_validate(client.get(submitted.links["result"]).json())
    assert result.result == job.result
    schemas.JobProgress.model_validate(client.get(submitted.links["progress"]).json())
    TypeAdapter(schemas.Page[schemas.LogLine]).validate_json(
        client.get(submitted.links["log"]).content
    )
    TypeAdapter(schemas.Page[schemas.Job]).validate_json(client.get(f"{BASE}/jobs").content)


@pytest.mark.parametrize(
    ("body", "path", "hint"),
    [
        ({"task": "tasks.simple_tasks.pink"}, "task", PING),
        ({"task": "os.system"}, "task", "allowed"),
        ({"task": "celery.backend_cleanup"}, "task", ""),
        ({"task": PING, "queue": "defualt"}, "queue", "default"),
        ({"task": PING, "kwargs": {"message": 1}}, "kwargs.message", ""),
        ({"task": PING, "args": [1]}, "kwargs", ""),
        (
            {"task": "tasks.campaign_tasks.train_surrogate", "kwargs": {"campaign": "x"}},
            "kwargs.campaign",
            "campaign_id",
        ),
        (
            {"task": "tasks.campaign_tasks.train_surrogate", "kwargs": {"campaign_id": "x"}},
            "kwargs",
            "",
        ),
    ],
)
def test_a_job_that_no_worker_could_run_is_refused(
    client: httpx.Client, body: dict[str, object], path: str, hint: str
) -> None:
    answer = post(client, **body)
    assert (answer.status_code, answer.json()["path"]) == (422, path), answer.text
    assert hint in (answer.json()["hint"] or "")
    assert client.get(f"{BASE}/jobs").json()["total"] == 0


@pytest.mark.parametrize("limit", [1, 4, 200])
def test_pages_of_jobs_hold_each_one_once_while_others_arrive(
    client: httpx.Client, limit: int
) -> None:
    submitted = {submit(NewJob(task=PING))["id"] for _ in range(9)}
    found, cursor = [], None
    while True:
        params = {"limit": limit, **({"cursor": cursor} if cursor else {})}
        page = client.get(f"{BASE}/jobs", params=params).json()
        found += [job["id"] for job in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        submit(NewJob(task=PING))
    assert len(found) == len(set(found)) == 9
    assert set(found) == submitted


def test_jobs_are_found_by_state_task_and_queue(client: httpx.Client) -> None:
    first, second = (submit(NewJob(task=PING, queue=queue))["id"] for queue in ("ml", "data"))
    jobs.cancel(first)
    for params in ({"state": "CANCELLED"}, {"queue": "ml"}, {"state": "CANCELLED", "task": PING}):
        page = client.get(f"{BASE}/jobs", params=params).json()
        assert ([job["id"] for job in page["items"]], page["total"]) == ([first], 1)
    page = client.get(f"{BASE}/jobs", params={"task": PING, "state": "QUEUED"}).json()
    assert [job["id"] for job in page["items"]] == [second]


def test_a_cancelled_job_stays_cancelled_and_can_be_run_again(client: httpx.Client) -> None:
    links = post(client, task=PING).json()["links"]
    for _ in range(2):
        answer = client.post(f"{links['self']}/cancel")
        assert answer.status_code == 202
        assert schemas.Job.model_validate(answer.json()).state == "CANCELLED"
    again = client.post(f"{links['self']}/retry", headers={"Idempotency-Key": "again"})
    twin = client.post(f"{links['self']}/retry", headers={"Idempotency-Key": "again"})
    assert again.status_code == 202
    assert again.content == twin.content
    assert client.get(again.json()["links"]["self"]).json()["state"] == "QUEUED"
    assert client.get(links["self"]).json()["state"] == "CANCELLED"
    assert client.get(f"{BASE}/jobs").json()["total"] == 2


def test_a_job_that_did_not_fail_cannot_be_retried(client: httpx.Client) -> None:
    links = post(client, task=PING).json()["links"]
    answer = client.post(f"{links['self']}/retry")
    assert (answer.status_code, answer.json()["code"]) == (409, "state")


def test_a_failed_job_tells_code_message_and_hint_only(client: httpx.Client) -> None:
    task_id = post(client, task=PING).json()["task_id"]
    error = {"code": "unexpected", "message": "boom", "hint": None, "traceback": "inside"}
    end(task_id, state=JobState.FAILED, error=error)
    job = client.get(f"{BASE}/jobs/{task_id}").json()
    assert job["error"] == {"code": "unexpected", "message": "boom", "hint": None}
    assert client.get(f"{BASE}/jobs/{task_id}/result").json()["error"] == job["error"]


def test_a_log_is_read_in_pages(client: httpx.Client) -> None:
    task_id = post(client, task=PING).json()["task_id"]
    lines = [{"time": time.time(), "level": "INFO", "text": f"line {i}"} for i in range(7)]
    with database().write() as connection:
        job_rows.add_log(connection, task_id, lines)
    path = f"{BASE}/jobs/{task_id}/log"
    first = client.get(path, params={"limit": 4}).json()
    rest = client.get(path, params={"limit": 4, "cursor": first["next_cursor"]}).json()
    texts = [line["text"] for line in first["items"] + rest["items"]]
    assert texts == [line["text"] for line in lines]
    assert (first["total"], rest["next_cursor"]) == (7, None)
    after = client.get(path, params={"after": 5}).json()
    assert [line["number"] for line in after["items"]] == [6, 7]


@pytest.mark.parametrize("path", ["", "/log", "/progress", "/result"])
def test_what_does_not_exist_is_not_found(client: httpx.Client, path: str) -> None:
    answer = client.get(f"{BASE}/jobs/nothing{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_twins_at_the_same_moment_make_one_job(client: httpx.Client) -> None:
    app = create_app()

    def submit_twin(_: int) -> bytes:
        with in_process(app) as own:
            headers = {"Idempotency-Key": "same"}
            answer = own.post(f"{BASE}/jobs", json={"task": PING}, headers=headers)
        assert answer.status_code == 202, answer.text
        return answer.content

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(submit_twin, range(50)))) == 1
    assert client.get(f"{BASE}/jobs").json()["total"] == 1


def test_the_same_key_for_another_job_is_a_conflict(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "one"}
    assert client.post(f"{BASE}/jobs", json={"task": PING}, headers=key).status_code == 202
    other = client.post(f"{BASE}/jobs", json={"task": PING, "priority": 1}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


@only_sqlite
def test_a_job_is_accepted_while_redis_is_away(
    client: httpx.Client, redis_server: RedisServer, cluster: Cluster
) -> None:
    redis_server.kill()
    try:
        answer = post(client, task=PING)
        assert answer.status_code == 202
        ready = client.get(f"{BASE}/health/ready")
        assert ready.status_code == 503
        assert "Redis" in ready.json()["checks"]["broker"]
    finally:
        redis_server.start()
    cluster.worker()
    cluster.scheduler()
    assert cluster.wait(answer.json()["task_id"])["state"] == "SUCCEEDED"


@only_postgresql
def test_readiness_follows_the_scheduler(client: httpx.Client, cluster: Cluster) -> None:
    not_yet = client.get(f"{BASE}/health/ready")
    assert (not_yet.status_code, not_yet.json()["code"]) == (503, "not_ready")
    assert "celery -A materia.tasks beat" in not_yet.json()["checks"]["scheduler"]
    cluster.preloaded = False
    cluster.scheduler()
    wait_until(lambda: client.get(f"{BASE}/health/ready").status_code == 200, "it is ready")
    schemas.Readiness.model_validate(client.get(f"{BASE}/health/ready").json())
    schemas.Liveness.model_validate(client.get(f"{BASE}/health/live").json())


def test_queues_count_what_waits(client: httpx.Client) -> None:
    for queue in ("ml", "ml", "data"):
        post(client, task=PING, queue=queue)
    page = client.get(f"{BASE}/queues").json()
    TypeAdapter(schemas.Page[schemas.Queue]).validate_python(page)
    waiting = {line["queue"]: line["waiting"] for line in page["items"] if line["waiting"]}
    assert waiting == {"ml": 2, "data": 1}
    # Celery's own queue too: clients without our configuration send there.
    assert {line["queue"] for line in page["items"]} == {*QUEUES, "celery"}


def test_the_job_that_stands_for_a_campaign_runs_in_no_queue(client: httpx.Client) -> None:
    started = client.post(f"{BASE}/campaigns/run", json=DEFINITION)
    assert started.status_code == 202
    root = client.get(started.json()["links"]["job"]).json()
    assert root["state"] == "RUNNING"
    lines = client.get(f"{BASE}/queues").json()["items"]
    assert sum(line["running"] for line in lines) == 0
    assert sum(line["waiting"] for line in lines) == 1  # its first step
