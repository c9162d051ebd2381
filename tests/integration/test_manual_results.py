"""Campaigns whose results people tell, through the service, HTTP and the command line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from campaigns_under_test import branin_currin, finished, golden, params_of
from fixtures import only_postgresql, only_sqlite
from materia import cli, evaluators
from materia.client import Client
from materia.errors import ConflictError, DataError, MateriaError, NotFoundError, StateError
from materia.mdl import load
from materia.services import campaign_course, campaigns, jobs, manual_results
from servers import wait_until
from serving import ThreadServer, serving_commands
from workers import Cluster

BUDGET = 14
MANUAL: dict[str, Any] = {"evaluator": {"type": "manual"}, "optimizer": {"budget": BUDGET}}


@pytest.fixture
def server(backends: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadServer]:
    with serving_commands(monkeypatch) as started:
        yield started


def started(cluster: Cluster, **changes: Any) -> str:
    cluster.worker()
    cluster.scheduler()
    campaign_id = campaigns.run(branin_currin(**{**MANUAL, **changes}))["campaign_id"]
    wait_until(lambda: waiting(campaign_id), "the first candidates")
    return campaign_id


def waiting(campaign_id: str) -> list[dict[str, Any]]:
    return [row for row in campaigns.candidates(campaign_id)[0] if row["state"] == "proposed"]


def measured(candidate: dict[str, Any]) -> dict[str, float]:
    """Return what an experiment gives: the values of the published problem."""
    definition = load(branin_currin())
    evaluator = evaluators.build(definition, data_roots=[])
    return evaluator.evaluate(candidate["params"], seed=0).outcomes


@only_postgresql
def test_told_late_in_parts_and_out_of_order_it_asks_what_an_evaluator_would_have_got(
    cluster: Cluster,
) -> None:
    campaign_id = started(cluster)
    while campaigns.get(campaign_id)["state"] == "running":
        wait_until(
            lambda: waiting(campaign_id) or campaigns.get(campaign_id)["state"] != "running",
            "candidates, or the end",
        )
        for candidate in reversed(waiting(campaign_id)):
            result = {candidate["id"]: measured(candidate)}
            manual_results.tell(campaign_id, result)
            manual_results.tell(campaign_id, result)
    ended = finished(cluster, campaign_id)
    expected = golden(branin_currin(optimizer={"budget": BUDGET}))
    assert params_of(campaign_id) == [c["params"] for c in expected.dump()["candidates"]]
    assert ended["hypervolume"] == expected.hypervolume()
    assert (ended["state"], ended["evaluations_completed"]) == ("completed", BUDGET)
    assert {row["step"] for row in jobs.page(200, campaign_id=campaign_id)[0]}.isdisjoint(
        {"evaluate_candidates"}
    )


def test_results_are_taken_in_all_or_none_and_never_changed(cluster: Cluster) -> None:
    campaign_id = started(cluster)
    first, second, *_ = waiting(campaign_id)
    good = {first["id"]: {"branin": 1.0, "currin": [2.0, 0.1]}}
    wrong: list[tuple[dict[str, Any], type[MateriaError], str]] = [
        ({}, DataError, "there are no results"),
        ({**good, "c9999": None}, NotFoundError, "no candidate 'c9999'"),
        ({**good, second["id"]: {"branin": 1.0}}, DataError, "lacks currin"),
        ({**good, second["id"]: {"branin": 1.0, "x": 2.0}}, DataError, "x"),
        ({**good, second["id"]: {"branin": 1.0, "currin": "2"}}, DataError, "currin"),
        ({**good, second["id"]: {"branin": float("nan"), "currin": 2.0}}, DataError, "branin"),
        ({**good, second["id"]: {"branin": 1.0, "currin": [2.0, -1.0]}}, DataError, "negative"),
    ]
    for results, kind, reason in wrong:
        with pytest.raises(kind, match=reason):
            manual_results.tell(campaign_id, results)
    assert campaigns.get(campaign_id)["evaluations_completed"] == 0
    manual_results.tell(campaign_id, {**good, second["id"]: None})
    manual_results.tell(campaign_id, good)
    row = campaigns.get(campaign_id)
    assert (row["evaluations_completed"], row["evaluations_failed"]) == (1, 1)
    for other in ({"branin": 1.0, "currin": 2.0}, None):
        with pytest.raises(ConflictError, match="another result"):
            manual_results.tell(campaign_id, {first["id"]: other})
    failed = {c["id"]: c for c in campaigns.candidates(campaign_id)[0]}[second["id"]]
    assert (failed["state"], failed["error"]["message"]) == ("failed", "the experiment failed")


@only_sqlite
def test_paused_it_takes_results_and_stopped_it_does_not(cluster: Cluster) -> None:
    campaign_id = started(cluster)
    campaign_course.pause(campaign_id)
    batch = waiting(campaign_id)
    manual_results.tell(campaign_id, {one["id"]: measured(one) for one in batch})
    wait_until(lambda: campaigns.get(campaign_id)["hypervolume"] is not None, "the front")
    assert waiting(campaign_id) == []
    campaign_course.resume(campaign_id)
    wait_until(lambda: waiting(campaign_id), "more candidates")
    late, *_ = waiting(campaign_id)
    campaigns.stop(campaign_id)
    assert waiting(campaign_id) == []
    with pytest.raises(StateError, match="takes no more results"):
        manual_results.tell(campaign_id, {late["id"]: measured(late)})
    states = [row["state"] for row in campaigns.candidates(campaign_id)[0]]
    assert set(states) == {"told", "cancelled"}


def test_an_evaluator_that_tells_results_is_not_spoken_over(cluster: Cluster) -> None:
    campaign_id = campaigns.run(branin_currin())["campaign_id"]
    with pytest.raises(StateError, match="an evaluator tells the results"):
        manual_results.tell(campaign_id, {"c0001": None})
    with pytest.raises(NotFoundError):
        manual_results.tell("nothing", {"c0001": None})


def materia(*arguments: str) -> str:
    done = CliRunner().invoke(cli.app, ["campaign", *arguments])
    assert done.exit_code == 0, done.output + repr(done.exception)
    return str(done.stdout)


def refused(*arguments: str) -> str:
    done = CliRunner().invoke(cli.app, ["campaign", *arguments])
    assert done.exit_code != 0
    return done.output + str(done.exception)


@only_sqlite
def test_a_sheet_is_filled_in_and_told(
    server: ThreadServer, cluster: Cluster, tmp_path: Path
) -> None:
    campaign_id = started(cluster)
    sheet = tmp_path / "todo.csv"
    shown = materia("waiting", "branin-currin", "--sheet", str(sheet))
    batch = waiting(campaign_id)
    assert all(one["id"] in shown for one in batch)
    assert "holds no results" in refused("tell", campaign_id, "--sheet", str(sheet))
    rows = list(csv.reader(sheet.read_text(encoding="utf-8-sig").splitlines()))
    assert rows[0] == ["id", "x1", "x2", "branin", "branin ±", "currin", "currin ±"]
    rows[1][3:7] = ["12.5", "0.5", "3", ""]
    rows[2][3] = "failed"
    rows[3][3] = "12.5"
    write(sheet, rows, ",")
    assert "lacks currin" in refused("tell", campaign_id, "--sheet", str(sheet))
    rows[3][5] = "2.5"
    # As spreadsheets of many countries write it.
    write(sheet, [[cell.replace(".", ",") for cell in row] for row in rows], ";")
    assert "3 of 14 results" in materia("tell", campaign_id, "--sheet", str(sheet))
    assert "holds results already" in refused("waiting", campaign_id, "--sheet", str(sheet))
    told = {row["id"]: row["outcomes"] for row in campaigns.candidates(campaign_id)[0]}
    assert told[batch[0]["id"]] == {"branin": [12.5, 0.5], "currin": 3.0}
    assert told[batch[1]["id"]] is None
    assert told[batch[2]["id"]] == {"branin": 12.5, "currin": 2.5}
    materia("tell", campaign_id, batch[3]["id"], "branin=1", "currin=2,0.25")
    materia("tell", campaign_id, batch[4]["id"], "--failed")
    assert "no number" in refused("tell", campaign_id, batch[5]["id"], "branin=x", "currin=2")
    assert "name a candidate" in refused("tell", campaign_id)
    with Client(server.url) as client:
        last = waiting(campaign_id)
        client.campaigns.tell(campaign_id, {one["id"]: measured(one) for one in last})
        with pytest.raises(ConflictError):
            client.campaigns.tell(campaign_id, {last[0]["id"]: None})


def write(path: Path, rows: list[list[str]], delimiter: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
