"""The state file, read by those who look for a stack."""

from __future__ import annotations

import json
import os
from pathlib import Path

from materia.stack import state
from materia.stack.folder import DataFolder, write_private

LEFT = {
    "ready": True,
    "api_url": "http://127.0.0.1:8000",
    "api_key": "key",
    "broker_url": "redis://:pw@127.0.0.1:7000/0",
    "result_backend": "redis://:pw@127.0.0.1:7000/1",
    "database_url": "sqlite:////data/materia.db",
    "data_root": "/data/files",
    "processes": [{"name": "api", "pid": 1, "state": "ready", "restarts": 0}],
    "pid": os.getpid(),
}


def test_every_key_is_there_when_nothing_was_ever_started(tmp_path: Path) -> None:
    found = state.look(tmp_path / "none")
    assert set(state.KEYS) <= set(found)
    assert found["ready"] is False
    assert found["processes"] == []
    assert not (tmp_path / "none").exists()


def test_a_running_stack_is_found_through_its_folder(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    write_private(folder.state, json.dumps(LEFT))
    lock = folder.lock()
    found = state.look(tmp_path)
    os.close(lock)
    assert {key: found[key] for key in LEFT} == LEFT


def test_what_a_killed_stack_left_is_not_taken_for_a_running_one(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    write_private(folder.state, json.dumps(LEFT))
    os.close(folder.lock())
    found = state.look(tmp_path)
    assert (found["ready"], found["api_url"], found["processes"]) == (False, None, [])


def test_a_stack_that_has_just_locked_the_folder_is_not_taken_for_the_one_before(
    tmp_path: Path,
) -> None:
    folder = DataFolder(tmp_path)
    write_private(folder.state, json.dumps({**LEFT, "pid": -1}))
    lock = folder.lock()
    assert state.look(tmp_path)["ready"] is False
    os.close(lock)


def test_a_damaged_state_file_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text('{"ready": tr')
    assert state.look(tmp_path)["ready"] is False
