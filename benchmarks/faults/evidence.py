"""What the database says of a campaign, counted without any code of the product.

Plain SQL and arithmetic: what the services believe is not asked.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

Row = dict[str, Any]


@dataclass
class Evidence:
    """What is wrong with a campaign, and what it took.

    Attributes:
        lost: Candidates without a committed evaluation.
        doubled: Evaluations beyond the first of a candidate, and candidates beyond the budget.
        started: Evaluations that were begun, those that died with their worker included.
        faults: What else does not hold; a sentence each.
    """

    evaluations: int
    lost: int
    doubled: int
    started: int
    hypervolume: float
    faults: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether nothing is lost, doubled or otherwise wrong."""
        return not (self.lost or self.doubled or self.faults)


class Witness:
    """Looks at one campaign in a database on a connection of its own.

    Args:
        url: Of PostgreSQL.
    """

    def __init__(self, url: str, campaign_id: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True, row_factory=dict_row)
        self._campaign_id = campaign_id

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def rows(self, query: str, *values: Any) -> list[Row]:
        """Return what a query finds."""
        return self._connection.execute(query, values).fetchall()

    def commits(self) -> list[Row]:
        """Return candidate_id, job_id and finished_at of every evaluation in the order of time."""
        return self.rows(
            "SELECT candidate_id, job_id, finished_at FROM evaluations WHERE campaign_id = %s"
            " ORDER BY finished_at",
            self._campaign_id,
        )

    def in_flight(self, worker: str) -> list[Row]:
        """Return the jobs of the campaign that a worker runs: id, step, pid, crashes."""
        return self.rows(
            "SELECT id, step, pid, crashes FROM jobs"
            " WHERE campaign_id = %s AND state = 'RUNNING' AND worker = %s",
            self._campaign_id,
            worker,
        )

    def ended(self, job_ids: Sequence[str]) -> dict[str, float | None]:
        """Return when each of some jobs ended; None of one that has not."""
        found = self.rows("SELECT id, finished_at FROM jobs WHERE id = ANY(%s)", list(job_ids))
        return {row["id"]: row["finished_at"] for row in found}

    def state(self) -> str:
        """Return the state of the campaign."""
        (row,) = self.rows("SELECT state FROM campaigns WHERE id = %s", self._campaign_id)
        return str(row["state"])

    def examine(self, budget: int, objectives: Sequence[Row]) -> Evidence:
        """Count everything after the end.

        Args:
            objectives: Two, each with name, direction and reference_point.
        """
        mine = self._campaign_id
        (campaign,) = self.rows("SELECT * FROM campaigns WHERE id = %s", mine)
        candidates = self.rows(
            "SELECT * FROM candidates WHERE campaign_id = %s ORDER BY number", mine
        )
        evaluations = self.rows("SELECT * FROM evaluations WHERE campaign_id = %s", mine)
        jobs = self.rows("SELECT * FROM jobs WHERE campaign_id = %s", mine)
        events = self.rows(
            "SELECT number, type, data FROM events WHERE topic = %s ORDER BY number",
            f"campaign:{mine}",
        )
        trace = self.rows(
            "SELECT hypervolume FROM iterations WHERE campaign_id = %s ORDER BY iteration", mine
        )
        (begun,) = self.rows(
            "SELECT count(*) FILTER (WHERE e.data->>'state' = 'RUNNING') AS n FROM events e"
            " JOIN jobs j ON e.topic = 'job:' || j.id"
            " WHERE j.campaign_id = %s AND j.step = 'evaluate_candidates'",
            mine,
        )
        per_candidate = Counter(row["candidate_id"] for row in evaluations)
        known = {row["id"]: row for row in candidates}
        expected = hypervolume([row["outcomes"] for row in candidates], objectives)
        found = Evidence(
            evaluations=len(evaluations),
            lost=max(0, budget - len(per_candidate.keys() & known.keys())),
            doubled=sum(n - 1 for n in per_candidate.values()) + max(0, len(candidates) - budget),
            started=int(begun["n"]),
            hypervolume=expected,
        )
        say = found.faults.append
        if campaign["state"] != "completed":
            say(f"the campaign is {campaign['state']}: {campaign['error']}")
        counted = (campaign["evaluations_completed"], campaign["evaluations_failed"])
        if counted != (budget, 0):
            say(f"the campaign counts {counted[0]} completed and {counted[1]} failed evaluations")
        if [row["number"] for row in candidates] != list(range(len(candidates))):
            say("the numbers of the candidates have gaps or doubles")
        if len({repr(sorted(row["params"].items())) for row in candidates}) != len(candidates):
            say("two candidates have the same parameters")
        for row in evaluations:
            candidate = known.get(row["candidate_id"])
            if candidate is None or candidate["state"] != "told" or row["state"] != "told":
                say(f"candidate {row['candidate_id']} is unknown, or not told")
            elif candidate["outcomes"] != row["outcomes"]:
                say(f"candidate {row['candidate_id']} has other outcomes than its evaluation")
        by_id = {row["id"]: row for row in jobs}
        if {by_id.get(row["job_id"], {}).get("state") for row in evaluations} - {"SUCCEEDED"}:
            say("an evaluation belongs to a job that did not succeed")
        ends = Counter(row["state"] for row in jobs)
        # A step that was overtaken by itself is cancelled; nothing else may end in another way.
        if set(ends) - {"SUCCEEDED"}:
            say(f"jobs ended {dict(ends)}")
        told = Counter(
            row["data"]["candidate_id"] for row in events if row["type"] == "evaluation_completed"
        )
        if told != per_candidate:
            say("the events tell of other evaluations than there are")
        if [row["number"] for row in events] != list(range(1, len(events) + 1)):
            say("the numbers of the campaign's events have gaps or doubles")
        values = [row["hypervolume"] for row in trace]
        if None in values or any(b < a for a, b in itertools.pairwise(values)):
            say("the hypervolume falls, or is missing")
        if not math.isclose(campaign["hypervolume"] or -1.0, expected, rel_tol=1e-9):
            say(f"the hypervolume is {campaign['hypervolume']}, and {expected} by our count")
        return found


def hypervolume(outcomes: Sequence[Row | None], objectives: Sequence[Row]) -> float:
    """Return the area that two objectives dominate, by adding up strips."""
    signs = [-1.0 if one.get("direction") == "maximize" else 1.0 for one in objectives]
    corner = [sign * one["reference_point"] for sign, one in zip(signs, objectives, strict=True)]
    points = sorted(
        tuple(
            sign * value_of(row[one["name"]]) for sign, one in zip(signs, objectives, strict=True)
        )
        for row in outcomes
        if row is not None
    )
    area, lowest = 0.0, corner[1]
    for x, y in points:
        if x < corner[0] and y < lowest:
            area += (corner[0] - x) * (lowest - y)
            lowest = y
    return area


def value_of(told: float | Sequence[float]) -> float:
    """Return the value of an outcome, which may have a standard error."""
    return float(told[0] if isinstance(told, list | tuple) else told)
