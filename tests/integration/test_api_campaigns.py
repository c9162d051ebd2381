"""Campaigns over HTTP, on both databases, without a worker: rows are written as workers do."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import yaml
from pydantic import TypeAdapter

from materia import settings
from materia.api import schemas
from materia.api.app import create_app
from materia.engine.campaign import Campaign
from materia.mdl import Definition
from materia.services import campaign_life, campaigns
from materia.services.work import unit_of_work
from materia.store import campaigns as campaign_rows
from materia.store import jobs as job_rows
from materia.store.database import database
from serving import BASE, in_process

DEFINITION: dict[str, Any] = {
    "name": "branin-currin",
    "parameters": [
        {"name": "x1", "type": "continuous", "bounds": [0, 1]},
        {"name": "x2", "type": "continuous", "bounds": [0, 1]},
    ],
    "objectives": [{"name": "branin"}, {"name": "currin"}],
    "evaluator": {"type": "function", "options": {"name": "branin_currin"}},
    "optimizer": {"budget": 22, "seed": 5},
}
YAML = {"Content-Type": "application/yaml"}


@pytest.fixture
def client(backends: dict[str, str]) -> Iterator[httpx.Client]:
    """Return a client of the application in this process."""
    with in_process() as opened:
        yield opened


def run(client: httpx.Client, **headers: str) -> httpx.Response:
    return client.post(f"{BASE}/campaigns/run", json=DEFINITION, headers=headers)


def pages(client: httpx.Client, path: str, limit: int) -> Iterator[dict[str, Any]]:
    """Yield every page of a list."""
    cursor = None
    while True:
        params = {"limit": limit, **({"cursor": cursor} if cursor else {})}
        answer = client.get(f"{BASE}{path}", params=params)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        yield page
        cursor = page["next_cursor"]
        if cursor is None:
            return


def add_results(campaign_id: str, n: int) -> None:
    """Write `n` finished candidates, every third on the front, and one iteration."""
    rows = [
        {
            "campaign_id": campaign_id,
            "number": i,
            "id": f"c{i + 1:04d}",
            "iteration": 0,
            "state": "told",
            "params": {"x1": i / n, "x2": 0.5},
            "predicted": {"branin": {"mean": 1.0, "std": 0.1}},
            "why": {"source": "initial design"},
            "outcomes": {"branin": float(i), "currin": float(n - i)},
        }
        for i in range(n)
    ]
    front = [row["id"] for row in rows[::3]]
    best = {"id": "c0001", "params": rows[0]["params"], "outcomes": rows[0]["outcomes"]}
    with database().write() as connection:
        campaign_rows.add_candidates(connection, rows)
        campaign_rows.mark_front(connection, campaign_id, front)
        values = {"evaluations_completed": n, "pareto_size": len(front), "best": best}
        campaign_rows.change(connection, campaign_id, values)
        finished = {"hypervolume": 3.5, "pareto_size": len(front), "best": best}
        finished |= {"n_observations": n, "finished_at": database().now()}
        fit = {"branin": {"r2": 0.9, "rmse": 0.1}, "currin": {"r2": None, "rmse": 0.2}}
        campaign_rows.change_iteration(connection, campaign_id, 0, {**finished, "fit": fit})


def test_json_and_yaml_start_the_same_campaign(client: httpx.Client) -> None:
    as_json = run(client)
    as_yaml = client.post(f"{BASE}/campaigns/run", content=yaml.safe_dump(DEFINITION), headers=YAML)
    found = []
    for answer in (as_json, as_yaml):
        assert answer.status_code == 202
        started = schemas.Started.model_validate(answer.json())
        assert answer.headers["location"] == started.links["self"]
        campaign = client.get(started.links["self"]).json()
        assert (campaign["id"], campaign["task_id"]) == (started.campaign_id, started.task_id)
        job = client.get(started.links["job"]).json()
        assert (job["id"], job["campaign_id"]) == (started.task_id, started.campaign_id)
        found.append(campaign)
    assert found[0]["id"] != found[1]["id"]
    assert found[0]["definition"] == found[1]["definition"]


def test_every_link_of_a_started_campaign_leads_to_what_it_says(client: httpx.Client) -> None:
    started = run(client).json()
    campaign_id = started["campaign_id"]
    add_results(campaign_id, 7)
    shapes = {
        "self": schemas.Campaign,
        "candidates": schemas.Page[schemas.Candidate],
        "pareto": schemas.Page[schemas.Candidate],
        "convergence": schemas.Convergence,
        "surrogate": schemas.Surrogate,
        "explanation": schemas.Explanation,
        "events": schemas.Page[schemas.Event],
        "job": schemas.Job,
    }
    assert set(started["links"]) == {*shapes, "live"}
    for name, shape in shapes.items():
        answer = client.get(started["links"][name])
        assert answer.status_code == 200, answer.text
        TypeAdapter(shape).validate_json(answer.content)
    TypeAdapter(schemas.Page[schemas.Campaign]).validate_json(
        client.get(f"{BASE}/campaigns").content
    )


def test_a_candidate_says_what_it_breaks_and_what_the_evaluator_told_besides(
    client: httpx.Client,
) -> None:
    limited = {**DEFINITION, "outcome_constraints": [{"expression": "branin >= 20"}]}
    links = client.post(f"{BASE}/campaigns/run", json=limited).json()["links"]
    campaign_id = links["self"].rsplit("/", 1)[1]
    proposed = {
        "campaign_id": campaign_id,
        "iteration": 0,
        "state": "proposed",
        "params": {"x1": 0.5, "x2": 0.5},
        "predicted": None,
        "why": {"source": "initial design"},
    }
    told = {"state": "told", "error": None, "seed": 1, "duration_s": 0.1}
    with unit_of_work() as work:
        for number, branin in enumerate((5.963, 20.0)):
            candidate = {**proposed, "number": number, "id": f"c000{number + 1}"}
            campaign_rows.add_candidates(work.connection, [candidate])
            evaluation = {
                **told,
                "outcomes": {"branin": branin, "currin": 1.0},
                "details": {"n_atoms": {"Cu": 10 + number}},
            }
            campaign_life.record_evaluation(
                work,
                campaign_id,
                candidate,
                evaluation,
                None,
                outcome_constraints=["branin >= 20"],
            )
    items = client.get(links["candidates"]).json()["items"]
    expected = [(["branin >= 20"], {"n_atoms": {"Cu": 10}}), ([], {"n_atoms": {"Cu": 11}})]
    assert [(item["breaks"], item["metadata"]) for item in items] == expected
    events = client.get(links["events"]).json()["items"]
    data = [event["data"] for event in events if event["type"] == "evaluation_completed"]
    assert [(one["breaks"], one["metadata"]) for one in data] == expected


def test_front_convergence_and_surrogate_say_what_the_rows_say(client: httpx.Client) -> None:
    links = run(client).json()["links"]
    add_results(links["self"].rsplit("/", 1)[1], 7)
    front = client.get(links["pareto"]).json()
    assert [c["id"] for c in front["items"]] == ["c0001", "c0004", "c0007"]
    assert front["total"] == 3
    convergence = client.get(links["convergence"]).json()
    assert not convergence["converged"]
    entry = convergence["trace"][0]
    assert (entry["iteration"], entry["n_observations"], entry["hypervolume"]) == (0, 7, 3.5)
    surrogate = client.get(links["surrogate"]).json()
    assert surrogate["iterations"][0]["quality"]["branin"]["r2"] == 0.9
    assert set(surrogate["parity"]) == {"branin", "currin"}
    assert surrogate["parity"]["branin"]["measured"] == [float(i) for i in range(7)]
    assert client.get(links["surrogate"], params={"parity": False}).json()["parity"] is None


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("limit", [1, 3, 200])
def test_the_front_has_the_order_that_the_library_gives_it(
    client: httpx.Client, direction: str, limit: int
) -> None:
    first = {"name": "branin", "direction": direction}
    definition = {
        **DEFINITION,
        "objectives": [first, {"name": "currin", "direction": direction}],
        "evaluator": {"type": "expression", "options": {"branin": "x1", "currin": "x2"}},
    }
    answer = client.post(f"{BASE}/campaigns/run", json=definition)
    campaign_id = answer.json()["campaign_id"]
    engine = Campaign(Definition.model_validate(definition))
    values = [3.0, 1.0, 9.0, 4.0, 4.0, 2.5, 7.0]
    asked = engine.ask(len(values))
    rows = []
    for number, (candidate, value) in enumerate(zip(asked, values, strict=True)):
        outcomes = {"branin": value, "currin": 10.0 - value}
        engine.tell({candidate.id: outcomes})
        row = {"campaign_id": campaign_id, "number": number, "id": candidate.id, "iteration": 0}
        row |= {"state": "told", "params": candidate.params, "predicted": None, "why": {}}
        rows.append({**row, "outcomes": outcomes})
    expected = [point["id"] for point in engine.pareto_front()]
    with database().write() as connection:
        campaign_rows.add_candidates(connection, rows)
        campaign_rows.mark_front(connection, campaign_id, expected)
    found = list(pages(client, f"/campaigns/{campaign_id}/pareto", limit))
    assert [c["id"] for page in found for c in page["items"]] == expected
    assert {page["total"] for page in found} == {len(values)}
    for page in found:
        TypeAdapter(schemas.Page[schemas.Candidate]).validate_python(page)


@pytest.mark.parametrize("limit", [1, 3, 7, 8, 200])
def test_pages_of_candidates_hold_each_one_once(client: httpx.Client, limit: int) -> None:
    links = run(client).json()["links"]
    campaign_id = links["self"].rsplit("/", 1)[1]
    add_results(campaign_id, 7)
    found = list(pages(client, f"/campaigns/{campaign_id}/candidates", limit))
    assert [c["number"] for page in found for c in page["items"]] == list(range(7))
    assert {page["total"] for page in found} == {7}
    assert all(len(page["items"]) == limit for page in found[:-1])


@pytest.mark.parametrize("limit", [2, 5])
def test_pages_of_campaigns_hold_each_one_once_newest_first(
    client: httpx.Client, limit: int
) -> None:
    started = [campaigns.run(DEFINITION)["campaign_id"] for _ in range(5)]
    with database().write() as connection:
        # Created at the same moment: the order must still be total.
        for campaign_id in started[1:4]:
            campaign_rows.change(connection, campaign_id, {"created_at": 1e9})
    found = [c["id"] for page in pages(client, "/campaigns", limit) for c in page["items"]]
    assert sorted(found) == sorted(started)
    assert found[:2] == [started[4], started[0]]


def test_campaigns_are_found_by_state_and_name(client: httpx.Client) -> None:
    first, second = (campaigns.run(DEFINITION)["campaign_id"] for _ in range(2))
    campaigns.stop(first)
    stopped = client.get(f"{BASE}/campaigns", params={"state": "stopped"}).json()
    assert ([c["id"] for c in stopped["items"]], stopped["total"]) == ([first], 1)
    other = client.get(f"{BASE}/campaigns", params={"name": "branin-currin", "limit": 1}).json()
    assert ([c["id"] for c in other["items"]], other["total"]) == ([second], 2)
    assert client.get(f"{BASE}/campaigns", params={"name": "nothing"}).json()["items"] == []


def test_events_are_listed_in_order_after_a_number(client: httpx.Client) -> None:
    campaign_id = run(client).json()["campaign_id"]
    client.post(f"{BASE}/campaigns/{campaign_id}/stop")
    path = f"/campaigns/{campaign_id}/events"
    found = [event["id"] for page in pages(client, path, 1) for event in page["items"]]
    assert found == list(range(1, len(found) + 1))
    assert found[-1] == client.get(f"{BASE}/campaigns/{campaign_id}").json()["last_event"]
    later = client.get(f"{BASE}{path}", params={"after": 1}).json()
    assert [event["id"] for event in later["items"]] == found[1:]


def test_a_stopped_campaign_can_be_stopped_again(client: httpx.Client) -> None:
    path = run(client).json()["links"]["self"]
    for _ in range(2):
        answer = client.post(f"{path}/stop")
        assert (answer.status_code, answer.json()["state"]) == (200, "stopped")


def test_stopping_what_has_completed_is_refused(client: httpx.Client) -> None:
    path = run(client).json()["links"]["self"]
    with database().write() as connection:
        campaign_rows.change(connection, path.rsplit("/", 1)[1], {"state": "completed"})
    answer = client.post(f"{path}/stop")
    assert (answer.status_code, answer.json()["code"]) == (409, "state")


@pytest.mark.parametrize(
    "path",
    ["", "/candidates", "/pareto", "/convergence", "/surrogate", "/explanation", "/events"],
)
def test_what_does_not_exist_is_not_found(client: httpx.Client, path: str) -> None:
    answer = client.get(f"{BASE}/campaigns/nothing{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "materia campaign list" in answer.json()["hint"]


def test_a_wrong_definition_is_refused_with_every_finding(client: httpx.Client) -> None:
    text = yaml.safe_dump({**DEFINITION, "budgett": 1, "evaluator": {"type": "funktion"}})
    refused = client.post(f"{BASE}/campaigns/run", content=text, headers=YAML)
    assert (refused.status_code, refused.json()["code"]) == (422, "definition_invalid")
    checked = client.post(f"{BASE}/campaigns/validate", content=text, headers=YAML)
    assert checked.status_code == 200
    validation = schemas.Validation.model_validate(checked.json())
    assert not validation.valid
    assert refused.json()["findings"] == checked.json()["findings"]
    assert refused.json()["path"]
    assert refused.json()["line"]
    assert client.get(f"{BASE}/campaigns").json()["total"] == 0


def test_a_right_definition_is_valid_and_creates_nothing(client: httpx.Client) -> None:
    answer = client.post(f"{BASE}/campaigns/validate", json=DEFINITION)
    assert answer.json() == {"valid": True, "findings": []}
    assert client.get(f"{BASE}/campaigns").json()["total"] == 0


def test_a_definition_without_an_evaluator_is_refused_alike(client: httpx.Client) -> None:
    without = {key: value for key, value in DEFINITION.items() if key != "evaluator"}
    refused = client.post(f"{BASE}/campaigns/run", json=without)
    checked = client.post(f"{BASE}/campaigns/validate", json=without).json()
    assert (refused.status_code, refused.json()["path"]) == (422, "evaluator")
    assert not checked["valid"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"\xff\xfe", 422),
        (b"a: [", 422),
        (b"{}", 422),
        (b"[]", 422),
        (b"text", 422),
        (b"[" * 5000, 422),
        (b"name: x\nparameters: " + b"[1, " * 200_000, 422),
        (b"name: .nan", 422),
    ],
)
def test_whatever_is_no_definition_is_refused(
    client: httpx.Client, content: bytes, status: int
) -> None:
    for path in ("run", "validate"):
        for media_type in ("application/yaml", "application/json"):
            headers = {"Content-Type": media_type}
            answer = client.post(f"{BASE}/campaigns/{path}", content=content, headers=headers)
            valid = answer.json().get("valid")
            assert answer.status_code == status or valid is False, answer.text


def test_a_request_with_a_key_takes_effect_once(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "one"}
    first, second = run(client, **key), run(client, **key)
    assert first.status_code == second.status_code == 202
    assert first.content == second.content
    assert client.get(f"{BASE}/campaigns").json()["total"] == 1
    changed = {**DEFINITION, "name": "another"}
    other = client.post(f"{BASE}/campaigns/run", json=changed, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert run(client, **{"Idempotency-Key": "two"}).json() != first.json()


def test_twins_at_the_same_moment_take_effect_once(client: httpx.Client) -> None:
    app = create_app()

    def post(_: int) -> bytes:
        with in_process(app) as own:
            answer = run(own, **{"Idempotency-Key": "same"})
        assert answer.status_code == 202, answer.text
        return answer.content

    with ThreadPoolExecutor(16) as pool:
        answers = set(pool.map(post, range(50)))
    assert len(answers) == 1
    assert client.get(f"{BASE}/campaigns").json()["total"] == 1
    with database().read() as connection:
        assert job_rows.page(connection, limit=9)[1] == 2


def test_a_refused_request_leaves_its_key_free(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "one"}
    wrong = client.post(f"{BASE}/campaigns/run", json={"name": "x"}, headers=key)
    assert wrong.status_code == 422
    assert run(client, **key).status_code == 202


def test_a_model_is_trained_on_what_a_campaign_has_measured(client: httpx.Client) -> None:
    campaign_id = run(client).json()["campaign_id"]
    path = f"{BASE}/campaigns/{campaign_id}/models"
    refused = client.post(path, json={"objective": "branin"})
    assert (refused.status_code, refused.json()["code"]) == (409, "state")
    add_results(campaign_id, 12)
    with database().write() as connection:
        told = {"branin": [7.5, 0.25], "currin": 3.0}
        new = {"campaign_id": campaign_id, "iteration": 1, "predicted": None, "why": {}}
        new["params"] = {"x1": 0.25, "x2": 0.75}
        measured = {**new, "number": 12, "id": "c0013", "state": "told", "outcomes": told}
        failed = {**new, "number": 13, "id": "c0014", "state": "failed", "outcomes": None}
        campaign_rows.add_candidates(connection, [measured, failed])
    body = {"objective": "branin", "model_config": {"estimator": "linear"}}
    headers = {"Idempotency-Key": "one"}
    first = client.post(path, json=body, headers=headers)
    assert first.status_code == 202, first.text
    answer = TypeAdapter(schemas.Training).validate_python(first.json())
    assert (answer.n_rows, answer.n_failed) == (13, 1)
    lines = (settings.current().data_root / answer.dataset_path).read_text().splitlines()
    assert (lines[0], lines[-1]) == ("id,x1,x2,branin,currin", "c0013,0.25,0.75,7.5,3.0")
    assert len(lines) == 14
    assert client.post(path, json=body, headers=headers).json() == first.json()
    assert client.post(path, json={"objective": "currin"}, headers=headers).status_code == 409
    job = client.get(f"{BASE}/jobs/{answer.task_id}").json()
    assert (job["task"], job["queue"]) == ("tasks.ml_tasks.distributed_training", "ml")
    config = job["kwargs"]["model_config"]
    assert config["estimator"] == "linear"
    assert config["target"] == "branin"
    assert config["exclude"] == ["id", "currin"]
    for wrong, where in [
        ({}, "objective"),
        ({"objective": "curin"}, "objective"),
        ({"objective": "branin", "model_config": {"target": "x1"}}, "model_config.target"),
        ({"objective": "branin", "model_config": {"exclude": "x1"}}, "model_config.exclude"),
        ({"objective": "branin", "config": {}}, "config"),
    ]:
        answered = client.post(path, json=wrong)
        assert answered.status_code == 422, answered.text
        assert answered.json()["path"] == where
        assert answered.json()["hint"] or where == "config"
    candidates = client.get(f"{BASE}/campaigns/{campaign_id}/candidates").json()["items"]
    assert candidates[12]["outcomes"] == {"branin": 7.5, "currin": 3.0}
    assert candidates[12]["standard_errors"] == {"branin": 0.25}
    assert client.post(f"{BASE}/campaigns/none/models", json={}).status_code == 404
