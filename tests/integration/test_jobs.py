"""Durable jobs as rows: what the services promise without a worker."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest

from materia.broker.app import app
from materia.errors import ConflictError, NotFoundError, StateError, TransientError
from materia.events import stream
from materia.services import dispatch, execution, jobs
from materia.services.execution import Claimant, ClaimLost, Duplicate, Retried
from materia.services.keeping import Keeper
from materia.services.running import Outcome
from materia.services.submission import NewJob, submit
from materia.store import events as event_rows
from materia.store import jobs as job_rows
from materia.store.database import database
from servers import RedisServer, wait_until

PING = "tasks.simple_tasks.ping"
WORKER = Claimant(boot="boot-1", worker="w@host")


class SoftLimit(Exception):
    """Stands for Celery's soft limit."""


def run(job: execution.RunningJob, value: object = None) -> object:
    return execution.run(job, lambda: value, (), {}, SoftLimit)


def events_of(job_id: str) -> list[tuple[int, str]]:
    with database().read() as connection:
        rows = event_rows.after(connection, f"job:{job_id}", 0, 100)
    return [(row["number"], row["data"]["state"]) for row in rows]


@pytest.mark.usefixtures("backends")
def test_a_job_is_a_row_before_it_is_a_message(redis_server: RedisServer) -> None:
    row = submit(NewJob(PING))
    assert jobs.get(row["id"])["state"] == "QUEUED"
    with redis_server.client() as client:
        assert client.llen("default\x06\x165") == 1


@pytest.mark.usefixtures("backends")
def test_events_are_numbered_without_a_gap() -> None:
    row = submit(NewJob(PING))
    run(execution.claim(row["id"], WORKER))
    assert events_of(row["id"]) == [(1, "QUEUED"), (2, "RUNNING"), (3, "SUCCEEDED")]


@pytest.mark.usefixtures("backends")
def test_of_many_claims_at_once_exactly_one_wins() -> None:
    row = submit(NewJob(PING))

    def attempt(number: int) -> bool:
        try:
            execution.claim(row["id"], Claimant(boot=f"b{number}", worker="w"))
        except Duplicate:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(attempt, range(32))) == 1
    assert jobs.get(row["id"])["attempt"] == 1


@pytest.mark.usefixtures("backends")
def test_a_writer_whose_lease_was_taken_over_is_refused_with_its_effects() -> None:
    row = submit(NewJob(PING))
    slow = execution.claim(row["id"], WORKER)
    execution.give_back(slow.row)
    fast = execution.claim(row["id"], Claimant(boot="boot-2", worker="other@host"))
    touched: list[str] = []
    with pytest.raises(ClaimLost):
        run(slow, Outcome("stale", lambda work: touched.append("stale")))
    run(fast, Outcome("fresh", lambda work: touched.append("fresh")))
    assert touched == ["fresh"]
    assert jobs.get(row["id"])["result"] == "fresh"


@pytest.mark.usefixtures("backends")
def test_effects_and_the_final_state_are_committed_together_or_not_at_all() -> None:
    row = submit(NewJob(PING))
    job = execution.claim(row["id"], WORKER)

    def effects(work: execution.Work) -> None:
        job_rows.add(work.database, work.connection, [NewJob(PING, id="child").row()])
        raise ConflictError("the effect is refused")

    with pytest.raises(ConflictError):
        run(job, Outcome("x", effects))
    assert jobs.get(row["id"])["state"] == "FAILED"
    with pytest.raises(NotFoundError):
        jobs.get("child")


@pytest.mark.usefixtures("backends")
def test_a_final_state_never_changes() -> None:
    row = submit(NewJob(PING))
    job = execution.claim(row["id"], WORKER)
    run(job, "done")
    before = jobs.get(row["id"])
    jobs.cancel(row["id"])
    execution.crashed(job.row, "late news")
    execution.end(job.row, execution.out_of_time("hard", 1.0))
    assert not execution.give_back(job.row)
    with pytest.raises(Duplicate):
        execution.claim(row["id"], WORKER)
    assert jobs.get(row["id"]) == before


@pytest.mark.usefixtures("backends")
def test_the_same_idempotency_key_makes_one_job() -> None:
    with ThreadPoolExecutor(16) as pool:
        rows = list(pool.map(lambda _: submit(NewJob(PING, idempotency_key="once")), range(50)))
    assert len({row["id"] for row in rows}) == 1
    assert jobs.page(limit=10)[1] == 1


