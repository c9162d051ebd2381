"""Small tables on disk, and the call under test with what every test leaves as it is."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from materia.data import process


def silent(done: float, total: float | None, message: str) -> None:
    """Take progress and do nothing."""


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def run(
    source: Path, transformations: Mapping[str, Any] | None = None, output: str = "out.csv"
) -> dict[str, Any]:
    return process(source, source.parent / output, transformations, progress=silent)


def outcome(
    folder: Path, content: str | bytes, transformations: Mapping[str, Any] | None = None
) -> tuple[str, dict[str, Any], list[list[str]]]:
    """Return the output as text, the result, and the rows of the rejects file."""
    result = run(written(folder / "in.csv", content), transformations)
    total = sum(result[f"rows_{fate}"] for fate in ("written", "filtered", "rejected", "duplicate"))
    assert result["rows_read"] == total
    return (folder / "out.csv").read_bytes().decode(), result, rejects(result)


def rejects(result: Mapping[str, Any]) -> list[list[str]]:
    if result["rejects_file"] is None:
        return []
    with Path(result["rejects_file"]).open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file))
    assert header == ["line", "reason", "row"]
    return rows
