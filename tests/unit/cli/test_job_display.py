"""How far a job is, in a terminal and where there is none."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from materia.cli.job_display import JobDisplay, duration

PROGRESS = {"done": 12, "total": 54, "message": "folds scored", "eta_s": 175.0}


def shown(*, is_terminal: bool) -> str:
    file = StringIO()
    console = Console(file=file, force_terminal=is_terminal, width=120)
    with JobDisplay(console, "ml_tasks.hyperparameter_search") as display:
        display.show("QUEUED", None)
        display.show("RUNNING", {**PROGRESS, "done": 0, "eta_s": None})
        display.show("RUNNING", PROGRESS)
    return file.getvalue()


def test_a_terminal_shows_a_bar_with_the_time_that_is_left() -> None:
    text = shown(is_terminal=True)
    assert "folds scored" in text
    assert "12 of 54" in text
    assert "about 3 min left" in text


def test_elsewhere_there_is_a_line_for_each_new_message() -> None:
    assert shown(is_terminal=False).splitlines() == [
        "ml_tasks.hyperparameter_search: queued",
        "ml_tasks.hyperparameter_search: folds scored",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (99, "99 s"), (175, "3 min"), (7500, "2 h 05 min")]
)
def test_times_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text
