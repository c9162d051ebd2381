"""The engine proposes trials: inside their ranges, by seed and scores alone."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import ml_tables
import pytest

from materia.errors import DefinitionError
from materia.ml import grid, search
from materia.ml.grid import Trial
from materia.ml.proposals import Proposals

SPACE: dict[str, Any] = {
    "kind": ["a", "b", None],
    "depth": [2, 16, 4],
    "rate": {"low": 1e-4, "high": 1.0, "log": True},
    "size": {"low": 1, "high": 50},
    "fixed": ["x"],
}


def score(trial: Trial) -> float | None:
    """Return a score with its best place at (b, 4, 0.01, 50); kind None fails."""
    if trial["kind"] is None:
        return None
    far = abs(math.log10(trial["rate"]) + 2) + abs(math.log2(trial["depth"]) - 2)
    return (trial["kind"] == "b") - far + trial["size"] / 50


def run(n: int, seed: int = 0, space: dict[str, Any] = SPACE) -> list[tuple[Trial, float | None]]:
    proposals, found = Proposals(grid.space(space), n, seed), []
    while trials := proposals.ask():
        scores = [score(trial) if space is SPACE else 0.0 for trial in trials]
        found += list(zip(trials, scores, strict=True))
        proposals.tell(scores)
    return found


def test_trials_lie_in_their_ranges_keep_their_types_and_get_better() -> None:
    found = run(24)
    assert len(found) == 24
    for trial, _ in found:
        assert list(trial) == list(SPACE)
        assert trial["kind"] in SPACE["kind"]
        assert trial["depth"] in SPACE["depth"]
        assert 1e-4 <= trial["rate"] <= 1.0
        assert type(trial["size"]) is int
        assert 1 <= trial["size"] <= 50
        assert trial["fixed"] == "x"
    scores = [-9.0 if value is None else value for _, value in found]
    assert max(scores[12:]) > max(scores[:12])
    assert max(scores) > 1.5


def test_the_same_seed_and_scores_give_the_same_trials() -> None:
    assert run(14, seed=3) == run(14, seed=3)
    assert run(14, seed=3) != run(14, seed=4)


def test_a_small_space_is_tried_once_through_and_ends() -> None:
    space = {"a": [1, 2, 3], "b": ["x", "y"]}
    found = run(50, space=space)
    assert len(found) == 6
    assert {tuple(trial.values()) for trial, _ in found} == {
        tuple(trial.values()) for trial in grid.expand(space)
    }
    assert [trial for trial, _ in run(5, space={"a": [7]})] == [{"a": 7}]


def test_all_trials_may_fail() -> None:
    proposals = Proposals(grid.space({"a": {"low": 0.0, "high": 1.0}}), 9, 0)
    n = 0
    while trials := proposals.ask():
        n += len(trials)
        proposals.tell([None] * len(trials))
    assert n == 9


def test_a_plan_is_extended_and_ranked_in_the_order_asked(tmp_path: Path) -> None:
    space = {"estimator": ["linear"], "alpha": {"low": 1e-3, "high": 1e3, "log": True}}
    path = ml_tables.write(tmp_path, "diabetes")
    plan = search.plan_search(space, path, strategy="materia", n_iter=6, cv=2)
    assert plan.trials == ()
    proposals, scores = search.propose(space, plan, 6), []
    while trials := proposals.ask():
        first = len(plan.trials)
        plan = search.extended(plan, trials)
        for item in search.items(plan, first):
            scores += search.score_item(item, plan)
        rows = search.outcomes(plan, scores, {})[first:]
        assert [row["params"] for row in rows] == trials
        proposals.tell([row["score"] for row in rows])
    result = search.rank(plan, scores, {})
    assert result["n_trials"] == 6
    assert [row["params"] for row in result["all_results"]] == list(plan.trials)
    assert result["best_score"] > 0.4


@pytest.mark.parametrize(
    ("space", "n", "words"),
    [
        ([{"max_depth": 3}], 5, "must be a mapping"),
        ({"max_depth": {"low": 1, "high": 5}}, 0, "n_iter: must be a whole number from 1 to 1000"),
        ({"max_depth": {"low": 1, "high": 5}}, 1001, "n_iter"),
        ({"max_depth": {"low": 0, "high": 5}}, 5, r"max_depth: 0 is not allowed"),
        ({"max_depth": {"low": 2.5, "high": 5.0}}, 5, "max_depth: 2.5"),
        ({"max_dept": [1, 2]}, 5, "did you mean 'max_depth'"),
        ({"estimator": ["linear", "gp"], "alpha": [1.0, 2.0]}, 5, "'alpha' is unknown"),
        ({"estimator": ["forest"]}, 5, "no estimator"),
        ({"seed": [1, 2]}, 5, "same for all trials"),
    ],
)
def test_faults_are_found_before_the_first_trial(
    tmp_path: Path, space: Any, n: int, words: str
) -> None:
    path = ml_tables.write(tmp_path, "diabetes")
    with pytest.raises(DefinitionError, match=words):
        search.plan_search(space, path, strategy="materia", n_iter=n)
