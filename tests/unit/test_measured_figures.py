"""The figures of the page on operation are those of the result files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
KINDS = {
    "all": "all together",
    "worker": "a worker killed with all its processes",
    "child": "a process of a pool killed",
    "cut": "the link of a host cut for 2 to 8 s",
    "partition": "the link cut for longer than a lease",
    "flush": "Redis emptied",
}


def result(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "benchmarks/results" / f"{name}.json").read_text())
    return found


def seconds(spread: dict[str, Any]) -> str:
    if not spread["n"]:
        return "–"
    return " / ".join(f"{spread[key]:.1f}" for key in ("p50_s", "p95_s", "max_s"))


def table_of_faults() -> list[str]:
    lines = []
    for kind, text in KINDS.items():
        line = result("three-networks")["summary"]["recovery"][kind]
        jobs = line["interrupted_jobs"]
        after = seconds(line["next_evaluation"])
        lines.append(f"| {text} | {line['faults']} | {after} | {jobs['n']} | {seconds(jobs)} |")
    return lines


def table_of_urgent_jobs() -> list[str]:
    summary = result("jobs-priority")["summary"]
    texts = {"raw": "raw Celery", "sqlite": "SQLite", "postgresql": "PostgreSQL"}
    lines = []
    for kind, text in texts.items():
        queues = [summary[kind][queue] for queue in ("high_priority", "low_priority")]
        figures = [f"{1000 * q['p50_s']:.0f} / {1000 * q['p95_s']:.0f}" for q in queues]
        lines.append(f"| {text} | {' | '.join(figures)} |")
    return lines


def test_the_tables_are_those_of_the_result_files() -> None:
    for line in [*table_of_faults(), *table_of_urgent_jobs()]:
        assert line in PAGE, line


def test_the_text_says_what_the_result_files_say() -> None:
    networks, urgent = result("three-networks"), result("jobs-priority")
    summary = networks["summary"]
    assert (summary["lost"], summary["doubled"]) == (0, 0)
    assert all(one["same_candidates"] and not one["faults"] for one in networks["campaigns"])
    longest_s = max(one["duration_s"] for one in networks["campaigns"])
    words = " ".join(PAGE.split())
    for text in (
        f"{summary['evaluations']} evaluations went on",
        f"a lease of {networks['lease_s']:g} s",
        f"{summary['undisturbed_s']:.0f} s undisturbed, at most {longest_s:.0f} s",
        f"{urgent['n_waiting'] // 1000} 000 jobs of low priority",
    ):
        assert text in words, text
    worst = max(
        line["p95_s"]
        for kind in ("sqlite", "postgresql")
        for line in urgent["summary"][kind].values()
    )
    assert worst < urgent["promised_p95_s"]
