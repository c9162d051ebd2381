"""A campaign goes on, and ends with the same candidates, whatever dies under it."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from typing import Any

import pytest

from campaigns_under_test import branin_currin, finished, golden, params_of
from fixtures import only_postgresql
from materia.services import campaigns, jobs
from materia.store import campaigns as campaign_rows
from materia.store.database import database
from workers import Cluster


def _slow(seed: int) -> dict[str, Any]:
    evaluator = {"type": "function", "options": {"name": "branin_currin", "delay_s": 0.15}}
    return branin_currin(evaluator=evaluator, optimizer={"budget": 18, "seed": seed})


def _check(campaign_id: str, source: dict[str, Any]) -> None:
    """Compare what the database says with a campaign that nothing ever happened to."""
    row = campaigns.get(campaign_id)
    expected = golden(source)
    assert row["state"] == "completed", row["error"]
    assert params_of(campaign_id) == [c["params"] for c in expected.dump()["candidates"]]
    assert row["hypervolume"] == expected.hypervolume()
    assert (row["evaluations_completed"], row["evaluations_failed"]) == (18, 0)
    with database().read() as connection:
        for candidate in campaigns.candidates(campaign_id)[0]:
            rows = campaign_rows.evaluations_of(connection, campaign_id, candidate["id"])
            assert len(rows) == 1, "an evaluation was counted twice"
    assert not [j for j in jobs.page(200, campaign_id=campaign_id)[0] if j["state"] == "RUNNING"]


@only_postgresql
@pytest.mark.trials
def test_a_campaign_survives_kills_at_random_moments(cluster: Cluster, trials: int) -> None:
    seed = int(os.environ.get("MATERIA_TEST_SEED", random.SystemRandom().randrange(2**32)))
    print(f"seed {seed}; repeat with MATERIA_TEST_SEED={seed}")
    chance = random.Random(seed)
    workers = [cluster.worker(), cluster.worker()]
    schedulers = [cluster.scheduler()]
    for trial in range(trials):
        source = _slow(seed=trial)
        campaign_id = campaigns.run(source)["campaign_id"]
        for _ in range(chance.randint(1, 3)):
            time.sleep(chance.uniform(0.0, 1.0))
            what = chance.choice(["child", "worker", "scheduler", "flush"])
            print(f"trial {trial}: {what}")
            if what == "child":
                with suppress(IndexError, OSError):
                    os.kill(chance.choice(chance.choice(workers).children()), signal.SIGKILL)
            elif what == "worker":
                workers.pop(chance.randrange(2)).kill()
                workers.append(cluster.worker(ready=False))
            elif what == "scheduler":
                schedulers.pop().kill()
                schedulers.append(cluster.scheduler())
            else:
                with cluster.redis.client() as client:
                    client.flushall()
        finished(cluster, campaign_id)
        _check(campaign_id, source)


def test_a_campaign_survives_a_kill_between_every_two_steps(cluster: Cluster) -> None:
    source = _slow(seed=77)
    cluster.scheduler()
    campaign_id = campaigns.run(source)["campaign_id"]
    seen: set[str] = set()
    # A worker is killed as soon as it has moved the campaign on by one more job.
    while campaigns.get(campaign_id)["state"] == "running" and len(seen) < 8:
        worker = cluster.worker(concurrency=1)
        before = len(seen)
        deadline = time.monotonic() + 60
        while len(seen) == before and time.monotonic() < deadline:
            rows = jobs.page(200, campaign_id=campaign_id)[0]
            seen = {row["id"] for row in rows if row["state"] == "SUCCEEDED"}
            time.sleep(0.01)
        worker.kill()
    cluster.worker()
    finished(cluster, campaign_id)
    _check(campaign_id, source)
