"""Clean-ups on both databases and real files: what goes, and above all what stays."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from campaigns_under_test import branin_currin, golden, params_of
from fixtures import only_sqlite
from materia import settings
from materia.errors import DefinitionError
from materia.services import campaign_steps, campaigns, execution, jobs, retention, submission
from materia.services.execution import Claimant
from materia.services.partial import Partial
from materia.services.submission import NewJob
from materia.services.work import unit_of_work
from materia.store import campaigns as campaign_rows
from materia.store import schedules as schedule_rows
from materia.store.database import database
from materia.store.jobs import JobState, Row
from materia.store.tables import events, idempotency, job_log, schedule_runs
from materia.store.tables import jobs as job_table

PING = "tasks.simple_tasks.ping"
PREDICT = "tasks.ml_tasks.batch_predictions"
DAY_S = 86400.0

pytestmark = pytest.mark.usefixtures("backends")


def write(path: Path, days_old: float, content: str = "x" * 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    age(path, days_old)
    age(path.parent, days_old)
    return path


def age(path: Path, days: float) -> None:
    then = time.time() - days * DAY_S
    os.utime(path, (then, then), follow_symlinks=False)


def clean() -> Row:
    return dict(retention.cleanup_old_results().result)


def ended(days_ago: float, state: JobState = JobState.SUCCEEDED, **values: Any) -> str:
    """Return the id of a job that has ended, with a log line and its events."""
    result = values.pop("result", None)
    new = NewJob(**{"task": PING, "id": str(uuid.uuid4()), **values})
    submission.submit(new)
    then = time.time() - days_ago * DAY_S
    columns = {"state": state, "finished_at": then, "claimed_at": then, "result": result}
    with database().write() as connection:
        chosen = job_table.c.id == new.id
        connection.execute(job_table.update().where(chosen).values(columns))
        line = {"job_id": new.id, "number": 1, "time": then, "level": "INFO", "text": "done"}
        connection.execute(job_log.insert(), [line])
    return str(new.id)


def count(table: Any) -> int:
    with database().read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def exists(job_id: str) -> bool:
    return any(row["id"] == job_id for row in jobs.page(200)[0])


def test_jobs_go_after_their_time_with_what_belongs_to_them() -> None:
    old = [ended(31, state) for state in ("SUCCEEDED", "FAILED", "CANCELLED", "QUARANTINED")]
    young = ended(29)
    waiting = submission.submit(NewJob(task=PING))["id"]
    record = ended(400, idempotency_key="inbox:" + "a" * 64)
    unanswered = ended(400)
    checks = [ended(days, task="tasks.simple_tasks.check_cluster_health") for days in (2, 0.5)]
    with database().write() as connection:
        values = {"is_answer_due": True}
        chosen = job_table.c.id == unanswered
        connection.execute(job_table.update().where(chosen).values(values))
    assert clean()["jobs_deleted"] == 5
    assert [exists(job_id) for job_id in checks] == [False, True]
    assert not any(map(exists, old))
    assert all(map(exists, (young, waiting, record, unanswered)))
    with database().read() as connection:
        topics = {row[0] for row in connection.execute(select(events.c.topic))}
        logs = {row[0] for row in connection.execute(select(job_log.c.job_id))}
    kept = {young, waiting, record, unanswered, checks[1]}
    assert topics == {f"job:{job_id}" for job_id in kept}
    assert logs == {young, checks[1]}
    assert clean()["jobs_deleted"] == 0


def test_jobs_of_a_campaign_stay_until_it_has_ended() -> None:
    campaign_id = campaigns.run(branin_currin())["campaign_id"]
    root = campaigns.get(campaign_id)["task_id"]
    step = ended(400, campaign_id=campaign_id, step="train_surrogate", iteration=1)
    clean()
    assert exists(step)
    campaigns.stop(campaign_id)
    with database().write() as connection:
        long_ago = {"finished_at": 1.0}
        connection.execute(job_table.update().where(job_table.c.id == root).values(long_ago))
        connection.execute(events.update().values(time=1.0))
    n_events = count(events.select().where(events.c.campaign_id == campaign_id).subquery())
    found = clean()
    assert not exists(step)
    assert exists(root)
    assert found["events_deleted"] > 0
    with database().read() as connection:
        query = select(events.c.number).where(events.c.topic == f"campaign:{campaign_id}")
        left = list(connection.execute(query).scalars())
    # The newest tells clients that there is nothing after it.
    assert len(left) == 1
    assert n_events > 1


def test_runs_of_schedules_and_keys_of_requests_go_too() -> None:
    now = time.time()
    with database().write() as connection:
        for days in (31, 29):
            answer = {"job_id": "x"}
            values = {"owner": "o", "key": str(days), "digest": "d", "answer": answer}
            connection.execute(idempotency.insert().values(**values, created_at=now - days * DAY_S))
        from materia.services.schedules import NewSchedule

        row = NewSchedule("s", PING, interval_s=3600.0).row(now)
        schedule_rows.add(database(), connection, row)
        for days in (31, 29):
            schedule_rows.add_run(database(), connection, "s", now - days * DAY_S, "x")
    found = clean()
    assert (found["keys_deleted"], found["schedule_runs_deleted"]) == (1, 1)
    assert (count(idempotency), count(schedule_runs)) == (1, 1)


@only_sqlite
def test_partial_results_stay_as_long_as_their_job_may_need_them() -> None:
    def kept(job_id: str, hours_old: float) -> Path:
        partial = Partial.of(job_id, "input")
        partial.keep(0, {"score": 1.0})
        for path in (*partial.folder.iterdir(), partial.folder):
            age(path, hours_old / 24)
        return partial.folder

    waiting = kept(submission.submit(NewJob(task=PING))["id"], 100)
    done = kept(ended(1), 100)
    unknown = kept("nobody", 100)
    young = kept("just now", 0.1)
    outside = write(settings.current().data_dir / "outside" / "0.npz", 100)
    link = settings.current().artifact_dir / "jobs" / "link"
    link.symlink_to(outside.parent)
    age(link, 100)
    size = sum(path.stat().st_size for folder in (done, unknown) for path in folder.iterdir())
    found = clean()
    assert (found["partial_results_deleted"], found["files_deleted"]) == (2, 2)
    assert found["space_freed"] == size
    assert waiting.is_dir()
    assert young.is_dir()
    assert not done.exists()
    assert not unknown.exists()
    assert outside.is_file()


@only_sqlite
def test_only_what_killed_processes_left_is_taken_for_temporary() -> None:
    config = settings.current()
    root, outside = config.data_root, config.data_dir / "outside"
    left = [
        write(root / "deep" / ".orders.csv.4711", 2),
        write(root / ".new.csv.part", 2),
        write(root / "models" / ".a-b.model.99", 2),
        write(config.artifact_dir / "campaigns" / "c" / ".surrogate-x1y2z3w4", 2),
        write(root / ".orders.csv.ab12_xyz" / "rows", 2),
    ]
    stays = [
        write(root / "orders.csv", 900),
        write(root / ".orders.csv.4712", 0.5),
        write(root / ".hidden", 900),
        write(root / ".config.2024", 900),
        write(root / ".my.settings" / "file", 900),
        write(root / ".fresh.csv.ab12cdef" / "rows", 0.1),
        write(outside / ".orders.csv.4711", 900),
    ]
    (root / "way-out").symlink_to(outside)
    (root / ".linked.csv.12345678").symlink_to(outside)
    age(root / ".linked.csv.12345678", 900)
    found = clean()
    assert found["temporary_files_deleted"] == found["files_deleted"] == len(left)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in stays)
    assert not left[-1].parent.exists()


@only_sqlite
def test_what_a_running_job_may_be_writing_stays() -> None:
    job = submission.submit(NewJob(task=PING))
    execution.claim(job["id"], Claimant("b", "w"))
    with database().write() as connection:
        connection.execute(job_table.update().values(claimed_at=time.time() - 10 * DAY_S))
    since = write(settings.current().data_root / ".big.csv.4711", 5)
    before = write(settings.current().data_root / ".old.csv.4711", 11)
    clean()
    assert since.exists()
    assert not before.exists()


@only_sqlite
def test_predictions_go_only_when_the_operator_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    root = settings.current().data_root

    def predicted(days: float, **more: str) -> tuple[str, Path]:
        job_id = str(uuid.uuid4())
        names = [f"predictions/{job_id}/a.csv", *more.values()]
        ended(days, task=PREDICT, id=job_id, result={"output_files": names})
        return job_id, write(root / names[0], days)

    secret = write(settings.current().data_dir / "secret.csv", 50)
    table = write(root / "table.csv", 0)
    (root / "link.csv").symlink_to(secret)
    old_id, old = predicted(50, a="../secret.csv", b=str(secret), c="link.csv", d="table.csv")
    _, young = predicted(3)
    assert clean()["predictions_deleted"] == 0
    assert not exists(old_id)
    assert old.is_file()

    monkeypatch.setenv("MATERIA_KEEP_PREDICTIONS_DAYS", "45")
    settings.current.cache_clear()
    between, file = predicted(40)
    old_id, old = predicted(50, a="../secret.csv", b=str(secret), c="link.csv", d="table.csv")
    assert clean()["predictions_deleted"] == 1
    assert not old.parent.exists()
    assert all(path.exists() for path in (young, file, secret, table))
    # Without its job nobody would know any more what it has written.
    assert exists(between)
    assert not exists(old_id)


def checkpoints(campaign_id: str, days_old: dict[int, float]) -> Path:
    folder = settings.current().artifact_dir / "campaigns" / campaign_id
    for iteration, days in days_old.items():
        write(folder / f"surrogate-{iteration:05d}.npz", days)
    return folder


def iterations(folder: Path) -> list[int]:
    return sorted(int(path.stem.split("-")[1]) for path in folder.glob("surrogate-*.npz"))


@only_sqlite
def test_old_checkpoints_go_but_never_the_newest_of_a_campaign_that_goes_on() -> None:
    running = campaigns.run(branin_currin())["campaign_id"]
    over = campaigns.run(branin_currin())["campaign_id"]
    campaigns.stop(over)
    ages = {1: 30.0, 2: 20.0, 3: 10.0, 4: 8.0, 5: 1.0}
    folders = [checkpoints(name, ages) for name in (running, over, "deleted")]
    result = retention.cleanup_old_checkpoints(3, 7).result
    assert [iterations(folder) for folder in folders] == [[3, 4, 5], [3, 4, 5], [5]]
    assert (result["status"], result["campaigns"]) == ("success", 3)
    assert (result["checkpoints_deleted"], result["space_freed"]) == (8, 80)
    retention.cleanup_old_checkpoints(0, 0)
    assert [iterations(folder) for folder in folders] == [[5], [], []]
    assert not folders[2].exists()


@only_sqlite
def test_no_link_leads_a_clean_up_of_checkpoints_away() -> None:
    elsewhere = write(settings.current().data_dir / "other" / "surrogate-00001.npz", 100)
    folder = checkpoints("c", {})
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(elsewhere.parent)
    inside = checkpoints("d", {1: 100.0})
    (inside / "surrogate-00002.npz").symlink_to(elsewhere)
    assert retention.cleanup_old_checkpoints(0, 0).result["checkpoints_deleted"] == 1
    assert elsewhere.is_file()


@only_sqlite
@pytest.mark.parametrize(
    ("keep_last", "days", "path"),
    [
        *((bad, 7, "keep_last") for bad in (-1, 10_001, 1.5, True, "3", None)),
        *((3, bad, "older_than_days") for bad in (-1, 36_501, float("nan"), "7", None, True)),
    ],
)
def test_what_is_no_number_is_refused_and_nothing_deleted(
    keep_last: Any, days: Any, path: str
) -> None:
    folder = checkpoints("c", {1: 100.0})
    with pytest.raises(DefinitionError) as refused:
        retention.cleanup_old_checkpoints(keep_last, days)
    assert refused.value.path == path
    assert iterations(folder) == [1]


STEPS = {
    f"tasks.campaign_tasks.{name}": getattr(campaign_steps, name)
    for name in (
        "train_surrogate",
        "run_cmaes_optimization",
        "evaluate_candidates",
        "compute_pareto_front",
    )
}


@only_sqlite
def test_a_campaign_that_is_cleaned_up_between_all_steps_equals_one_that_is_not() -> None:
    source = branin_currin(optimizer={"budget": 14})
    campaign_id = campaigns.run(source)["campaign_id"]
    deleted = 0
    while campaigns.get(campaign_id)["state"] == "running":
        waiting, _ = jobs.page(50, campaign_id=campaign_id, state="QUEUED")
        for row in waiting:
            job = execution.claim(row["id"], Claimant("b", "w"))
            execution.run(job, STEPS[row["task"]], row["args"], row["kwargs"], KeyboardInterrupt)
            outcome = retention.cleanup_old_checkpoints(0, 0)
            deleted += outcome.result["checkpoints_deleted"]
            with unit_of_work() as work:
                assert outcome.effects is not None
                outcome.effects(work)
    expected = golden(source)
    assert campaigns.get(campaign_id)["state"] == "completed"
    assert params_of(campaign_id) == [c["params"] for c in expected.dump()["candidates"]]
    assert campaigns.get(campaign_id)["hypervolume"] == expected.hypervolume()
    assert deleted > 0
    with database().read() as connection:
        rows = campaign_rows.iterations_of(connection, campaign_id)
    kept = [row["iteration"] for row in rows if row["checkpoint"]]
    folder = settings.current().artifact_dir / "campaigns" / campaign_id
    assert kept == iterations(folder)
