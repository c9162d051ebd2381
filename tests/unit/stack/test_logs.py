"""Logs of processes stay bounded and are kept over a few starts."""

from __future__ import annotations

import os
from pathlib import Path

from materia.stack.logs import KEPT, ProcessLog


def test_earlier_logs_are_kept_under_numbers_up_to_a_limit(tmp_path: Path) -> None:
    log = ProcessLog(tmp_path / "api.log")
    for start in range(KEPT + 3):
        log.rotate()
        log.path.write_text(f"start {start}\n")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["api.log", *(f"api.log.{n}" for n in range(1, KEPT + 1))]
    assert log.path.with_name("api.log.1").read_text() == f"start {KEPT + 1}\n"


def test_a_log_that_grows_is_cut_while_its_process_writes_on(tmp_path: Path) -> None:
    log = ProcessLog(tmp_path / "api.log")
    output = log.open()
    os.write(output, b"x" * 100)
    log.limit(max_bytes=50)
    os.write(output, b"after\n")
    os.close(output)
    assert log.path.read_bytes() == b"after\n"
    assert log.path.with_name("api.log.1").read_bytes() == b"x" * 100


def test_the_tail_is_the_last_lines(tmp_path: Path) -> None:
    log = ProcessLog(tmp_path / "api.log")
    log.path.write_text("".join(f"line {n}\n" for n in range(10_000)))
    assert log.tail(2) == ["line 9998", "line 9999"]
    assert ProcessLog(tmp_path / "none.log").tail() == []
