"""Output appears whole or not at all: under a kill, and where no more can be written."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from small_tables import run, written

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
