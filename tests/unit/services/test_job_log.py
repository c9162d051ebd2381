"""What a long job is doing can be read in its log, without a line for every step."""

from __future__ import annotations

from typing import Any

import pytest

from materia.services import running
from materia.services.running import RunningJob


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> RunningJob:
    """Return a running job whose progress goes nowhere."""
    monkeypatch.setattr(running.stream, "append_progress", lambda *_: None)
    monkeypatch.setattr(RunningJob, "save", lambda _: None)
    row: dict[str, Any] = {"id": "j", "token": 1, "event_number": 1, "campaign_id": None}
    return RunningJob(row)


def test_each_tenth_and_each_new_message_is_a_line(job: RunningJob) -> None:
    for done in range(101):
        job.progress(done, 100, "rows read")
    job.progress(100, 100, "writing")
    texts = [line["text"] for line in job.lines]
    assert texts[:2] == ["rows read: 0 of 100", "rows read: 10 of 100"]
    assert texts[-2:] == ["rows read: 100 of 100", "writing: 100 of 100"]
    assert len(texts) == 12


def test_progress_without_a_message_leaves_no_line(job: RunningJob) -> None:
    job.progress(1, 10)
    assert job.lines == []


def test_a_log_is_bounded(job: RunningJob) -> None:
    for n in range(running.job_rows.LOG_LINES + 10):
        job.note(f"line {n}")
    assert len(job.lines) == running.job_rows.LOG_LINES
    assert job.lines[0]["text"] == "line 10"
