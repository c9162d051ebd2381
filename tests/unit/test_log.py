"""What leaves in a log line: one JSON object, secrets redacted, nothing that ends the line."""

from __future__ import annotations

import io
import json
import logging

import pytest

from materia import log


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    before = logging.getLogger().handlers[:]
    log.configure("INFO")
    stream = io.StringIO()
    monkeypatch.setattr(logging.getLogger().handlers[0], "stream", stream)
    yield stream
    logging.getLogger().handlers[:] = before


def test_values_with_line_ends_and_escapes_stay_one_line(lines: io.StringIO) -> None:
    logging.getLogger("x").info("name: %s", 'a\r\n{"level": "forged"}\x1b[31m')
    written = lines.getvalue()
    assert written.count("\n") == 1
    assert "\x1b" not in written
    assert json.loads(written)["level"] == "info"


def test_passwords_in_urls_and_secret_looking_keys_are_redacted(lines: io.StringIO) -> None:
    log.logger("y").info(
        "connected",
        url="redis://:hunter2@host:1/0",
        nested={"api_key": "k", "deep": [{"token": 1}]},
    )
    written = lines.getvalue()
    assert "hunter2" not in written
    event = json.loads(written)
    assert event["url"] == "redis://:***@host:1/0"
    assert event["nested"] == {"api_key": "***", "deep": [{"token": "***"}]}


@pytest.mark.parametrize("kept", ["p@ss@word", "hunter2"])
def test_a_password_is_redacted_as_a_whole(kept: str) -> None:
    assert log.redact(f"to redis://u:{kept}@host:1/0, x@y") == "to redis://u:***@host:1/0, x@y"


def test_a_long_word_beside_a_url_costs_no_more_than_its_length() -> None:
    # Milliseconds; as the square of the length it would be an hour, beyond the limit of a test.
    text = "x" * 3_000_000 + " http://lab/a " + "://a:" * 100_000
    assert log.redact(text) == text


def test_what_is_no_json_is_logged_all_the_same(lines: io.StringIO) -> None:
    log.logger("y").info("odd", text="a\ud800b", number=10**30, key={(1, 2): 3})
    event = json.loads(lines.getvalue())
    assert (event["text"], event["number"]) == ("a\ud800b", 10**30)


def test_exceptions_are_part_of_the_object(lines: io.StringIO) -> None:
    try:
        raise ValueError("furnace")
    except ValueError:
        logging.getLogger("z").exception("failed")
    assert "ValueError: furnace" in json.loads(lines.getvalue())["exception"]


def test_lines_carry_the_ids_of_the_job_and_no_longer(lines: io.StringIO) -> None:
    log.label(job_id="j-1", campaign_id=None)
    logging.getLogger("lab").warning("hot")
    assert log.labels() == {"job_id": "j-1"}
    log.forget_labels()
    logging.getLogger("lab").warning("cold")
    hot, cold = map(json.loads, lines.getvalue().splitlines())
    assert hot["job_id"] == "j-1"
    assert "campaign_id" not in hot
    assert "job_id" not in cold


def test_records_of_celery_carry_the_id_of_their_job(lines: io.StringIO) -> None:
    added = {"id": "j-1", "name": "tasks.simple_tasks.ping", "traceback": "long"}
    logging.getLogger("celery.app.trace").info("ignored", extra={"data": added})
    event = json.loads(lines.getvalue())
    assert (event["job_id"], event["task"]) == ("j-1", "tasks.simple_tasks.ping")
    assert "long" not in lines.getvalue()
