"""Medians, quartiles and the bars that ours must reach, from single runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.table import Table
from runs import OURS, REVISIONS, Run

PEER = "botorch"
# A gap below this share of what the start leaves counts as none: both have found the answer.
SOLVED = 1e-4
# Every so many evaluations the result file tells the curve.
CURVE_STEP = 5

Row = dict[str, Any]


def summarise(runs: Sequence[Run]) -> list[Row]:
    """Return one row per problem of what is kept: {"problem", …, "optimisers": {name: figures}}."""
    rows: dict[str, Row] = {}
    found: dict[tuple[str, str], dict[int, Row]] = {}
    for run in runs:
        problem = run.problem
        rows.setdefault(
            problem.name,
            {
                "problem": problem.name,
                "d": len(problem.parameters),
                "m": problem.m,
                "reference_point": problem.reference_point,
                "ideal": problem.ideal,
                "batch": problem.batch_size,
                "start": run.declared.n_start,
                "is_pool": problem.pool is not None,
                "optimisers": {},
            },
        )
        kept = run.kept()
        if kept is not None:
            curve = _curve(run, kept)
            found.setdefault((problem.name, run.optimiser), {})[run.seed] = {**kept, "curve": curve}
    for (name, optimiser), by_seed in found.items():
        rows[name]["optimisers"][optimiser] = _figures(by_seed)
    for row in rows.values():
        _pair(row)
    return [row for row in rows.values() if row["optimisers"]]


def _curve(run: Run, kept: Row) -> list[float]:
    """Return the gap after each evaluation from the end of the start on."""
    points, outcomes = kept["points"], np.array(kept["outcomes"])
    return [
        run.problem.gap(points[:n], outcomes[:n])
        for n in range(run.declared.n_start, len(points) + 1)
    ]


def _figures(by_seed: dict[int, Row]) -> Row:
    kept = list(by_seed.values())
    low, median, high = np.quantile([one["curve"] for one in kept], [0.25, 0.5, 0.75], axis=0)
    per_point = [seconds / n for one in kept for n, seconds in one["asks"]]
    covered = [one["coverage_95"] for one in kept if one["coverage_95"] is not None]
    return {
        "seeds": sorted(by_seed),
        "gaps": [by_seed[seed]["curve"][-1] for seed in sorted(by_seed)],
        "gap": float(median[-1]),
        "quartiles": [float(low[-1]), float(high[-1])],
        "seconds_per_point": statistics.median(per_point),
        "coverage_95": np.median(covered, axis=0).tolist() if covered else None,
        "peak_mb": max(one["peak_mb"] for one in kept),
        "versions": kept[-1]["versions"],
        "curve": {"low": low.tolist(), "median": median.tolist(), "high": high.tolist()},
    }


def _pair(row: Row) -> None:
    """Add how ours compares on the seeds that both have: medians, and who won how often."""
    ours, peer = row["optimisers"].get(OURS), row["optimisers"].get(PEER)
    if ours is None or peer is None:
        return
    seeds = sorted(set(ours["seeds"]) & set(peer["seeds"]))
    if not seeds:
        return
    pairs = [
        (ours["gaps"][ours["seeds"].index(s)], peer["gaps"][peer["seeds"].index(s)]) for s in seeds
    ]
    mine, theirs = statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)
    scale = max(peer["curve"]["median"][0], 1e-12) * (0 if row["is_pool"] else SOLVED)
    row["paired"] = {
        "seeds": len(seeds),
        "gap": mine,
        "gap_of_peer": theirs,
        "ratio": (mine + scale) / (theirs + scale) if theirs + scale > 0 else 1.0 + mine,
        "wins": sum(a < b for a, b in pairs),
        "losses": sum(a > b for a, b in pairs),
        "time_ratio": ours["seconds_per_point"] / peer["seconds_per_point"],
    }


def verdict(rows: Sequence[Row]) -> Row:
    """Return how far the bars of the benchmark are reached."""
    paired = {row["problem"]: row["paired"] for row in rows if "paired" in row}
    covered = {
        row["problem"]: row["optimisers"][OURS]["coverage_95"]
        for row in rows
        if OURS in row["optimisers"]
    }
    outside = {
        name: [round(share, 3) for share in shares]
        for name, shares in covered.items()
        if shares and not all(0.88 <= share <= 0.99 for share in shares)
    }
    return {
        "problems": len(paired),
        "not_worse": sum(pair["ratio"] <= 1.0 for pair in paired.values()),
        "worse_by_more_than_a_tenth": {
            name: round(pair["ratio"], 3) for name, pair in paired.items() if pair["ratio"] > 1.1
        },
        "median_time_ratio": statistics.median(p["time_ratio"] for p in paired.values())
        if paired
        else None,
        "coverage_outside_88_to_99": outside,
    }


def shortened(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with curves told every few evaluations only, all numbers to five digits."""

    def short(value: Any) -> Any:
        if isinstance(value, float):
            return float(f"{value:.5g}")
        if isinstance(value, list):
            return [short(one) for one in value]
        if isinstance(value, dict):
            return {key: short(one) for key, one in value.items()}
        return value

    told = []
    for row in rows:
        optimisers = {}
        for name, figures in row["optimisers"].items():
            curve = {key: line[::CURVE_STEP] for key, line in figures["curve"].items()}
            optimisers[name] = {**figures, "curve": {"every": CURVE_STEP, **curve}}
        told.append(short({**row, "optimisers": optimisers}))
    return told


def table(rows: Sequence[Row], title: str) -> Table:
    """Return median gaps and seconds per point for people."""
    shown = Table(title=title)
    present = [name for name in REVISIONS if any(name in row["optimisers"] for row in rows)]
    for column in ("problem", *present, f"ours / {PEER}", "won–lost", "time", "coverage"):
        shown.add_column(column, justify="left" if column == "problem" else "right")
    for row in rows:
        cells = []
        for name in present:
            figures = row["optimisers"].get(name)
            told = "–"
            if figures:
                told = f"{figures['gap']:.4g} ({figures['seconds_per_point']:.2g} s)"
            cells.append(told)
        pair = row.get("paired")
        ours = row["optimisers"].get(OURS)
        covered = ours and ours["coverage_95"]
        cells += [
            f"{pair['ratio']:.2f}" if pair else "–",
            f"{pair['wins']}–{pair['losses']}" if pair else "–",
            f"1/{1 / pair['time_ratio']:.0f}" if pair else "–",
            " ".join(f"{share:.2f}" for share in covered) if covered else "–",
        ]
        shown.add_row(row["problem"], *cells)
    return shown
