"""Rows kept on disk for a while, in few files whatever the pieces that they came in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from materia.data.limits import PART_BYTES


class Parts:
    """Takes rows of one schema and gives them back in their order.

    Args:
        folder: Made here; whoever made its parent clears it away.
        schema: Types of the columns.
        kept_bytes: So many of them stay in memory; when there are more, all go to disk.
    """

    def __init__(
        self, folder: Path, schema: Mapping[str, pl.DataType], kept_bytes: int = 0
    ) -> None:
        self._folder, self._schema, self._kept_bytes = folder, dict(schema), kept_bytes
        self._paths: list[Path] = []
        self._held: list[pl.DataFrame] = []
        self._n_held = 0.0
        folder.mkdir()

    def append(self, frame: pl.DataFrame) -> None:
        """Take rows."""
        if not frame.height:
            return
        if self._kept_bytes and self._n_held + frame.estimated_size() > self._kept_bytes:
            # What was kept would else stand beside all that follows.
            held, self._held, self._n_held, self._kept_bytes = self._held[::-1], [], 0.0, 0
            while held:
                self._append(held.pop())
        self._append(frame)

    def _append(self, frame: pl.DataFrame) -> None:
        self._held.append(frame)
        self._n_held += frame.estimated_size()
        if not self._kept_bytes and self._n_held >= PART_BYTES:
            self._write()

    def scan(self) -> pl.LazyFrame:
        """Return all rows; none may be appended afterwards."""
        if self._held and self._kept_bytes:
            return pl.concat(self._held).lazy()
        if self._held:
            self._write()
        return (
            pl.scan_ipc(self._paths, glob=False)
            if self._paths
            else pl.LazyFrame(schema=self._schema)
        )

    def _write(self) -> None:
        self._paths.append(self._folder / f"{len(self._paths)}.arrow")
        pl.concat(self._held).write_ipc(self._paths[-1], compression="uncompressed")
        self._held, self._n_held = [], 0.0
