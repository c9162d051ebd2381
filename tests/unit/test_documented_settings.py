"""The settings and numbers that the documents name are those of the code."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from materia.broker.app import policy
from materia.broker.transport import FAIR_EVERY
from materia.settings import Settings
from materia.stack.environment import THREAD_CAPS
from materia.stack.orphans import MARK
from materia.store.jobs import JobState

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "jobs.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
ROWS = dict(re.findall(r"^\| `(MATERIA_\w+)` \| (.+?) \|", SETTINGS, re.M))
OF_THE_COMMAND_LINE = {"MATERIA_SERVER", "MATERIA_DEBUG"}


def written(default: Any) -> str:
    """Return a default as the page writes it."""
    if default in (None, ""):
        return "none" if default is None else "empty"
    if isinstance(default, dict):
        return f"`{json.dumps(default)}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def test_every_setting_is_documented_with_its_default() -> None:
    expected = {
        f"MATERIA_{name.upper()}": written(field.default)
        for name, field in Settings.model_fields.items()
    }
    assert expected | dict.fromkeys(OF_THE_COMMAND_LINE, "none") == ROWS


def test_every_variable_that_the_code_reads_or_names_is_documented() -> None:
    files = (ROOT / "src" / "materia").rglob("*.py")
    named = {name for file in files for name in re.findall(r"MATERIA_[A-Z_]+", file.read_text())}
    rules = {name for name in named if name.startswith("MATERIA_CELERY_")}
    rules.add("MATERIA_EVALUATOR_TOKEN_")
    assert named - rules - set(ROWS) - {MARK} == set()
    assert "`MATERIA_CELERY_<NAME>`" in SETTINGS
    assert "`MATERIA_EVALUATOR_TOKEN_<NAME>`" in SETTINGS


def test_the_documented_overrides_of_celery_take_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = re.findall(r"^(MATERIA_CELERY_\w+)='?(.*?)'?$", SETTINGS, re.M)
    for name, value in examples:
        monkeypatch.setenv(name, value)
    found = runpy.run_path(str(ROOT / "src" / "materia" / "tasks" / "celeryconfig.py"))
    assert found["task_time_limit"] == 7200
    assert found["task_annotations"] == {"*": {"max_retries": 5, "default_retry_delay": 30}}
    assert len(examples) == 2


def test_the_documented_variables_of_libraries_are_those_of_the_code() -> None:
    assert all(f"`{name}`" in SETTINGS for name in THREAD_CAPS)


def test_the_page_of_settings_is_linked() -> None:
    assert "(docs/settings.md)" in (ROOT / "README.md").read_text()
    assert "(settings.md)" in PAGE


def test_every_state_is_documented() -> None:
    assert {state for state in JobState if f"`{state}`" in PAGE} == set(JobState)


def test_the_documented_retries_are_those_of_the_configuration() -> None:
    chosen = policy("tasks.simple_tasks.ping")
    pauses = [chosen.retry_delay_s * 2**n for n in range(chosen.max_retries)]
    assert pauses == [60, 120, 240]
    assert "60, 120 and 240 seconds" in PAGE


def test_the_documented_share_of_fair_reads_is_that_of_the_transport() -> None:
    assert FAIR_EVERY == 20
    assert "Every twentieth\nread" in PAGE
