"""One competitor of `large_csv.py`, in a process of its own; prints its figures as JSON.

    python competitors.py ours|polars|polars_once|pandas SOURCE FOLDER

Libraries are imported before the clock starts, in the function that needs them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Step = Callable[[], Any]
"""The second step of a competitor returns rows of (city, number, sum, mean)."""


def ours(source: Path, output: Path) -> tuple[Step, Step]:
    """Return the two steps of MatCraft."""
    import materia.data.aggregation
    import materia.data.processing

    def silent(done: float, total: float | None, message: str) -> None:
        return

    steps = {"filter": {"amount": 100}, "new_columns": {"total": "price * quantity"}}

    def process() -> Any:
        found = materia.data.process(source, output, steps, progress=silent)
        return found["rows_rejected"]

    def group() -> Any:
        wanted = {"total": ["sum", "mean"]}
        found = materia.data.aggregate(
            [output], None, group_by=["city"], aggregations=wanted, progress=silent
        )
        names = ("city", "rows", "total_sum", "total_mean")
        return [[group[name] for name in names] for group in found["groups"]]

    return process, group


def polars(source: Path, output: Path) -> tuple[Step, Step]:
    """Return the two steps of plain Polars."""
    import polars as pl

    def process() -> None:
        rows = pl.scan_csv(source).filter(pl.col("amount") > 100)
        rows = rows.with_columns(total=pl.col("price") * pl.col("quantity"))
        rows.sink_csv(output, engine="streaming")

    def group() -> Any:
        groups = pl.scan_csv(output).group_by("city").agg(*_applied(pl))
        return groups.collect(engine="streaming").rows()

    return process, group


def polars_once(source: Path, output: Path) -> tuple[Step, Step]:
    """Return the work of plain Polars as one step, and one that hands over its groups."""
    import polars as pl

    groups: list[Any] = []

    def process() -> None:
        rows = pl.scan_csv(source).filter(pl.col("amount") > 100)
        rows = rows.with_columns(total=pl.col("price") * pl.col("quantity"))
        sink = rows.sink_csv(output, lazy=True)
        found = pl.collect_all([sink, rows.group_by("city").agg(*_applied(pl))], engine="streaming")
        groups.extend(found[1].rows())

    return process, lambda: groups


def _applied(pl: Any) -> list[Any]:
    total = pl.col("total")
    return [pl.len().alias("rows"), total.sum().alias("sum"), total.mean().alias("mean")]


def pandas(source: Path, output: Path) -> tuple[Step, Step]:
    """Return the two steps of pandas in chunks."""
    import pandas as pd

    def process() -> None:
        with output.open("w", encoding="utf-8", newline="") as file:
            for number, rows in enumerate(pd.read_csv(source, chunksize=10**6)):
                kept = rows[rows["amount"] > 100]
                kept = kept.assign(total=kept["price"] * kept["quantity"])
                kept.to_csv(file, index=False, header=number == 0)

    def group() -> Any:
        parts = [
            rows.groupby("city")["total"].agg(["count", "sum"])
            for rows in pd.read_csv(output, chunksize=10**6)
        ]
        found = pd.concat(parts).groupby(level=0).sum()
        found["mean"] = found["sum"] / found["count"]
        return [[city, *map(float, values)] for city, *values in found.itertuples()]

    return process, group


def _peak_mb() -> float:
    # What `getrusage` says of a process is never less than what its parent had when it was started.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def main() -> None:
    """Run one competitor."""
    kind, source, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    output = folder / f"{kind}.csv"
    process, group = globals()[kind](source, output)
    started = time.perf_counter()
    n_rejected = process()
    between = time.perf_counter()
    groups = group()
    ended = time.perf_counter()
    output.unlink()
    told = {"process_s": between - started, "group_s": ended - between, "peak_mb": _peak_mb()}
    found = {city: values for city, *values in groups}
    print(json.dumps({**told, "n_rejected": n_rejected, "groups": found}))


if __name__ == "__main__":
    main()
