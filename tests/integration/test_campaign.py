"""Campaigns over real workers, on both databases."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns_under_test import branin_currin, finished, golden, params_of
from fixtures import only_postgresql, only_sqlite
from materia import settings
from materia.errors import DefinitionError, StateError
from materia.events.models import campaign_topic
from materia.services import campaign_steps, campaign_views, campaigns, jobs, submission
from materia.services.running import Superseded
from materia.services.submission import NewJob
from materia.services.work import unit_of_work
from materia.store import events as event_rows
from materia.store.database import database
from servers import wait_until
from workers import Cluster


def test_a_campaign_over_workers_equals_the_library_bit_for_bit(cluster: Cluster) -> None:
    cluster.worker()
    cluster.scheduler()
    started = campaigns.run(branin_currin())
    row = finished(cluster, started["campaign_id"])
    expected = golden(branin_currin())
    assert row["state"] == "completed"
    assert row["evaluations_completed"] == 22
    told = [candidate["params"] for candidate in expected.dump()["candidates"]]
    assert params_of(row["id"]) == told
    assert row["hypervolume"] == expected.hypervolume()
    front = {c["id"] for c in campaigns.candidates(row["id"], pareto_only=True)[0]}
    assert front == {point["id"] for point in expected.pareto_front()}


@only_sqlite
def test_the_task_id_ends_with_the_campaign_and_gives_its_summary(cluster: Cluster) -> None:
    cluster.worker()
    started = campaigns.run(branin_currin(optimizer={"budget": 8}))
    summary = cluster.client().AsyncResult(started["task_id"]).get(timeout=120)
    assert summary["state"] == "completed"
    assert summary["campaign_id"] == started["campaign_id"]
    assert summary["evaluations_completed"] == 8
    assert summary["pareto_front"]
    assert jobs.get(started["task_id"])["state"] == "SUCCEEDED"


@only_postgresql
def test_the_events_of_a_campaign_tell_its_whole_story_without_a_gap(cluster: Cluster) -> None:
    cluster.worker()
    started = campaigns.run(branin_currin(optimizer={"budget": 14}))
    finished(cluster, started["campaign_id"])
    with database().read() as connection:
        topic = campaign_topic(started["campaign_id"])
        rows = event_rows.after(connection, topic, 0, 1000)
    assert [row["number"] for row in rows] == list(range(1, len(rows) + 1))
    kinds = [row["type"] for row in rows]
    assert kinds.count("evaluation_completed") == 14
    assert kinds.count("iteration_started") == kinds.count("iteration_completed") == 3
    assert kinds.count("surrogate_trained") == 2
    assert kinds[-1] == "campaign_state_changed"
    assert rows[-1]["data"]["state"] == "completed"


def test_a_stopped_campaign_starts_nothing_new_and_keeps_what_was_measured(
    cluster: Cluster,
) -> None:
    cluster.worker()
    slow = {"type": "function", "options": {"name": "branin_currin", "delay_s": 0.5}}
    started = campaigns.run(branin_currin(evaluator=slow, optimizer={"budget": 200}))
    campaign_id = started["campaign_id"]
    wait_until(lambda: campaigns.get(campaign_id)["evaluations_completed"] >= 3, "some results")
    assert campaigns.stop(campaign_id)["state"] == "stopped"
    assert campaigns.stop(campaign_id)["state"] == "stopped"
    summary = cluster.client().AsyncResult(started["task_id"]).get(timeout=120)
    assert summary["state"] == "stopped"

    def idle() -> bool:
        return not [r for r in jobs.page(200, campaign_id=campaign_id)[0] if _open(r)]

    wait_until(idle, "the jobs of the campaign end")
    row = campaigns.get(campaign_id)
    states = [c["state"] for c in campaigns.candidates(campaign_id)[0]]
    assert states.count("told") == row["evaluations_completed"] >= 3
    assert "proposed" not in states
    assert row["evaluations_failed"] == 0
    assert row["pareto_size"] >= 1


def _open(row: dict[str, Any]) -> bool:
    return row["state"] in {"QUEUED", "RUNNING", "RETRYING"}


@only_sqlite
def test_failed_candidates_do_not_end_a_campaign(cluster: Cluster) -> None:
    cluster.worker()
    formula = {"type": "expression", "options": {"y": "log(x - 0.4)"}}
    source = {
        "name": "half-fails",
        "parameters": [{"name": "x", "type": "continuous", "bounds": [0, 1]}],
        "objectives": [{"name": "y", "direction": "maximize"}],
        "evaluator": formula,
        "optimizer": {"budget": 12, "batch_size": 3, "seed": 2},
    }
    row = finished(cluster, campaigns.run(source)["campaign_id"])
    assert row["state"] == "completed"
    assert row["evaluations_completed"] + row["evaluations_failed"] == 12
    assert row["evaluations_failed"] > 0
    assert row["best"]["params"]["x"] > 0.9


@pytest.mark.usefixtures("backends")
def test_an_invalid_definition_starts_nothing() -> None:
    broken = branin_currin(evaluator={"type": "functoin", "options": {}})
    broken["parameters"][0]["bounds"] = [1, 0]
    with pytest.raises(DefinitionError) as caught:
        campaigns.run(broken)
    paths = {finding["path"] for finding in caught.value.findings}
    assert "parameters[0].bounds" in paths
    assert campaigns.page(10)[1] == 0
    assert jobs.page(10)[1] == 0


@pytest.mark.usefixtures("backends")
def test_a_finished_campaign_cannot_be_stopped() -> None:
    started = campaigns.run(branin_currin())
    campaigns.stop(started["campaign_id"])
    with database().write() as connection:
        from materia.store import campaigns as rows

        rows.change(connection, started["campaign_id"], {"state": "completed"})
    with pytest.raises(StateError, match="completed"):
        campaigns.stop(started["campaign_id"])


@pytest.mark.usefixtures("backends")
@pytest.mark.parametrize("starts", [False, True])
def test_a_front_that_is_asked_for_before_there_are_candidates_moves_nothing(starts: bool) -> None:
    campaign_id = campaigns.run(branin_currin(), starts=starts)["campaign_id"]
    before = campaigns.get(campaign_id)
    effects = campaign_steps.compute_pareto_front(campaign_id, 0).effects
    assert effects is not None
    with pytest.raises(Superseded, match="has no candidates yet"), unit_of_work() as work:
        effects(work)
    assert campaigns.get(campaign_id) == before


@only_postgresql
def test_a_campaign_over_a_table_ends_when_every_row_was_asked(cluster: Cluster) -> None:
    rows = "\n".join(f"{x / 10},{(x - 4) ** 2}" for x in range(9))
    (settings.current().data_root / "rows.csv").write_text(f"x,y\n{rows}\n")
    source = {
        "name": "rows",
        "parameters": [{"name": "x", "type": "continuous", "bounds": [0, 1]}],
        "objectives": [{"name": "y", "direction": "minimize"}],
        "evaluator": {"type": "table", "options": {"file": "rows.csv"}},
        "optimizer": {
            "budget": 12,
            "batch_size": 3,
            "seed": 2,
            "active_learning": {"initial_samples": 3},
        },
    }
    cluster.worker()
    row = finished(cluster, campaigns.run(source)["campaign_id"])
    assert row["state"] == "completed", row["error"]
    reason = "every possible candidate has been asked"
    assert campaign_views.convergence(row["id"])["reason"] == reason
    assert jobs.get(row["task_id"])["result"]["reason"] == reason
    asked = [params["x"] for params in params_of(row["id"])]
    assert sorted(asked) == [x / 10 for x in range(9)]
    assert row["best"]["outcomes"]["y"] == 0


@only_sqlite
def test_replicates_of_conditional_points_equal_the_library_until_the_space_is_exhausted(
    cluster: Cluster,
) -> None:
    source = {
        "name": "coats",
        "parameters": [
            {"name": "kind", "type": "categorical", "choices": ["plain", "coated"]},
            {"name": "coats", "type": "integer", "bounds": [1, 4], "when": {"kind": "coated"}},
            {"name": "hours", "type": "integer", "bounds": [0, 1], "when": {"coats": [3, 4]}},
        ],
        "objectives": [{"name": "y"}, {"name": "z", "direction": "maximize"}],
        "evaluator": {
            "type": "expression",
            "options": {"y": "(coats - 3) ** 2 + hours", "z": "coats * coats"},
        },
        "optimizer": {
            "budget": 40,
            "batch_size": 2,
            "replicates": 2,
            "seed": 3,
            "active_learning": {"initial_samples": 3},
        },
    }
    expected = golden(source)
    assert expected.state == "exhausted"
    cluster.worker()
    row = finished(cluster, campaigns.run(source)["campaign_id"])
    assert row["state"] == "completed", row["error"]
    assert row["evaluations_completed"] == 14
    asked = params_of(row["id"])
    assert asked == [candidate["params"] for candidate in expected.dump()["candidates"]]
    assert asked[0::2] == asked[1::2]
    assert asked.count({"kind": "plain", "coats": None, "hours": None}) == 2
    front, total = campaign_views.front(row["id"])
    points = expected.pareto_front()
    assert [point["id"] for point in points] == [line["id"] for line in front]
    assert total == row["pareto_size"] == len(points)
    assert [line["outcomes"]["y"] for line in front] == [[p["outcomes"]["y"], 0.0] for p in points]
    marked = {c["id"] for c in campaigns.candidates(row["id"], pareto_only=True)[0]}
    assert marked == {name for point in points for name in point["replicates"]}


@only_postgresql
def test_a_step_that_comes_again_changes_nothing(cluster: Cluster) -> None:
    source = branin_currin(
        evaluator={"type": "function", "options": {"name": "branin_currin", "delay_s": 0.1}}
    )
    campaign_id = campaigns.run(source)["campaign_id"]
    cluster.worker()
    wait_until(lambda: campaigns.get(campaign_id)["iteration"] >= 2, "the campaign is under way")
    ids = [row["id"] for row in campaigns.candidates(campaign_id)[0][:6]]
    for step, kwargs in (
        ("compute_pareto_front", {"iteration": 0}),
        ("run_cmaes_optimization", {"iteration": campaigns.get(campaign_id)["iteration"]}),
        ("train_surrogate", {"iteration": 1}),
        ("evaluate_candidates", {"candidate_ids": ids}),
    ):
        kwargs = {"campaign_id": campaign_id, **kwargs}
        again = submission.submit(NewJob(f"tasks.campaign_tasks.{step}", kwargs=kwargs))
        cluster.wait(again["id"])
    row = finished(cluster, campaign_id)
    assert row["state"] == "completed"
    assert params_of(campaign_id) == [c["params"] for c in golden(source).dump()["candidates"]]
