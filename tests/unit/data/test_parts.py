"""Rows kept for a while come back whole and in order, from disk and from memory."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from materia.data.parts import Parts

SCHEMA = {"n": pl.Int64(), "text": pl.String()}


@pytest.mark.parametrize(("kept_bytes", "n_files"), [(0, 1), (10_000, 1), (2**20, 0)])
def test_rows_go_to_disk_where_more_are_not_to_be_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_bytes: int, n_files: int
) -> None:
    monkeypatch.setattr("materia.data.parts.PART_BYTES", 4_000)
    parts = Parts(tmp_path / "rows", SCHEMA, kept_bytes)
    frames = [
        pl.DataFrame({"n": range(at, at + 100), "text": [f"row {at}"] * 100}, schema=SCHEMA)
        for at in range(0, 1_000, 100)
    ]
    for frame in frames:
        parts.append(frame)
    rows = parts.scan().collect()
    assert rows.equals(pl.concat(frames))
    files = list((tmp_path / "rows").iterdir())
    assert len(files) >= n_files
    assert bool(files) == bool(n_files)
    # What was kept until then comes in small files as well: a large one would be built in memory.
    largest = max((pl.read_ipc(file).height for file in files), default=0)
    assert largest <= 300


def test_no_rows_have_their_columns_all_the_same(tmp_path: Path) -> None:
    assert Parts(tmp_path / "rows", SCHEMA).scan().collect().schema == SCHEMA
