"""Output appears whole or not at all: under a kill, and where no more can be written."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from small_tables import run, written

from materia.data.output import finish_begun
from materia.errors import DataError

LINES = [f"{n},{n * 7919 % 1000},city {n % 50}" for n in range(60_000)]
TABLE = "\n".join(["id,amount,city", *LINES]) + "\n"

UNTIL_TOLD = """
import signal, sys
from pathlib import Path
from materia.data import process

def progress(done, total, message):
    if message == sys.argv[3] and done > 0:
        print(message, flush=True)
        signal.pause()

process(Path(sys.argv[1]), Path(sys.argv[2]), {"sort": "amount"}, progress=progress)
"""


@pytest.mark.parametrize("phase", ["reading", "writing"])
def test_a_killed_process_leaves_the_old_file_and_what_it_made_beside_it(
    tmp_path: Path, phase: str
) -> None:
    source, output = written(tmp_path / "in.csv", TABLE), written(tmp_path / "out.csv", "old")
    command = [sys.executable, "-c", UNTIL_TOLD, str(source), str(output), phase]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == phase
        process.kill()
    assert output.read_text() == "old"
    left = {path.name for path in tmp_path.iterdir()} - {"in.csv", "out.csv"}
    assert len(left) == 1
    assert next(iter(left)).startswith(".out.csv.")
    result = run(source, {"sort": "amount"})
    assert result["rows_written"] == len(LINES) == output.read_text().count("\n") - 1


KILLED_AT_A_MOVE = """
import os, signal, sys
from pathlib import Path
from materia.data import process

replace, left = Path.replace, [int(sys.argv[3])]

def replace_or_die(path, target):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return replace(path, target)

Path.replace = replace_or_die
process(Path(sys.argv[1]), Path(sys.argv[2]), None, progress=lambda *told: None)
"""


@pytest.mark.parametrize("has_rejects", [True, False])
def test_a_run_killed_while_its_files_move_is_ended_by_the_next(
    tmp_path: Path, has_rejects: bool
) -> None:
    output, rejects = tmp_path / "out.csv", tmp_path / "out.csv.rejects.csv"
    run(written(tmp_path / "old.csv", "a,b\n1,old\nold\n"))
    source = written(tmp_path / "in.csv", "a,b\n1,new\n" + "new\n" * has_rejects)
    command = [sys.executable, "-c", KILLED_AT_A_MOVE, source, output, str(int(has_rejects))]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert output.read_text() == "a,b\n1,old\n"
    left = tmp_path.glob(".out.csv.*/out.csv")
    assert [path.read_text() for path in left] == ["a,b\n1,new\n"]
    finish_begun(output)
    assert output.read_text() == "a,b\n1,new\n"
    assert rejects.exists() == has_rejects
    if has_rejects:
        assert rejects.read_text().splitlines()[1].endswith(",new")
    assert not list(tmp_path.glob(".out.csv.*"))


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """Let no file of this process grow further, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
@pytest.mark.parametrize("steps", [{}, {"sort": "amount"}], ids=["as_it_comes", "sorted"])
def test_where_no_more_can_be_written_the_old_file_stays(
    tmp_path: Path, ending: str, steps: dict[str, Any]
) -> None:
    source = written(tmp_path / "in.csv", TABLE)
    output = written(tmp_path / f"out{ending}", "old")
    with files_of_at_most(100_000), pytest.raises(DataError, match="cannot write"):
        run(source, steps, output.name)
    assert output.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
