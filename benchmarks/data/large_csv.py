"""Filter, new column and groups of a large CSV: ours, plain Polars streaming, pandas in chunks.

    python benchmarks/data/large_csv.py [--smoke] [--rows N] [--rounds N] [--flat] [--folder F]

The table has eight columns, about 65 bytes a row, and 20 bad rows: too short, too long, a word for
a number, not UTF-8. The competitors get a copy without these, as they stop at some and take others
for good in silence. Every competitor, in a process of its own,

1. keeps the rows with ``amount > 100``, adds ``total = price * quantity`` and writes all nine
   columns to a CSV file;
2. reads that file and gives, by ``city``, the number of rows, and sum and mean of ``total``.

- ours: `materia.data.process` and `materia.data.aggregate`, with every bad row named.
- polars: ``scan_csv → filter → with_columns → sink_csv``, then ``scan_csv → group_by → collect``,
  both with the streaming engine.
- polars_once: the same from one reading, file and groups in one ``collect_all``; less than is
  asked, as nothing reads the file.
- pandas: ``read_csv(chunksize=10**6)`` for each step, in an environment of its own.

Each round runs all competitors one after the other, the first one changing; a ratio is the median
of the ratios in a round. Memory is the largest resident set of the process. ``--flat`` runs ours
once more on a table of ten times as many rows, for its memory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.progress import Progress

sys.path.insert(0, str(Path(__file__).parents[1]))

import record

HERE = Path(__file__).parent
BAD = [b"1,short\n", b"1,Ulm,2026-01-01,1,2,150,7,x,y\n", b"1,Ulm,2026-01-01,many,2,150,7,x\n"]
BAD.append(b"1,Ulm,2026-01-01,1,2,150,7,\xff\n")
N_BAD = 20
BATCH = 500_000
PANDAS = "pandas==2.3.3"


def make_table(path: Path, clean: Path | None, n_rows: int, tick: Any) -> None:
    """Write the table with bad rows, and a copy without them."""
    random = np.random.default_rng(0)
    cities = ["Ulm", "Bonn", "Jena", "Kiel", "München", *(f"town {n}" for n in range(95))]
    days = [f"2026-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29)]
    notes = ["plain", "second hand", "as new", "broken seal"]
    every = max(1, n_rows // N_BAD)
    header = b"id,city,day,price,quantity,amount,code,note\n"
    with path.open("wb") as dirty, (clean or Path(os.devnull)).open("wb") as other:
        dirty.write(header)
        other.write(header)
        n_bad = 0
        for start in range(0, n_rows, BATCH):
            n = min(BATCH, n_rows - start)
            rows = pl.DataFrame(
                {
                    "id": np.arange(start, start + n),
                    "city": random.choice(cities, n),
                    "day": random.choice(days, n),
                    "price": random.uniform(1, 500, n).round(2),
                    "quantity": random.integers(1, 20, n),
                    "amount": random.gamma(2, 80, n).round(4),
                    "code": random.integers(0, 2**40, n),
                    "note": random.choice(notes, n),
                }
            ).write_csv(include_header=False)
            dirty.write(rows.encode())
            other.write(rows.encode())
            while n_bad < N_BAD and (n_bad + 1) * every <= start + n:
                dirty.write(BAD[n_bad % len(BAD)])
                n_bad += 1
            tick(n)


def run(python: str, kind: str, source: Path, folder: Path) -> dict[str, Any]:
    """Run a competitor in a process of its own and return what it tells."""
    command = [python, str(HERE / "competitors.py"), kind, str(source), str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def python_with_pandas(folder: Path) -> str:
    """Return a Python that has pandas; it is made once and kept in `folder`."""
    place = folder / f"python-{sys.version_info.major}.{sys.version_info.minor}-{PANDAS}"
    python = place / "bin" / "python"
    if not python.exists():
        uv = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, place], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", python, PANDAS], check=True)
    return str(python)


def check(results: dict[str, dict[str, Any]]) -> None:
    """Stop unless all competitors came to the same groups."""
    groups = {kind: result["groups"] for kind, result in results.items()}
    for kind, found in groups.items():
        assert found.keys() == groups["polars"].keys(), kind
        for city, values in found.items():
            assert np.allclose(values, groups["polars"][city], rtol=1e-9), (kind, city)
    assert results["ours"]["n_rejected"] == N_BAD, results["ours"]["n_rejected"]


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10**7)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--flat", action="store_true", help="also ours on ten times as many rows")
    parser.add_argument("--folder", type=Path, help="for the tables; a temporary one unless given")
    parser.add_argument("--no-pandas", action="store_true")
    parser.add_argument("--smoke", action="store_true", help="one small round, nothing recorded")
    chosen = parser.parse_args()
    n_rows, n_rounds = (10**5, 1) if chosen.smoke else (chosen.rows, chosen.rounds)
    kinds = ["ours", "polars", "polars_once"] + ([] if chosen.no_pandas else ["pandas"])
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "materia-benchmarks"
    pythons = dict.fromkeys(kinds, sys.executable)
    if "pandas" in pythons:
        pythons["pandas"] = python_with_pandas(cache)
    rounds: list[dict[str, dict[str, Any]]] = []
    flat: dict[str, Any] | None = None
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name, Progress() as progress:
        folder = Path(name)
        dirty, clean = folder / "dirty.csv", folder / "clean.csv"
        bar = progress.add_task("table", total=n_rows)
        make_table(dirty, clean, n_rows, lambda n: progress.advance(bar, n))
        n_bytes = dirty.stat().st_size
        bar = progress.add_task("runs", total=n_rounds * len(kinds))
        for number in range(n_rounds):
            results = {}
            # Who comes first pays for memory that the file cache takes for the first time.
            first = number % len(kinds)
            for kind in kinds[first:] + kinds[:first]:
                source = dirty if kind == "ours" else clean
                results[kind] = run(pythons[kind], kind, source, folder)
                progress.advance(bar)
            check(results)
            rounds.append(results)
        if chosen.flat:
            clean.unlink()
            bar = progress.add_task("ten times the rows", total=10 * n_rows)
            make_table(dirty, None, 10 * n_rows, lambda n: progress.advance(bar, n))
            flat = {"bytes": dirty.stat().st_size} | run(sys.executable, "ours", dirty, folder)
            del flat["groups"]
    summary = {kind: _summary(kind, rounds) for kind in kinds}
    print(f"{n_rows} rows, {n_bytes / 1e9:.2f} GB")
    for kind, line in summary.items():
        steps = f"{line['process_s']:.2f} + {line['group_s']:.2f}"
        print(
            f"{kind:12} {line['seconds']:7.2f} s ({steps})   {line['peak_mb']:5.0f} MB   "
            f"ours {line['speed_of_ours']:.2f} × as fast"
        )
    if flat is not None:
        print(f"ours on {flat['bytes'] / 1e9:.1f} GB: {flat['peak_mb']:.0f} MB")
    if not chosen.smoke:
        for results in rounds:
            for result in results.values():
                del result["groups"]
        told = {"n_rows": n_rows, "bytes": n_bytes, "summary": summary, "rounds": rounds}
        print(record.write("data-large-csv", {**told, "ten_times": flat}))


def _summary(kind: str, rounds: list[dict[str, dict[str, Any]]]) -> dict[str, float]:
    series = [results[kind] for results in rounds]
    whole = [result["process_s"] + result["group_s"] for result in series]
    ours = [results["ours"]["process_s"] + results["ours"]["group_s"] for results in rounds]
    return {
        "seconds": statistics.median(whole),
        "process_s": statistics.median(result["process_s"] for result in series),
        "group_s": statistics.median(result["group_s"] for result in series),
        "peak_mb": max(result["peak_mb"] for result in series),
        "speed_of_ours": statistics.median(
            theirs / mine for theirs, mine in zip(whole, ours, strict=True)
        ),
    }


if __name__ == "__main__":
    main()
