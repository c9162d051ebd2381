"""The numbers that docs/jobs.md names are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from materia.broker.app import policy
from materia.broker.transport import FAIR_EVERY
from materia.settings import Settings
from materia.store.jobs import JobState

PAGE = (Path(__file__).parents[2] / "docs" / "jobs.md").read_text()


def test_every_documented_default_is_the_default() -> None:
    rows = re.findall(r"^\| `MATERIA_(\w+)` \| ([\d.]+) \|", PAGE, re.M)
    assert len(rows) >= 6
    for name, value in rows:
        assert float(value) == Settings.model_fields[name.lower()].default, name


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
