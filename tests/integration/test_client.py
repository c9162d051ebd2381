"""The SDK against the real application: in process for requests, over a socket for live views."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from fixtures import KEY, only_sqlite
from materia import errors, settings
from materia.api.app import create_app
from materia.client import AsyncClient, Client
from materia.client.nouns import Campaigns
from materia.client.problems import BY_CODE
from materia.client.steps import Open, Operation
from materia.client.wire import Wire
from materia.services import campaigns, jobs
from materia.services.submission import NewJob, submit
from materia.settings import Settings
from materia.store import jobs as job_rows
from materia.store.database import database
from servers import RedisServer, free_port
from serving import DEFAULTS, InProcess, Server, ThreadServer
from workers import Cluster

PING = "tasks.simple_tasks.ping"
DEFINITION: dict[str, Any] = {
    "name": "sdk",
    "parameters": [
        {"name": "x1", "type": "continuous", "bounds": [0, 1]},
        {"name": "x2", "type": "continuous", "bounds": [0, 1]},
    ],
    "objectives": [
        {"name": "branin", "reference_point": 18},
        {"name": "currin", "reference_point": 6},
    ],
    "evaluator": {"type": "function", "options": {"name": "branin_currin"}},
    "optimizer": {"budget": 14, "batch_size": 4, "seed": 5},
}


@pytest.fixture
def client(backends: dict[str, str]) -> Iterator[Client]:
    """Return a client of the application in this process."""
    with Client("http://test", transport=InProcess(create_app(), raises=True)) as opened:
        yield opened


def test_a_definition_is_taken_as_text_data_or_file(client: Client, tmp_path: Path) -> None:
    text = yaml.safe_dump(DEFINITION)
    file = tmp_path / "campaign.yaml"
    file.write_text(text)
    for definition in (text, DEFINITION, file, str(file), json.dumps(DEFINITION)):
        started = client.run(definition)
        campaign = client.campaigns.get(started["campaign_id"])
        assert campaign["task_id"] == started["task_id"]
        assert campaign["definition"]["optimizer"]["budget"] == 14
    assert client.campaigns.list(limit=2)["total"] == 5


def test_what_a_definition_can_begin_with_and_choose_is_listed(client: Client) -> None:
    names = [one["name"] for one in client.templates.list()["items"]]
    assert client.campaigns.validate(client.templates.get(names[0])["text"])["valid"]
    evaluators = {one["type"]: one for one in client.evaluators.list()["items"]}
    assert {"http", "manual", "table"} <= evaluators.keys()
    assert client.evaluators.get("http") == evaluators["http"]
    with pytest.raises(errors.NotFoundError, match="'htp'"):
        client.evaluators.get("htp")


def test_a_refusal_is_the_error_that_it_was(client: Client) -> None:
    with pytest.raises(errors.DefinitionError) as wrong:
        client.run({**DEFINITION, "budgett": 3})
    assert "budgett" in (wrong.value.path or "")
    assert wrong.value.findings
    with pytest.raises(errors.NotFoundError, match="there is no campaign 'nothing'") as unknown:
        client.campaigns.get("nothing")
    assert unknown.value.hint
    with pytest.raises(errors.NotFoundError):
        client.jobs.get("a/b?c#d")
    with pytest.raises(errors.DefinitionError, match="no task"):
        client.jobs.submit("tasks.simple_tasks.pink")
    with pytest.raises(errors.DefinitionError) as invalid:
        client.campaigns.list(limit=0)
    assert invalid.value.path == "limit"
    with pytest.raises(errors.TransientError) as away:
        client.ready()
    assert "scheduler" in away.value.message


@pytest.mark.parametrize("definition", [{"name": float("nan")}, {"name": object()}])
def test_what_is_no_json_is_refused_before_it_is_sent(client: Client, definition: Any) -> None:
    with pytest.raises(errors.DefinitionError, match="JSON"):
        client.run(definition)


def test_a_file_that_is_not_there_is_refused_before_anything_is_sent(client: Client) -> None:
    with pytest.raises(errors.DataError, match=r"cannot read 'nothing\.yaml'"):
        client.run("nothing.yaml")


def test_every_error_of_the_tree_survives_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("materia.client.steps.PAUSES_S", ())
    monkeypatch.setattr(Campaigns, "path", "/fail")
    for kind in BY_CODE.values():
        app = create_app(DEFAULTS)

        def fail(kind: type[errors.MateriaError] = kind) -> None:
            raise kind("what", "how")

        app.add_api_route("/api/v1/fail/any/convergence", fail)
        with Client("http://test", KEY, transport=InProcess(app, raises=False)) as client:
            expected = errors.MateriaError if kind is errors.MateriaError else kind
            with pytest.raises(expected) as found:
                client.campaigns.convergence("any")
        assert type(found.value) is expected


def test_a_key_is_sent_and_a_wrong_one_is_refused() -> None:
    key = "a-key-of-thirty-two-characters-0"
    app = create_app(Settings(api_key=key))
    transport = InProcess(app, raises=True)
    wrong = Client("http://test", "wrong", transport=transport)
    with wrong, pytest.raises(errors.AccessError, match="not a key"):
        wrong.campaigns.get("x")
    with Client("http://test", key, transport=transport) as client:
        assert client._wire._http.get("/nothing").status_code == 404


def test_the_key_of_the_environment_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "a-key-of-thirty-two-characters-0"
    transport = InProcess(create_app(Settings(api_key=key)), raises=True)
    monkeypatch.setenv("MATERIA_API_KEY", key)
    settings.current.cache_clear()
    with Client("http://test", transport=transport) as client:
        assert client._wire._http.get("/nothing").status_code == 404


@only_sqlite
@pytest.mark.parametrize("key", [None, "wrong"])
def test_a_missing_and_a_wrong_key_name_the_variable_to_set(
    backends: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    monkeypatch.delenv("MATERIA_API_KEY")
    settings.current.cache_clear()
    with Server(tmp_path, backends) as server:
        with Client(server.url, key) as client:
            with pytest.raises(errors.AccessError) as refused:
                client.campaigns.list()
            with pytest.raises(errors.AccessError) as unseen:
                list(client._wire.stream(iter_open()))
        for error in (refused.value, unseen.value):
            assert "export MATERIA_API_KEY=" in str(error.hint)
            assert "Client(url, key)" in str(error.hint)


def iter_open() -> Operation:
    """Open a live view without asking for anything before."""
    yield Open("/ws/campaigns/any")


def test_all_pages_of_a_list_are_read(client: Client) -> None:
    job_id = submit(NewJob(task=PING))["id"]
    lines = [{"time": 1e9, "level": "INFO", "text": str(i)} for i in range(450)]
    with database().write() as connection:
        job_rows.add_log(connection, job_id, lines)
    assert [line["text"] for line in client.jobs.log(job_id)] == [str(i) for i in range(450)]
    assert [line["number"] for line in client.jobs.log(job_id, after=448)] == [449, 450]


@only_sqlite
def test_a_job_is_waited_for_and_gives_its_result(client: Client, cluster: Cluster) -> None:
    first = client.jobs.submit(PING, priority=9)
    with pytest.raises(errors.TransientError, match="still QUEUED"):
        client.jobs.wait(first["task_id"], timeout_s=0)
    cluster.worker()
    pong = {"status": "pong", "worker": "celery"}
    assert client.jobs.result(first["task_id"], timeout_s=120) == pong
    assert client.jobs.wait(first["task_id"])["state"] == "SUCCEEDED"
    failing = client.jobs.submit(
        "tasks.campaign_tasks.train_surrogate", {"campaign_id": "nothing", "iteration": 1}
    )
    with pytest.raises(errors.StateError, match="nothing"):
        client.jobs.result(failing["task_id"], timeout_s=120)


def test_the_result_of_a_cancelled_job_is_an_error(client: Client) -> None:
    task_id = client.jobs.submit(PING)["task_id"]
    assert client.jobs.cancel(task_id)["state"] == "CANCELLED"
    with pytest.raises(errors.StateError, match="cancelled"):
        client.jobs.result(task_id)
    again = client.jobs.retry(task_id)
    assert client.jobs.get(again["task_id"])["state"] == "QUEUED"


def test_both_clients_do_the_same(backends: dict[str, str]) -> None:
    app = create_app()

    async def look() -> tuple[Any, ...]:
        transport = httpx.ASGITransport(app)
        async with AsyncClient("http://test", transport=transport) as client:
            started = await client.run(DEFINITION, idempotency_key="same")
            campaign_id = started["campaign_id"]
            with pytest.raises(errors.NotFoundError):
                await client.jobs.get("nothing")
            return (
                started,
                await client.campaigns.get(campaign_id),
                await client.campaigns.candidates(campaign_id),
                await client.campaigns.events(campaign_id),
                await client.campaigns.validate(DEFINITION),
                await client.jobs.list(limit=1),
            )

    with Client("http://test", transport=InProcess(app, raises=True)) as client:
        started = client.run(DEFINITION, idempotency_key="same")
        campaign_id = started["campaign_id"]
        expected = (
            started,
            client.campaigns.get(campaign_id),
            client.campaigns.candidates(campaign_id),
            client.campaigns.events(campaign_id),
            client.campaigns.validate(DEFINITION),
            client.jobs.list(limit=1),
        )
    assert asyncio.run(look()) == expected


def test_a_request_that_got_no_answer_is_sent_again_and_takes_effect_once(
    backends: dict[str, str],
) -> None:
    class Lossy(InProcess):
        """Does what it is asked and loses the first answer."""

        n_requests = 0

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            response = super().handle_request(request)
            self.n_requests += 1
            if self.n_requests == 1:
                raise httpx.ReadError("the connection broke")
            return response

    transport = Lossy(create_app(), raises=True)
    with Client("http://test", transport=transport) as client:
        started = client.run(DEFINITION)
    assert transport.n_requests == 2
    assert campaigns.page(10)[1] == 1
    assert campaigns.get(started["campaign_id"])["task_id"] == started["task_id"]


def test_a_server_that_is_not_there_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("materia.client.steps.PAUSES_S", (0.0,))
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url) as client, pytest.raises(errors.TransientError, match=url) as away:
        client.campaigns.list()
    assert "materia up" in (away.value.hint or "")


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://x", "http://", "http://x:99999"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(errors.DefinitionError, match="no address"):
        Client(url)


def test_the_local_stack_is_found_by_its_state_file(tmp_path: Path) -> None:
    with pytest.raises(errors.NotFoundError, match="no stack runs"):
        Client.local(tmp_path)
    state = {"api_url": "http://127.0.0.1:1234", "api_key": "secret"}
    (tmp_path / "stack.json").write_text(json.dumps(state))
    with Client.local(tmp_path) as client:
        assert client.url == state["api_url"]
        assert client._wire._http.headers["authorization"] == "Bearer secret"


@only_sqlite
def test_a_campaign_is_watched_to_its_end_across_a_restart_of_the_server(
    backends: dict[str, str], cluster: Cluster, tmp_path: Path, redis_server: RedisServer
) -> None:
    cluster.worker()
    cluster.scheduler()
    with Server(tmp_path, backends) as server, Client(server.url) as client:
        started = client.run(DEFINITION)
        campaign_id = started["campaign_id"]
        seen = []
        for event in client.campaigns.watch(campaign_id):
            seen.append(event)
            if len(seen) == 5:
                server.stop()
                with redis_server.client() as redis:
                    redis.flushall()
                server.start()
        campaign = client.campaigns.get(campaign_id)
        assert campaign["state"] == "completed"
        assert [event["id"] for event in seen] == list(range(1, campaign["last_event"] + 1))
        assert seen == client.campaigns.events(campaign_id)
        assert list(client.campaigns.watch(campaign_id, after=campaign["last_event"])) == []
        assert client.jobs.result(started["task_id"])["state"] == "completed"
        candidates = client.campaigns.candidates(campaign_id)
        assert [c["id"] for c in candidates] == [f"c{i:04d}" for i in range(1, 15)]
        front = {c["id"] for c in client.campaigns.pareto(campaign_id)}
        assert front == {c["id"] for c in candidates if c["is_pareto"]}
        convergence = client.campaigns.convergence(campaign_id)
        trace = convergence["trace"]
        assert convergence["remaining"] == client.campaigns.explanation(campaign_id)["remaining"]
        assert convergence["remaining"]["advice"] in ("stop", "go on")
        assert trace[-1]["hypervolume"] == campaign["hypervolume"]
        parity = client.campaigns.surrogate(campaign_id)["parity"]
        assert len(parity["branin"]["measured"]) == 14


def test_an_asynchronous_watch_ends_with_the_job(backends: dict[str, str]) -> None:
    job_id = submit(NewJob(task=PING))["id"]

    async def watch(url: str) -> list[str]:
        states = []
        async with AsyncClient(url) as client:
            async for event in client.jobs.watch(job_id):
                states.append(event["data"]["state"])
                await asyncio.to_thread(jobs.cancel, job_id)
        return states

    with ThreadServer() as server:
        assert asyncio.run(watch(server.url)) == ["QUEUED", "CANCELLED"]


def test_watching_can_be_left_and_taken_up_again(backends: dict[str, str]) -> None:
    campaign_id = campaigns.run(DEFINITION)["campaign_id"]
    with ThreadServer() as server, Client(server.url) as client:
        view = client.campaigns.watch(campaign_id)
        first = next(view)
        view.close()
        stopping = threading.Timer(0.2, campaigns.stop, (campaign_id,))
        stopping.start()
        rest = list(client.campaigns.watch(campaign_id, after=first["id"]))
        stopping.join()
    assert [event["id"] for event in (first, *rest)] == list(range(1, len(rest) + 2))
    assert rest[-1]["data"]["state"] == "stopped"


def test_a_watch_that_asks_for_too_much_is_told_to_read_the_state(
    backends: dict[str, str],
) -> None:
    campaign_id = campaigns.run(DEFINITION)["campaign_id"]
    with ThreadServer() as server, Client(server.url) as client:
        view = client.campaigns.watch(campaign_id, after=999)
        assert next(view)["type"] == "resync"
        campaigns.stop(campaign_id)
        assert [event["data"]["state"] for event in view] == ["stopped"]


def test_watching_nothing_is_an_error(backends: dict[str, str]) -> None:
    with (
        ThreadServer() as server,
        Client(server.url) as client,
        pytest.raises(errors.NotFoundError),
    ):
        next(client.campaigns.watch("nothing"))


def test_both_wires_are_closed() -> None:
    client = Client("http://127.0.0.1:1")
    client.close()
    assert client._wire._http.is_closed
    assert isinstance(client._wire, Wire)
