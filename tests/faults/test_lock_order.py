"""Transactions that meet on the same rows never wait for each other for ever (PostgreSQL)."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, text

from campaigns_under_test import branin_currin
from fixtures import only_postgresql
from materia.services import campaigns, execution, jobs
from materia.services.campaign_life import cancelled
from materia.store import jobs as job_rows
from materia.store.database import database
from materia.store.jobs import Row
from servers import wait_until

WAITING_FOR_A_LOCK = text(
    "select count(*) from pg_stat_activity"
    " where datname = current_database() and wait_event_type = 'Lock'"
)


def _somebody_waits() -> bool:
    with database().read() as connection:
        return bool(connection.execute(WAITING_FOR_A_LOCK).scalar_one())


@pytest.mark.usefixtures("backends")
@only_postgresql
def test_a_step_may_end_while_its_campaign_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    campaign_id = campaigns.run(branin_currin())["campaign_id"]
    waiting_of = job_rows.waiting_of
    ended: list[Future[bool]] = []

    def claim_and_end(job_id: str) -> bool:
        job = execution.claim(job_id, execution.Claimant(boot="boot", worker="w"))
        return execution.end(job.row, cancelled("its process was killed"))

    def waiting_then_claimed(connection: Connection, campaign: str) -> list[Row]:
        rows = waiting_of(connection, campaign)
        ended.append(pool.submit(claim_and_end, rows[0]["id"]))
        wait_until(_somebody_waits, "the end of the step waits for the campaign")
        return rows

    monkeypatch.setattr(job_rows, "waiting_of", waiting_then_claimed)
    with ThreadPoolExecutor(1) as pool:
        campaigns.stop(campaign_id)
        assert ended[0].result(30)
    assert campaigns.get(campaign_id)["state"] == "stopped"
    rows, _ = jobs.page(10, campaign_id=campaign_id)
    assert not [row for row in rows if row["state"] not in job_rows.FINAL]
