"""Campaigns that are paused, resumed and given a larger budget, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from campaigns_under_test import branin_currin, finished, golden, params_of
from fixtures import only_postgresql, only_sqlite
from materia.client import Client
from materia.engine.campaign import Campaign
from materia.errors import DataError, DefinitionError, NotFoundError, StateError
from materia.events.models import campaign_topic
from materia.services import campaign_course, campaign_views, campaigns, jobs
from materia.store import campaigns as campaign_rows
from materia.store import events as event_rows
from materia.store import jobs as job_rows
from materia.store.database import database
from servers import wait_until
from serving import BASE, ThreadServer, in_process
from workers import Cluster

CLAIMANT = {"claimed_by": "a test", "worker": "a test", "pid": 1}
VERBS: dict[str, Callable[[str], Any]] = {
    "paused": campaign_course.pause,
    "resumed": campaign_course.resume,
    "extended": lambda campaign_id: campaign_course.extend(campaign_id, 30),
}


def steps_of(campaign_id: str) -> list[dict[str, Any]]:
    return [row for row in jobs.page(200, campaign_id=campaign_id)[0] if row["step"] != "campaign"]


def is_held(campaign_id: str) -> bool:
    """Tell whether all steps that have not ended wait until the campaign is resumed."""
    due = [row["run_at"] for row in steps_of(campaign_id) if row["finished_at"] is None]
    return bool(due) and set(due) == {job_rows.HELD_UNTIL}


def states_told(campaign_id: str) -> list[str]:
    with database().read() as connection:
        rows = event_rows.after(connection, campaign_topic(campaign_id), 0, 1000)
    return [row["data"]["state"] for row in rows if row["type"] == "campaign_state_changed"]


def set_state(campaign_id: str, state: str) -> None:
    with database().write() as connection:
        campaign_rows.change(connection, campaign_id, {"state": state})


@only_postgresql
def test_paused_resumed_and_extended_it_asks_what_it_would_have_asked_in_one_go(
    cluster: Cluster,
) -> None:
    cluster.worker()
    cluster.scheduler()
    slow = {"type": "function", "options": {"name": "branin_currin", "delay_s": 0.2}}
    started = campaigns.run(branin_currin(evaluator=slow, optimizer={"budget": 14}))
    campaign_id = started["campaign_id"]
    for n_first in (2, 8):
        wait_until(
            lambda n=n_first: campaigns.get(campaign_id)["evaluations_completed"] >= n, "results"
        )
        assert campaign_course.pause(campaign_id)["state"] == "paused"
        wait_until(lambda: is_held(campaign_id), "what runs has finished, and the rest is held")
        assert campaigns.get(campaign_id)["evaluations_completed"] < 14
        assert campaign_course.resume(campaign_id)["state"] == "running"
    assert finished(cluster, campaign_id)["state"] == "completed"
    assert campaign_course.extend(campaign_id, 14)["state"] == "completed"
    assert campaign_course.extend(campaign_id, 22)["state"] == "running"
    assert campaign_course.extend(campaign_id, 22)["budget"] == 22
    ended = finished(cluster, campaign_id)
    expected = golden(branin_currin())
    assert params_of(campaign_id) == [c["params"] for c in expected.dump()["candidates"]]
    assert ended["hypervolume"] == expected.hypervolume()
    assert states_told(campaign_id) == [
        "running", "paused", "running", "paused", "running", "completed", "running", "completed",
    ]  # fmt: skip
    with ThreadServer() as server, Client(server.url) as client:
        seen = list(client.campaigns.watch(campaign_id))
    assert [event["id"] for event in seen] == list(range(1, ended["event_number"] + 1))
    for task_id, n_evaluations in ((started["task_id"], 14), (ended["task_id"], 22)):
        root = jobs.get(task_id)
        assert (root["state"], root["result"]["evaluations_completed"]) == (
            "SUCCEEDED",
            n_evaluations,
        )


@only_sqlite
def test_a_converged_campaign_that_is_extended_spends_its_budget(cluster: Cluster) -> None:
    cluster.worker()
    rule = {"convergence_patience": 1, "convergence_threshold": 0.9}
    source = branin_currin(optimizer={"budget": 22, "active_learning": rule})
    campaign_id = campaigns.run(source)["campaign_id"]
    row = finished(cluster, campaign_id)
    assert (row["state"], row["evaluations_completed"] < 22) == ("converged", True)
    assert campaign_course.extend(campaign_id, 22)["state"] == "running"
    assert finished(cluster, campaign_id)["state"] == "completed"
    expected = golden(branin_currin(optimizer={"budget": 22}))
    assert params_of(campaign_id) == [c["params"] for c in expected.dump()["candidates"]]


@pytest.mark.usefixtures("backends")
def test_nobody_takes_a_step_of_a_paused_campaign_until_it_is_resumed() -> None:
    campaign_id = campaigns.run(branin_currin())["campaign_id"]
    for _ in range(2):
        assert campaign_course.pause(campaign_id)["state"] == "paused"
    (step,) = steps_of(campaign_id)
    with database().write() as connection:
        assert job_rows.claim(database(), connection, step["id"], CLAIMANT, 10) is None
    for _ in range(2):
        assert campaign_course.resume(campaign_id)["state"] == "running"
    with database().write() as connection:
        assert job_rows.claim(database(), connection, step["id"], CLAIMANT, 10) is not None
    assert states_told(campaign_id) == ["running", "paused", "running"]


@pytest.mark.usefixtures("backends")
def test_a_paused_campaign_can_be_stopped_and_extended() -> None:
    campaign_id = campaigns.run(branin_currin())["campaign_id"]
    campaign_course.pause(campaign_id)
    extended = campaign_course.extend(campaign_id, 30)
    assert (extended["state"], extended["budget"]) == ("paused", 30)
    assert campaigns.stop(campaign_id)["state"] == "stopped"
    assert [row["state"] for row in steps_of(campaign_id)] == ["CANCELLED"]


@pytest.mark.usefixtures("backends")
def test_the_summary_of_a_stopped_campaign_has_the_means_of_replicates() -> None:
    source = branin_currin(optimizer={"replicates": 2})
    started = campaigns.run(source)
    campaign_id = started["campaign_id"]
    engine = Campaign.from_dict(source)
    # Both objectives get worse from point to point, and the replicates of each differ by 2.
    values = {c.id: float(i + i % 2) for i, c in enumerate(engine.ask(6))}
    engine.tell({name: {"branin": y, "currin": y} for name, y in values.items()})
    rows = [{"campaign_id": campaign_id, **row} for row in engine.candidates]
    with database().write() as connection:
        campaign_rows.add_candidates(connection, rows)
        campaign_rows.mark_front(connection, campaign_id, ["c0001", "c0002"])
        campaign_rows.change(connection, campaign_id, {"iteration": 1})
    campaigns.stop(campaign_id)
    (point,) = jobs.get(started["task_id"])["result"]["pareto_front"]
    assert point["outcomes"] == {"branin": 1.0, "currin": 1.0}
    assert point["replicates"] == ["c0001", "c0002"]
    assert point == engine.pareto_front()[0]
    assert campaign_views.convergence(campaign_id)["remaining"] is None  # no proposal yet


@pytest.mark.usefixtures("backends")
def test_what_is_not_possible_says_when_it_is() -> None:
    campaign_id = campaigns.run(branin_currin())["campaign_id"]
    for state in ("stopped", "failed"):
        set_state(campaign_id, state)
        for verb, act in VERBS.items():
            with pytest.raises(StateError, match=f"{state} and cannot be {verb}") as caught:
                act(campaign_id)
            assert "while it is running or paused" in str(caught.value.hint)
    set_state(campaign_id, "running")
    with pytest.raises(StateError, match="a budget of 22 already"):
        campaign_course.extend(campaign_id, 21)
    for budget in (0, 10_001, True, 25.0):
        with pytest.raises(DataError, match=r"budget: .* is no whole number from 1 to 10000"):
            campaign_course.extend(campaign_id, budget)  # type: ignore[arg-type]
    for act in VERBS.values():
        with pytest.raises(NotFoundError):
            act("nothing")


@pytest.mark.usefixtures("backends")
def test_a_larger_budget_leaves_the_initial_design_as_it_was() -> None:
    campaign_id = campaigns.run(branin_currin(optimizer={"budget": 8}))["campaign_id"]
    definition = campaign_course.extend(campaign_id, 40)["definition"]
    assert definition["optimizer"]["active_learning"]["initial_samples"] == 4
    assert definition["optimizer"]["budget"] == 40


@pytest.mark.usefixtures("backends")
def test_a_clone_is_a_definition_that_runs_under_its_own_name() -> None:
    first = campaigns.run(branin_currin())["campaign_id"]
    definition = campaigns.clone(first, "again")
    second = campaigns.get(campaigns.run(definition)["campaign_id"])
    assert second["definition"] == {**campaigns.get(first)["definition"], "name": "again"}
    with pytest.raises(DefinitionError):
        campaigns.clone(first, "no name")


@pytest.mark.usefixtures("backends")
def test_a_campaign_is_deleted_when_it_and_its_jobs_have_ended() -> None:
    kept, campaign_id = (campaigns.run(branin_currin())["campaign_id"] for _ in range(2))
    (step,) = steps_of(campaign_id)
    with pytest.raises(StateError, match="is running and cannot be deleted"):
        campaigns.delete(campaign_id)
    with database().write() as connection:
        job_rows.claim(database(), connection, step["id"], CLAIMANT, 10)
    task_id = campaigns.stop(campaign_id)["task_id"]
    with pytest.raises(StateError, match="still run"):
        campaigns.delete(campaign_id)
    with database().write() as connection:
        job_rows.settle(database(), connection, step["id"], {"state": "CANCELLED"})
    assert campaigns.delete(campaign_id)["state"] == "stopped"
    for look in (campaigns.get, campaigns.delete):
        with pytest.raises(NotFoundError):
            look(campaign_id)
    with pytest.raises(NotFoundError):
        jobs.get(task_id)
    assert states_told(campaign_id) == []
    assert states_told(kept) == ["running"]


@pytest.mark.usefixtures("backends")
def test_the_verbs_answer_over_http() -> None:
    campaign_id = campaigns.run(branin_currin())["campaign_id"]
    path = f"{BASE}/campaigns/{campaign_id}"
    with in_process() as client:

        def post(verb: str, **body: Any) -> httpx.Response:
            return client.post(f"{path}/{verb}", **({"json": body} if body else {}))

        assert post("pause").json()["state"] == "paused"
        assert post("resume").json()["state"] == "running"
        assert post("extend", budget=30).json()["budget"] == 30
        assert post("clone", name="again").json()["name"] == "again"
        assert post("extend", budget=29).status_code == 409
        assert post("extend", budget="40").status_code == 422
        assert post("clone", name="a b").status_code == 422
        assert client.delete(path).status_code == 409
        set_state(campaign_id, "stopped")
        refused = post("pause")
        assert (refused.status_code, refused.json()["code"]) == (409, "state")
        assert refused.json()["hint"] == "that is possible while it is running or paused"
