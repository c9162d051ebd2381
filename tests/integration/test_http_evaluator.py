"""The evaluator `http` against services that really listen, good ones and bad ones."""

from __future__ import annotations

import csv
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from web_services import Reply, Serving, answering

from materia import evaluators, settings
from materia.errors import AccessError, DefinitionError, EvaluationError, TransientError
from materia.evaluators import http
from materia.evaluators.base import Evaluator
from materia.mdl import Definition
from materia.outbound import exchange

PARAMS = {"power": 500.0, "gas": "argon"}


PAGE = (Path(__file__).parents[2] / "docs" / "evaluators.md").read_text(encoding="utf-8")
SECTION = PAGE[PAGE.index("\n## http\n") : PAGE.index("\n## manual\n")]


def definition(url: str, **options: Any) -> Definition:
    return Definition.model_validate(
        {
            "name": "furnace",
            "parameters": [
                {"name": "power", "type": "continuous", "bounds": [200, 900]},
                {"name": "gas", "type": "categorical", "choices": ["argon", "air"]},
            ],
            "objectives": [{"name": "hardness", "direction": "maximize"}],
            "evaluator": {"type": "http", "options": {"url": url, **options}},
            "optimizer": {"budget": 4, "batch_size": 2, "seed": 1},
        }
    )


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(http, "PAUSES_S", (0.01, 0.01))
    settings.current.cache_clear()
    yield
    settings.current.cache_clear()


@contextmanager
def asking(
    reply: Callable[[dict[str, Any], dict[str, str]], Reply], **options: Any
) -> Iterator[Evaluator]:
    with Serving(answering(reply)) as serving:
        url = f"http://127.0.0.1:{serving.port}/fire?unit=GPa"
        yield evaluators.build(definition(url, **options), data_roots=[])


def test_the_example_of_the_guide_runs_as_written(tmp_path: Path) -> None:
    found: dict[str, Any] = {"__name__": "furnace"}
    (service,) = re.findall(r"^```python\n(.*?)^```$", SECTION, re.M | re.S)
    exec(service, found)  # noqa: S102 - the page is ours
    with Serving(found["Furnace"]) as serving:
        (text,) = re.findall(r"^```yaml\n(.*?)^```$", SECTION, re.M | re.S)
        (tmp_path / "furnace.yaml").write_text(text.replace("9000", str(serving.port)))
        program = Path(sys.executable).with_name("materia")
        command = [program, "run", "furnace.yaml", "--output", "run"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = list(csv.DictReader((tmp_path / "run" / "results.csv").open(encoding="utf-8")))
    assert len(rows) == 12
    assert max(float(row["hardness"]) for row in rows) > 8


def told(**values: Any) -> Reply:
    return 200, json.dumps(values).encode()


def test_a_service_is_told_the_candidate_and_tells_outcomes() -> None:
    seen: list[dict[str, Any]] = []

    def reply(asked: dict[str, Any], headers: dict[str, str]) -> Reply:
        seen.append({**asked, "key": headers["Idempotency-Key"]})
        return told(outcomes={"hardness": [8.5, 0.25], "more": 1}, metadata={"operator": "Kim"})

    with asking(reply) as evaluator:
        evaluation = evaluator.evaluate(PARAMS, seed=7)
        evaluator.evaluate(PARAMS, seed=7)
        evaluator.evaluate(PARAMS, seed=8)
    assert evaluation.told == {"hardness": [8.5, 0.25]}
    assert evaluation.metadata == {"operator": "Kim"}
    assert seen[0]["params"] == PARAMS
    assert (seen[0]["objectives"], seen[0]["seed"]) == (["hardness"], 7)
    assert seen[0]["key"] == seen[1]["key"] != seen[2]["key"]


def test_a_token_comes_from_the_environment_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DefinitionError, match="there is no token 'lab'") as refused:
        evaluators.build(definition("http://127.0.0.1:1/", token="lab"), data_roots=[])
    assert "MATERIA_EVALUATOR_TOKEN_LAB" in str(refused.value.hint)
    monkeypatch.setenv("MATERIA_EVALUATOR_TOKEN_LAB", "s3cret")
    heard: list[str] = []

    def reply(asked: dict[str, Any], headers: dict[str, str]) -> Reply:
        heard.append(headers["Authorization"])
        return told(outcomes={"hardness": 1})

    with asking(reply, token="lab") as evaluator:
        assert "s3cret" not in repr(evaluator.evaluate(PARAMS, seed=1))
    assert heard == ["Bearer s3cret"]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ((200, b"not json"), "not JSON"),
        ((200, b"[1]"), "no JSON object"),
        (told(hardness=1), "no object 'outcomes'"),
        (told(outcomes={"softness": 1}), "no 'hardness'; it has: softness"),
        (told(outcomes={"hardness": "8"}), "not a number"),
        (told(outcomes={"hardness": True}), "not a number"),
        (told(outcomes={"hardness": [1, 2, 3]}), "not a number"),
        (told(outcomes={"hardness": [1, -2]}), "not finite"),
        ((200, b'{"outcomes": {"hardness": NaN}}'), "not finite"),
        ((200, b'{"outcomes": {"hardness": 1e999}}'), "not finite"),
        (told(error="crucible broke"), "the service says: crucible broke"),
        (told(outcomes={"hardness": 1}, metadata=[]), "'metadata' is no object"),
        ((422, b"too hot"), "status 422: too hot"),
        ((307, b""), "redirects are not followed"),
        ((200, b'{"outcomes": "' + b"x" * exchange.ANSWER_BYTES + b'"}'), "longer than 1 MB"),
    ],
)
def test_an_unusable_answer_fails_the_candidate_and_says_why(reply: Reply, reason: str) -> None:
    with asking(lambda *_: reply) as evaluator, pytest.raises(EvaluationError) as failed:
        evaluator.evaluate(PARAMS, seed=1)
    assert reason in failed.value.message


