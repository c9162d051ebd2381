"""Channels as the admin writes them."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from materia import settings
from materia.errors import DefinitionError
from materia.services import notifications
from materia.settings import Settings
from materia.stack.environment import environment
from materia.stack.sources import sourced

SECRET = "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"


def configure(monkeypatch: pytest.MonkeyPatch, channels: object) -> Settings:
    monkeypatch.setenv("MATERIA_NOTIFY_CHANNELS", json.dumps(channels))
    settings.current.cache_clear()
    return settings.current()


def test_a_channel_is_one_address_or_several(monkeypatch: pytest.MonkeyPatch) -> None:
    found = configure(monkeypatch, {"default": SECRET, "lab": [SECRET, "mailto://u:p@x.org"]})
    assert found.channels == {"default": (SECRET,), "lab": (SECRET, "mailto://u:p@x.org")}
    assert notifications.health_channel() == "default"
    assert configure(monkeypatch, {"health": SECRET}).channels == {"health": (SECRET,)}
    assert notifications.health_channel() == "health"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SECRET, "not JSON"),
        (f'["{SECRET}"]', "no JSON object"),
        (f'{{"a b": "{SECRET}"}}', "letters"),
        ('{"default": "JHMHI8qBe7bk2ZwO5U711o3dV_js"}', "'default'"),
        ('{"default": []}', "'default'"),
        (f'{{"default": ["{SECRET}", 5]}}', "'default'"),
    ],
)
def test_what_is_no_channel_is_refused_without_repeating_it(
    monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    monkeypatch.setenv("MATERIA_NOTIFY_CHANNELS", text)
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert said in str(refused.value)
    assert "JHMHI8" not in str(refused.value)


def test_addresses_reach_the_processes_of_a_stack_and_no_screen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = configure(monkeypatch, {"default": SECRET})
    assert environment(found, "x")["MATERIA_NOTIFY_CHANNELS"] == json.dumps({"default": SECRET})
    (shown,) = (s for s in sourced(found, flags=(), decided=()) if s.name == "notify_channels")
    assert (shown.value, shown.source) == ("***", "environment")
    assert "JHMHI8" not in repr(found)


def test_an_unknown_channel_is_refused_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, {"default": SECRET, "laboratory": SECRET})
    with pytest.raises(DefinitionError, match="no channel 'labratory'") as refused:
        notifications.send_notification("x", "labratory")
    assert "laboratory" in str(refused.value.hint)
    assert refused.value.path == "channel"
    with pytest.raises(DefinitionError, match="no channel"):
        notifications.send_notification("x", SECRET)


def test_without_channels_only_the_default_one_is_taken_and_says_that_nobody_was_told() -> None:
    result = notifications.send_notification("all is well").result
    assert (result["status"], result["channel"]) == ("sent", "default")
    assert (result["message"], result["delivered"]) == ("all is well", [])
    assert "nobody was told" in result["remark"]
    with pytest.raises(DefinitionError, match="no channel 'lab'"):
        notifications.send_notification("x", "lab")


@pytest.mark.parametrize("message", ["", "  \n", None, 5, ["x"], "x" * 10_001])
def test_what_is_no_message_is_refused(message: object) -> None:
    with pytest.raises(DefinitionError) as refused:
        notifications.send_notification(message)  # type: ignore[arg-type]
    assert refused.value.path == "message"


def test_control_characters_do_not_travel() -> None:
    result = notifications.send_notification("a\x1b[31m\r\nb\tc\x00\ud800 – ü").result
    assert result["message"] == "a[31m\nb\tc? – ü"
