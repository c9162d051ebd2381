"""Sort and drop duplicates in a table larger than memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path

import polars as pl

from materia.data.limits import MAX_RUNS, PIECES_OF_RUN, RUN_BYTES

AT = "\x00at"
"""Name of the column with the position of a row in the stream; it makes every order total."""
_RUN = "\x00run"

Key = tuple[str, bool]
"""A column, and whether its largest value comes first."""
Tick = Callable[[], None]
"""Called with every piece that is put on disk or taken back; raises to stop."""


def numbered(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Add the column `AT`."""
    at = 0
    for frame in frames:
        yield frame.with_row_index(AT, offset=at).cast({AT: pl.Int64})
        at += frame.height


def keyed(
    frame: pl.DataFrame, sort: Sequence[Key], types: Mapping[str, pl.DataType]
) -> pl.DataFrame:
    """Add the columns that `keys_of` names."""
    return frame.with_columns(
        expression.alias(f"\x00key:{name}:{part}")
        for name, _ in sort
        for part, expression in enumerate(_parts(name, types[name]))
    )


def keys_of(sort: Sequence[Key], types: Mapping[str, pl.DataType]) -> list[Key]:
    """Return the columns to sort by; missing values come last either way."""
    return [
        (f"\x00key:{name}:{part}", descending)
        for name, descending in sort
        for part in range(len(_parts(name, types[name])))
    ]


def _parts(name: str, dtype: pl.DataType) -> list[pl.Expr]:
    column = pl.col(name)
    if dtype.is_float():
        return [column.fill_nan(None)]
    if dtype != pl.String:
        return [column]
    # Text that is a number sorts as one, before other text: 9 comes before 10 in a CSV file.
    text = column.str.strip_chars()
    number = text.cast(pl.Float64, strict=False).fill_nan(None)
    return [number, text.cast(pl.Int64, strict=False), pl.when(number.is_null()).then(column)]


class Sorter:
    """Sorts a stream by writing sorted runs to a folder and merging them.

    Args:
        folder: Where runs are kept; files are deleted as they are used up.
        keys: What to sort by before `AT`.
        tick: Called with every piece.
    """

    def __init__(self, folder: Path, keys: Sequence[Key], tick: Tick) -> None:
        self._folder = folder
        self._by = [*(name for name, _ in keys), AT]
        self._descending = [*(descending for _, descending in keys), False]
        self._tick = tick
        self._names = count()
        folder.mkdir()

    def sorted(self, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Yield the rows of all frames in their order."""
        runs: list[list[Path]] = []
        held: list[pl.DataFrame] = []
        n_bytes = 0.0
        for frame in frames:
            held.append(frame)
            n_bytes += frame.estimated_size()
            if n_bytes >= RUN_BYTES:
                runs.append(self._written(self._pieces(self._in_order(held))))
                held, n_bytes = [], 0.0
        last = self._in_order(held) if held else None
        if not runs:
            yield from self._pieces(last) if last is not None else ()
            return
        if last is not None:
            runs.append(self._written(self._pieces(last)))
        del last, held
        while len(runs) > MAX_RUNS:
            groups = [runs[at : at + MAX_RUNS] for at in range(0, len(runs), MAX_RUNS)]
            runs = [self._written(self._merged(group)) for group in groups]
        yield from self._merged(runs)

    def _in_order(self, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
        return pl.concat(frames).sort(self._by, descending=self._descending, nulls_last=True)

    def _pieces(self, run: pl.DataFrame) -> Iterator[pl.DataFrame]:
        yield from run.iter_slices(max(1, -(-run.height // PIECES_OF_RUN)))

    def _written(self, pieces: Iterable[pl.DataFrame]) -> list[Path]:
        paths = []
        for piece in pieces:
            paths.append(self._folder / f"{next(self._names)}.arrow")
            piece.write_ipc(paths[-1], compression="lz4")
            self._tick()
        return paths

    def _merged(self, runs: Sequence[Sequence[Path]]) -> Iterator[pl.DataFrame]:
        """Yield rows up to the first last row of a run that has more: none unread goes before."""
        waiting = [deque(run) for run in runs]
        held: dict[int, pl.DataFrame] = {}
        while True:
            # Topping up before a run is used up keeps it from stopping every other one.
            most = max((frame.height for frame in held.values()), default=0)
            for run, paths in enumerate(waiting):
                if paths and (run not in held or held[run].height < most / 2):
                    held[run] = self._topped_up(held.get(run), run, paths)
            if not held:
                return
            rows = self._in_order(list(held.values()))
            runs_of_rows = rows[_RUN].to_numpy()
            last = {run: int((runs_of_rows == run).nonzero()[0][-1]) for run in held}
            fence = min((last[run] for run in held if waiting[run]), default=rows.height - 1)
            yield rows[: fence + 1].drop(_RUN)
            self._tick()
            rest = rows[fence + 1 :].partition_by(_RUN, as_dict=True)
            held = {int(run): frame for (run,), frame in rest.items()}

    def _topped_up(self, held: pl.DataFrame | None, run: int, paths: deque[Path]) -> pl.DataFrame:
        path = paths.popleft()
        piece = pl.read_ipc(path.read_bytes())
        path.unlink()
        piece = piece.with_columns(pl.lit(run, pl.Int32).alias(_RUN))
        return piece if held is None else pl.concat([held, piece])


def first_of_each(frames: Iterable[pl.DataFrame], columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Yield, from a stream that is sorted by `columns`, the first row of each run of equals."""
    before: pl.DataFrame | None = None
    for frame in frames:
        if not frame.height:
            continue
        keys = frame.select(columns)
        extended = keys if before is None else pl.concat([before, keys])
        differs = extended.select(
            pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in columns)
        ).to_series()
        differs = differs[1:] if before is not None else differs
        if before is None:
            differs = differs.scatter(0, True)
        before = keys[-1:]
        yield frame.filter(differs)
