"""What every optimiser holds to. Derive a test class and run pytest:

from materia.testing.optimisers import OptimiserSuite

class TestMine(OptimiserSuite):
    optimizer = {"surrogate": "vendor.mine"}
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from materia.engine.campaign import Campaign
from materia.engine.candidates import Candidate
from materia.engine.pareto import hypervolume


class OptimiserSuite:
    """Tests of the section `optimizer` of a definition.

    Attributes:
        optimizer: What is declared there, without budget, batch size and seed.
        m: Number of objectives, 1 to 5.
        n_start: Points of the initial design.
        budget: Evaluations in all.
    """

    optimizer: ClassVar[Mapping[str, Any]] = {}
    m: int = 1
    n_start: int = 8
    budget: int = 26

    def campaign(self, seed: int = 1) -> Campaign:
        """Return a new campaign over three numbers, one of them whole, with a constraint."""
        return Campaign.from_dict(
            {
                "name": "suite",
                "parameters": [
                    {"name": "a", "type": "continuous", "bounds": [0, 1]},
                    {"name": "b", "type": "continuous", "bounds": [0.01, 1], "log_scale": True},
                    {"name": "k", "type": "integer", "bounds": [0, 40]},
                ],
                "constraints": [{"expression": "a + b <= 1.6"}],
                "objectives": [{"name": f"y{j}"} for j in range(self.m)],
                "optimizer": {
                    "budget": self.budget,
                    "batch_size": 3,
                    "seed": seed,
                    "active_learning": {"initial_samples": self.n_start},
                    **self.optimizer,
                },
            }
        )

    def outcome(self, params: Mapping[str, Any]) -> dict[str, float]:
        """Return the outcomes of a point, all minimised."""
        x = np.array([params["a"], 1.0 + np.log10(params["b"]) / 2.0, params["k"] / 40])
        centres = np.array([[0.3, 0.7, 0.5], [0.8, 0.2, 0.4], [0.1, 0.1, 0.9]])
        centres = np.vstack([centres, [[0.9, 0.5, 0.1], [0.5, 0.9, 0.7]]])
        return {f"y{j}": float(np.sum((x - centres[j]) ** 2)) for j in range(self.m)}

    def told(self, batch: list[Candidate]) -> dict[str, dict[str, float]]:
        """Return the outcomes of candidates."""
        return {candidate.id: self.outcome(candidate.params) for candidate in batch}

    def amount(self, outcomes: list[dict[str, float]]) -> float:
        """Return what outcomes amount to; more is better."""
        Y = np.array([list(row.values()) for row in outcomes])
        return -float(Y.min()) if self.m == 1 else hypervolume(Y, np.full(self.m, 1.0))

    def test_resuming_changes_nothing(self) -> None:
        golden, resumed = self.campaign(), self.campaign()
        while golden.next_batch_size():
            batch = golden.ask()
            resumed = Campaign.load(json.loads(json.dumps(resumed.dump(), allow_nan=False)))
            assert resumed.ask() == batch
            golden.tell(self.told(batch))
            resumed.tell(self.told(batch))
        assert resumed.dump() == golden.dump()

    def test_the_order_of_telling_changes_nothing(self) -> None:
        one, other = self.campaign(), self.campaign()
        for _ in range(3):
            batch = one.ask()
            assert other.ask() == batch
            one.tell(self.told(batch))
            for candidate in reversed(batch):
                other.tell(self.told([candidate]))

    def test_arguments_stay_as_they_are(self) -> None:
        campaign = self.campaign()
        batch = campaign.ask()
        told = self.told(batch)
        before = copy.deepcopy(told)
        campaign.tell(told)
        saved = campaign.dump()
        kept = copy.deepcopy(saved)
        Campaign.load(saved).ask()
        assert (told, saved) == (before, kept)

    def test_late_and_failed_evaluations_do_not_stop_it(self) -> None:
        campaign, late = self.campaign(), list[Candidate]()
        while campaign.next_batch_size():
            batch = campaign.ask()
            campaign.tell({batch[-1].id: None})
            campaign.tell(self.told(batch[1:-1]))
            late.append(batch[0])
        campaign.tell(self.told(late))
        asked = [tuple(c["params"].values()) for c in campaign.candidates]
        assert len(set(asked)) == self.budget

    def test_every_candidate_keeps_to_the_space_and_says_where_it_comes_from(self) -> None:
        campaign = self.campaign()
        while campaign.next_batch_size():
            campaign.tell(self.told(campaign.ask()))
        for candidate in campaign.candidates:
            params = candidate["params"]
            assert 0 <= params["a"] <= 1 and 0.01 <= params["b"] <= 1
            assert type(params["k"]) is int and params["a"] + params["b"] <= 1.6 + 1e-9
            assert candidate["why"]["source"]

    def test_it_beats_random_points(self) -> None:
        gains = []
        for seed in range(2):
            campaign = self.campaign(seed)
            while campaign.next_batch_size():
                campaign.tell(self.told(campaign.ask()))
            found = self.amount([c["outcomes"] for c in campaign.candidates])
            points = campaign.space.sample(np.random.default_rng(seed).random((self.budget, 3)))
            allowed = [p for p in campaign.space.decode(points) if p["a"] + p["b"] <= 1.6]
            gains.append(found - self.amount([self.outcome(p) for p in allowed]))
        assert np.mean(gains) > 0