@pytest.mark.usefixtures("backends")
def test_an_error_that_waiting_heals_is_retried_with_growing_pauses_and_then_fails() -> None:
    row = submit(NewJob(PING))

    def body() -> None:
        raise TransientError("the furnace is busy")

    delays = []
    for _ in range(3):
        job = execution.claim(row["id"], WORKER)
        with pytest.raises(Retried):
            execution.run(job, body, (), {}, SoftLimit)
        waiting = jobs.get(row["id"])
        assert waiting["state"] == "RETRYING"
        delays.append(waiting["run_at"] - waiting["claimed_at"])
        with pytest.raises(Duplicate):
            execution.claim(row["id"], WORKER)
        _make_due(row["id"])
    job = execution.claim(row["id"], WORKER)
    with pytest.raises(TransientError):
        execution.run(job, body, (), {}, SoftLimit)
    assert jobs.get(row["id"])["state"] == "FAILED"
    assert 45 <= delays[0] < 80
    assert 90 <= delays[1] < 155
    assert 180 <= delays[2] < 305


def _make_due(job_id: str) -> None:
    with database().write() as connection:
        connection.execute(
            job_rows.jobs.update().where(job_rows.jobs.c.id == job_id).values(run_at=1.0)
        )


@pytest.mark.usefixtures("backends")
def test_a_job_that_kills_its_process_is_quarantined_after_three_crashes() -> None:
    row = submit(NewJob(PING))
    for _ in range(3):
        job = execution.claim(row["id"], WORKER)
        execution.crashed(job.row, "signal 9")
    final = jobs.get(row["id"])
    assert final["state"] == "QUARANTINED"
    assert "signal 9" in final["error"]["message"]


@pytest.mark.usefixtures("backends")
def test_the_death_of_a_worker_is_not_counted_against_the_job() -> None:
    row = submit(NewJob(PING))
    for _ in range(10):
        job = execution.claim(row["id"], WORKER)
        _expire(row["id"])
        assert dispatch.reap() == 1
        assert jobs.get(row["id"])["state"] == "QUEUED"
        assert job.row["attempt"] == 1
    assert jobs.get(row["id"])["crashes"] == 0


def _expire(job_id: str) -> None:
    with database().write() as connection:
        connection.execute(
            job_rows.jobs.update().where(job_rows.jobs.c.id == job_id).values(lease_until=1.0)
        )


@pytest.mark.usefixtures("backends")
def test_a_cancel_while_queued_is_final_and_cancelling_again_is_harmless() -> None:
    row = submit(NewJob(PING))
    first = jobs.cancel(row["id"])
    assert first["state"] == "CANCELLED"
    assert jobs.cancel(row["id"]) == first


@pytest.mark.usefixtures("backends")
def test_a_retry_is_a_new_job_with_the_same_arguments() -> None:
    row = submit(NewJob(PING, kwargs={"a": 1}, queue="ml", priority=7))
    with pytest.raises(StateError):
        jobs.retry(row["id"])
    jobs.cancel(row["id"])
    again = jobs.retry(row["id"])
    assert again["id"] != row["id"]
    assert (again["kwargs"], again["queue"], again["priority"]) == ({"a": 1}, "ml", 7)


@pytest.mark.usefixtures("backends")
def test_after_redis_was_emptied_every_waiting_job_is_sent_again(
    redis_server: RedisServer,
) -> None:
    rows = [submit(NewJob(PING, priority=priority)) for priority in (1, 9, 5)]
    dispatch.resend_after_loss()
    with redis_server.client() as client:
        client.flushall()
        assert dispatch.resend_after_loss() == len(rows)
        assert dispatch.resend_after_loss() == 0
        assert [client.llen(f"default\x06\x16{p}") for p in (1, 9, 5)] == [1, 1, 1]


@pytest.mark.usefixtures("backends")
def test_a_job_whose_message_was_lost_is_sent_again_at_growing_ages() -> None:
    row = submit(NewJob(PING))
    assert dispatch.send_due() == 0
    for sends, age in ((1, 3.5), (2, 6.5), (3, 12.5)):
        _age(row["id"], age * 0.8)
        assert dispatch.send_due() == 0
        _age(row["id"], age)
        assert dispatch.send_due() == 1
        assert jobs.get(row["id"])["sends"] == sends + 1


def _age(job_id: str, seconds: float) -> None:
    with database().write() as connection:
        sent_at = database().now() - seconds
        connection.execute(
            job_rows.jobs.update().where(job_rows.jobs.c.id == job_id).values(sent_at=sent_at)
        )


