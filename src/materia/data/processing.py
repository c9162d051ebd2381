"""`process`: a table of any size filtered, extended and written, every row accounted for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from materia.data.memory import kept_memory
from materia.data.ordering import AT, Sorter, first_of_each, keyed, keys_of, numbered
from materia.data.output import (
    Rejects,
    Rendered,
    Writer,
    check_output,
    finish_begun,
    publish,
    workplace,
    writer_for,
)
from materia.data.pipeline import worked_on
from materia.data.source import RECORD, CsvSource, Rows, Source, open_table, suffix_of
from materia.data.steps import Outcome, Steps
from materia.data.transformations import Transformations, known_column, read_transformations
from materia.errors import DefinitionError

Progress = Callable[[float, float | None, str], None]
Made = TypeVar("Made")
_MOST_WAITING = 2
"""Rendered pieces that wait to be written."""


def process(
    source: Path, output: Path, transformations: Mapping[str, Any] | None, *, progress: Progress
) -> dict[str, Any]:
    """Apply transformations to a table of any size and write the outcome.

    Rows that cannot be used go to ``<output>.rejects.csv`` with line and reason: ragged, not
    UTF-8, with a cell that is not of its declared type or not a number where one is needed, or
    where a formula has numbers and no finite result. `rows_read` is the sum of `rows_written`,
    `rows_filtered`, `rows_rejected` and `rows_duplicate`. Blank lines are no rows.

    Args:
        source: CSV, gzipped CSV or Parquet, by the ending.
        output: The same kinds; replaced as a whole when everything is done.
        transformations: See `materia.data.transformations`.
        progress: Told what has been done, of how much, and what is being done; may raise to stop.

    Raises:
        DefinitionError: The transformations do not fit the table.
        NotFoundError: There is no such table.
        DataError: The table as a whole cannot be used, or the output not be written.
    """
    declared = read_transformations(transformations)
    suffix_of(output)
    check_output(output, [source])
    opened = open_table(source, declared.delimiter)
    with kept_memory(), opened as table, workplace(output) as folder:
        finish_begun(output)
        rejects = Rejects(output, source, folder)
        job = _Job(table, declared, output, folder, rejects, progress)
        counts = job.run()
    return {
        "status": "success",
        "input_file": str(source),
        "output_file": str(output),
        "total_rows_processed": counts.n_read,
        "num_chunks": declared.num_chunks,
        "rows_read": counts.n_read,
        "rows_written": counts.n_written,
        "rows_filtered": counts.n_filtered,
        "rows_rejected": counts.n_rejected,
        "rows_duplicate": counts.n_kept - counts.n_written,
        "rejects_file": str(rejects.place) if counts.n_rejected else None,
    }


def check(source: Path, transformations: Mapping[str, Any] | None) -> None:
    """Raise unless transformations fit a table, of which no row is read."""
    declared = read_transformations(transformations)
    with open_table(source, declared.delimiter) as table:
        _selected(declared, list(Steps(declared, table.columns).columns))


def _selected(declared: Transformations, known: list[str]) -> list[str]:
    """Return the columns of the output; every one that is named after the formulas must exist."""
    root = "transformations"
    for name in declared.duplicates or ():
        known_column(name, known, f"{root}.drop_duplicates")
    for name, _ in declared.sort:
        known_column(name, known, f"{root}.sort")
    for name in declared.select or ():
        known_column(name, known, f"{root}.select")
    for name in declared.rename:
        known_column(name, known, f"{root}.rename.{name}")
    selected = list(declared.select or known)
    titles = [declared.rename.get(name, name) for name in selected]
    double = next((title for title in titles if titles.count(title) > 1), None)
    if double is not None:
        path = f"{root}.rename"
        raise DefinitionError(f"{path}: two columns would be called '{double}'", path=path)
    return selected


@dataclass
class _Counts:
    n_read: int = 0
    n_kept: int = 0
    n_filtered: int = 0
    n_rejected: int = 0
    n_written: int = 0


class _Job:
    def __init__(
        self,
        table: Source,
        declared: Transformations,
        output: Path,
        folder: Path,
        rejects: Rejects,
        progress: Progress,
    ) -> None:
        self._table = table
        self._declared = declared
        self._output = output
        self._folder = folder
        self._rejects = rejects
        self._progress = progress
        self._steps = Steps(declared, table.columns)
        self._counts = _Counts()
        self._told: tuple[float, float | None, str] = (0, table.size, "reading")
        self._selected = _selected(declared, list(self._steps.columns))

    def run(self) -> _Counts:
        """Write everything and move it into place."""
        rename = self._declared.rename
        columns = {rename.get(name, name): self._steps.columns[name] for name in self._selected}
        undeclared = isinstance(self._table, CsvSource)
        writer = writer_for(self._output, self._folder, columns, undeclared)
        rejects = self._rejects
        with closing(writer), closing(rejects), ThreadPoolExecutor(1, "written") as thread:
            # Rows are read and cut while others are written, which waits for the disk now and then.
            writing: deque[Future[None]] = deque()
            for n_rows, rows in self._rendered(writer):
                writing.append(thread.submit(writer.write, rows))
                self._counts.n_written += n_rows
                if len(writing) > _MOST_WAITING:
                    writing.popleft().result()
            for written in writing:
                written.result()
            self._tell(self._table.size, self._table.size, "writing")
            writer.finish()
            rejects.finish()
        self._tell(self._table.size, self._table.size, "done")
        publish(self._folder, self._output)
        return self._counts

    def _rendered(self, writer: Writer) -> Iterator[tuple[int, Rendered]]:
        """Yield how many rows are written next, and these."""

        def render(frame: pl.DataFrame, is_plain: bool = False) -> tuple[int, Rendered]:
            if RECORD not in frame.columns:
                frame = frame.select(self._selected)
                frame = frame.rename(dict(self._declared.rename), strict=False)
            return frame.height, writer.render(frame, is_plain=is_plain)

        if self._declared.duplicates is None and not self._declared.sort:
            yield from self._kept(lambda kept: render(kept.frame, kept.is_plain))
        else:
            yield from map(render, self._ordered(self._kept(lambda kept: kept.frame)))

    def _kept(self, made: Callable[[Outcome], Made]) -> Iterator[Made]:
        """Yield what is `made` of what filters leave over, with every column needed later."""
        names, carried = self._needed(), self._carried()
        counts, table, rejects = self._counts, self._table, self._rejects
        self._tell(0, table.size, "reading")

        def work(rows: Rows) -> tuple[Outcome, Made]:
            kept = self._steps.apply(rows, carried if carried and rows.is_plain else names)
            return kept, made(kept)

        with closing(worked_on(work, table.rows(self._declared.num_chunks))) as worked:
            for kept, rows in worked:
                rejects.write(kept.faults)
                counts.n_rejected = rejects.n_rows
                counts.n_filtered += kept.n_filtered
                counts.n_kept += kept.frame.height
                counts.n_read = counts.n_kept + counts.n_filtered + counts.n_rejected
                self._tell(kept.done, table.size, "reading")
                yield rows

    def _needed(self) -> list[str]:
        declared = self._declared
        sort = (name for name, _ in declared.sort)
        return list(dict.fromkeys([*self._selected, *(declared.duplicates or ()), *sort]))

    def _carried(self) -> list[str] | None:
        """Return the columns of the output where rows can go into it as they are, else None."""
        declared, old = self._declared, list(self._table.columns)
        is_text = isinstance(self._table, CsvSource) and suffix_of(self._output) != ".parquet"
        is_whole = self._selected[: len(old)] == old and len(self._selected) > 1
        is_changed = declared.types or declared.sort or declared.duplicates is not None
        if not is_text or not is_whole or is_changed or declared.new_columns.keys() & set(old):
            return None
        return [RECORD, *self._selected[len(old) :]]

    def _ordered(self, frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Drop duplicates and sort."""
        sort, duplicates = self._declared.sort, self._declared.duplicates
        frames = numbered(frames)
        if duplicates is not None:
            names = list(duplicates or self._selected)
            by_value = Sorter(
                self._folder / "values", [(name, False) for name in names], self._tick
            )
            frames = first_of_each(self._passed(by_value, frames, "finding duplicates"), names)
        types = self._steps.columns
        keys = keys_of(sort, types)
        by_key = Sorter(self._folder / "keys", keys, self._tick)
        frames = (keyed(frame, sort, types) for frame in frames)
        for frame in self._passed(by_key, frames, "sorting"):
            yield frame.drop(AT, *(name for name, _ in keys))

    def _passed(
        self, sorter: Sorter, frames: Iterator[pl.DataFrame], message: str
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows that a sorter gives, and tell how many of those that it took."""
        n_taken = n_given = 0

        def taken() -> Iterator[pl.DataFrame]:
            nonlocal n_taken
            for frame in frames:
                n_taken += frame.height
                yield frame

        for frame in sorter.sorted(taken()):
            n_given += frame.height
            self._tell(n_given, n_taken, message)
            yield frame

    def _tell(self, done: float, total: float | None, message: str) -> None:
        self._told = done, total, message
        self._progress(*self._told)

    def _tick(self) -> None:
        # The rows that pass meanwhile belong to the phase that was told last.
        self._progress(*self._told)