@pytest.mark.parametrize("status", sorted(http.PASSING))
def test_a_service_that_is_busy_is_asked_again(status: int) -> None:
    replies = [(status, b"later"), (status, b"later"), told(outcomes={"hardness": 3})]
    with asking(lambda *_: replies.pop(0)) as evaluator:
        assert evaluator.evaluate(PARAMS, seed=1).outcomes == {"hardness": 3.0}
    with (
        asking(lambda *_: (status, b"later")) as evaluator,
        pytest.raises(TransientError, match="later"),
    ):
        evaluator.evaluate(PARAMS, seed=1)


def test_a_service_that_is_away_fails_no_candidate() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        evaluator = evaluators.build(definition(url), data_roots=[])
        with pytest.raises(TransientError, match="cannot be reached"):
            evaluator.evaluate(PARAMS, seed=1)


def test_an_answer_that_never_ends_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connected, _ = listening.accept()
            with connected:
                connected.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while not over.wait(0.05):
                    try:
                        connected.sendall(b" ")
                    except OSError:
                        return

        over = threading.Event()
        thread = threading.Thread(target=drip)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        evaluator = evaluators.build(definition(url, timeout_s=0.4), data_roots=[])
        try:
            with pytest.raises(EvaluationError, match=r"within 0\.4 s"):
                evaluator.evaluate(PARAMS, seed=1)
        finally:
            over.set()
            thread.join()


@pytest.mark.parametrize("talk", [b"SSH-2.0-OpenSSH_9.2\r\n", b"", b"HTTP/1.1 200 OK\r\n"])
def test_what_is_no_web_service_is_a_clear_failure(talk: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def talks() -> None:
            for _ in range(1 + len(http.PAUSES_S)):
                connected, _ = listening.accept()
                with connected:
                    connected.recv(1000)
                    connected.sendall(talk)

        thread = threading.Thread(target=talks, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
        evaluator = evaluators.build(definition(url), data_roots=[])
        with pytest.raises((EvaluationError, TransientError)):
            evaluator.evaluate(PARAMS, seed=1)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://lab/x", "no address of a service"),
        ("http://", "no address of a service"),
        ("http://lab:99999/", "no address"),
        ("http://kim:secret@lab/", "holds a user or a password"),
    ],
)
def test_a_wrong_address_is_found_before_anything_runs(url: str, reason: str) -> None:
    (finding,) = evaluators.check(definition(url), data_roots=[])
    assert finding.path == "evaluator.options.url"
    assert reason in finding.message


PRODUCTION = {"MATERIA_ENVIRONMENT": "production"}


@pytest.mark.parametrize(
    ("url", "environment"),
    [
        ("http://127.0.0.1:9/", PRODUCTION),
        ("http://[::1]:9/", PRODUCTION),
        ("http://10.1.2.3/", PRODUCTION),
        ("http://localhost:9/", PRODUCTION),
        ("http://169.254.169.254/latest", PRODUCTION),
        ("http://169.254.169.254/latest", {}),
        ("http://2130706433/", {}),
        ("http://0x7f.1/", {}),
        ("http://0.0.0.0:9/", {}),
        ("http://[::ffff:169.254.169.254]/", {}),
    ],
)
def test_an_address_that_may_not_be_reached_is_refused(
    url: str, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = evaluators.check(definition(url), data_roots=[])
    assert [(finding.level, finding.path) for finding in found] == [
        ("error", "evaluator.options.url")
    ]
    with pytest.raises(DefinitionError):
        evaluators.build(definition(url), data_roots=[])


def test_a_name_that_comes_to_mean_another_address_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MATERIA_ENVIRONMENT", "production")
    meant = ["93.184.216.34"]
    monkeypatch.setattr(exchange, "resolve", lambda host: meant)
    evaluator = evaluators.build(definition("http://rebinding.example/"), data_roots=[])
    meant[0] = "127.0.0.1"
    with pytest.raises(AccessError, match="loopback"):
        evaluator.evaluate(PARAMS, seed=1)


def test_the_admin_can_allow_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATERIA_ENVIRONMENT", "production")
    monkeypatch.setenv("MATERIA_EVALUATOR_ALLOW_HOSTS", "127.0.0.1")
    with asking(lambda *_: told(outcomes={"hardness": 2})) as evaluator:
        assert evaluator.evaluate(PARAMS, seed=1).outcomes == {"hardness": 2.0}


def test_a_name_without_an_address_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    (finding,) = evaluators.check(definition("http://furnace.invalid/"), data_roots=[])
    assert (finding.level, finding.path) == ("warning", "evaluator.options.url")