@pytest.mark.usefixtures("backends")
def test_of_two_schedulers_one_leads_and_the_other_takes_over() -> None:
    first, second = dispatch.Dispatcher("first"), dispatch.Dispatcher("second")
    assert first.tick()
    assert not second.tick()
    assert first.tick()
    first.close()
    assert second.tick()
    assert not first.tick()


@pytest.mark.usefixtures("backends")
def test_a_submission_survives_a_redis_that_is_away(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = app.conf.broker_url
    app.conf.broker_url = "redis://127.0.0.1:1/0"
    app._after_fork()
    row = submit(NewJob(PING))
    assert jobs.get(row["id"])["sent_at"] is None
    app.conf.broker_url = here
    app._after_fork()
    assert dispatch.send_due() == 1
    with redis_server.client() as client:
        assert client.llen("default\x06\x165") == 1


@pytest.mark.usefixtures("backends")
def test_a_result_that_is_not_json_fails_the_job_with_a_clear_error() -> None:
    row = submit(NewJob(PING))
    with pytest.raises(Exception, match="not JSON"):
        run(execution.claim(row["id"], WORKER), object())
    assert jobs.get(row["id"])["error"]["code"] == "data_invalid"


@pytest.mark.usefixtures("backends")
def test_the_log_of_a_job_is_bounded_and_keeps_the_newest_lines() -> None:
    row = submit(NewJob(PING))
    line = {"time": 1.0, "level": "INFO"}
    with database().write() as connection:
        for start in range(0, 2500, 500):
            lines = [{**line, "text": str(i)} for i in range(start, start + 500)]
            job_rows.add_log(connection, row["id"], lines)
    kept = jobs.log_page(row["id"], 0, 5000)[0]
    assert [entry["text"] for entry in kept] == [str(i) for i in range(1500, 2500)]


@pytest.mark.usefixtures("backends")
@pytest.mark.parametrize("value", [3, 2**70, 1.5, "3", None, [], {"a": [1, None]}, True])
def test_any_json_result_comes_back_as_it_was(value: object) -> None:
    row = submit(NewJob(PING))
    if value == 2**70:
        with pytest.raises(Exception, match="not JSON"):
            run(execution.claim(row["id"], WORKER), value)
        return
    run(execution.claim(row["id"], WORKER), value)
    assert jobs.get(row["id"])["result"] == value


@pytest.mark.usefixtures("backends")
def test_a_job_that_runs_on_is_told_of_by_the_parent_of_its_process() -> None:
    row = submit(NewJob(PING))
    execution.claim(row["id"], WORKER)
    topic = f"job:{row['id']}"
    assert stream.last_number(topic) == 1
    keeper = Keeper(WORKER.boot, lambda: {os.getpid()})
    keeper.look(renew=False)
    wait_until(lambda: stream.last_number(topic) == 2, "the stream tells that the job runs")


@pytest.mark.usefixtures("backends")
def test_what_a_database_refuses_in_a_text_does_not_keep_a_job_from_ending() -> None:
    row = submit(NewJob(PING))
    job = execution.claim(row["id"], WORKER)
    job.lines.append({"time": 1.0, "level": "INFO", "text": "bad \ud800 \0"})

    def body() -> None:
        raise ValueError("name \udcff of a file with \0")

    with pytest.raises(ValueError, match="name"):
        execution.run(job, body, (), {}, SoftLimit)
    final = jobs.get(row["id"])
    assert final["state"] == "FAILED"
    assert final["error"]["code"] in ("unexpected", "unwritable")


@pytest.mark.usefixtures("backends")
def test_numbers_of_numpy_reach_row_and_client_as_plain_ones() -> None:
    import numpy as np

    row = submit(NewJob(PING))
    job = execution.claim(row["id"], WORKER)
    assert run(job, {"n": np.int64(3), "bad": float("nan")}) == {"n": 3, "bad": None}
    assert jobs.get(row["id"])["result"] == {"n": 3, "bad": None}


@pytest.mark.usefixtures("backends")
def test_a_cancel_is_not_forgotten_when_the_job_goes_back_to_waiting() -> None:
    row = submit(NewJob(PING))
    job = execution.claim(row["id"], WORKER)
    jobs.cancel(row["id"])

    def body() -> None:
        raise TransientError("the furnace is busy")

    with pytest.raises(Retried):
        execution.run(job, body, (), {}, SoftLimit)
    assert jobs.get(row["id"])["state"] == "CANCELLED"
    other = submit(NewJob(PING))
    claimed = execution.claim(other["id"], WORKER)
    jobs.cancel(other["id"])
    assert execution.give_back(claimed.row)
    assert jobs.get(other["id"])["state"] == "CANCELLED"


@pytest.mark.usefixtures("backends")
def test_an_answer_that_redis_did_not_take_is_stored_later(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = submit(NewJob(PING, reply=True))
    job = execution.claim(row["id"], WORKER)
    with monkeypatch.context() as patched:
        patched.setitem(app.conf, "result_backend", "redis://127.0.0.1:1/1")
        run(job, "late")
    with redis_server.client(1) as client:
        assert not client.exists(f"celery-task-meta-{row['id']}")
        assert dispatch.answer_again() == 1
        assert dispatch.answer_again() == 0
        assert b"late" in client.get(f"celery-task-meta-{row['id']}")


def _final_but_unanswered(redis_server: RedisServer) -> str:
    """Return a job whose process died between the final row and the answer."""
    row = submit(NewJob(PING, reply=True))
    run(execution.claim(row["id"], WORKER), "kept")
    with redis_server.client(1) as client:
        assert client.delete(f"celery-task-meta-{row['id']}") == 1
    return str(row["id"])


def _answer_of(redis_server: RedisServer, job_id: str) -> str:
    with redis_server.client(1) as client:
        stored = client.get(f"celery-task-meta-{job_id}")
    return str(orjson.loads(stored)["result"])


@pytest.mark.usefixtures("backends")
@pytest.mark.parametrize("how", ["child_died", "hard_limit"])
def test_the_answer_that_died_with_its_process_is_stored_by_the_parent(
    redis_server: RedisServer, how: str
) -> None:
    job_id = _final_but_unanswered(redis_server)
    keeper = Keeper(WORKER.boot, lambda: {os.getpid()})
    if how == "child_died":
        keeper.child_died(job_id, os.getpid(), "signal 9")
    else:
        keeper.hard_limit(job_id, os.getpid())
    assert _answer_of(redis_server, job_id) == "kept"
    assert jobs.get(job_id)["state"] == "SUCCEEDED"


@pytest.mark.usefixtures("backends")
def test_a_taken_message_of_a_final_job_goes_back_and_brings_the_answer(
    redis_server: RedisServer,
) -> None:
    final, open_job = _final_but_unanswered(redis_server), submit(NewJob(PING))["id"]
    with redis_server.client() as client:
        for job_id in (final, open_job):
            message = {"headers": {"id": job_id}, "properties": {"priority": 7}}
            client.hset("unacked", job_id, orjson.dumps([message, "", "default"]))
            client.zadd("unacked_index", {job_id: 1.0})
        assert dispatch.restore_unclaimed() == 1
        assert client.hkeys("unacked") == [open_job.encode()]
        assert client.llen("default\x06\x167") == 1
    execution.answer_again(final)
    assert _answer_of(redis_server, final) == "kept"


@pytest.mark.usefixtures("backends")
def test_an_answer_that_redis_did_not_take_a_second_time_is_due(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = _final_but_unanswered(redis_server)
    with monkeypatch.context() as patched:
        patched.setitem(app.conf, "result_backend", "redis://127.0.0.1:1/1")
        execution.answer_again(job_id)
    assert dispatch.answer_again() == 1
    assert _answer_of(redis_server, job_id) == "kept"


@pytest.mark.usefixtures("backends")
def test_a_prefix_of_all_keys_of_the_broker_is_kept_to(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**app.conf.broker_transport_options, "global_keyprefix": "mine:"}
    monkeypatch.setitem(app.conf, "broker_transport_options", options)
    # Another URL of the same server, for connections are kept by URL.
    monkeypatch.setattr("materia.broker.app.app.conf.broker_url", redis_server.url(0) + "?prefix")
    row = submit(NewJob(PING))
    with redis_server.client() as client:
        raw = client.rpop("mine:default\x06\x165")
        assert dispatch.resend_after_loss() == 1
        assert dispatch.resend_after_loss() == 0
        message = orjson.loads(raw)
        message["headers"]["id"] = "unknown"
        client.hset("mine:unacked", "tag", orjson.dumps([message, "", "default"]))
        client.zadd("mine:unacked_index", {"tag": 1.0})
        assert dispatch.restore_unclaimed() == 1
        assert not client.exists("mine:unacked")
        assert client.llen("mine:default\x06\x165") == 2
        assert not client.exists("unacked", "default\x06\x165")
    assert jobs.get(row["id"])["state"] == "QUEUED"
