import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaces import continuous, define

from materia import Campaign
from materia.engine.convergence import stalled
from materia.engine.fitting import Fitting
from materia.errors import SurrogateError

pytestmark = pytest.mark.filterwarnings("error")


def campaign_of(rows, m=2, references=None, told=None, **more):
    """A campaign whose candidates came out as `rows`; NaN for a missing value, None for failed."""
    objectives = [{"name": f"y{j}"} for j in range(m)]
    for objective, reference in zip(objectives, references or [], strict=False):
        objective["reference_point"] = reference
    options = {"budget": 1000, "initial_samples": len(rows), **more}
    campaign = Campaign.from_definition(
        define([continuous("a"), continuous("b")], objectives=objectives, **options)
    )
    batch = campaign.ask(len(rows))
    for candidate, row in zip(batch, rows, strict=True):
        known = (
            None
            if row is None
            else {f"y{j}": value for j, value in enumerate(row) if not math.isnan(value)}
        )
        if known != {}:
            campaign.tell({candidate.id: known})
    return campaign


ROWS = st.lists(
    st.none() | st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, math.nan]), min_size=2, max_size=2),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_the_front_equals_brute_force_over_complete_observations(rows):
    campaign = campaign_of(rows)
    complete = {
        f"c{i + 1:04d}": tuple(row)
        for i, row in enumerate(rows)
        if row is not None and not any(math.isnan(v) for v in row)
    }
    expected = {
        name
        for name, y in complete.items()
        if not any(
            all(a <= b for a, b in zip(z, y, strict=True)) and z != y for z in complete.values()
        )
    }
    front = campaign.pareto_front()
    assert {point["id"] for point in front} == expected
    assert [p["outcomes"]["y0"] for p in front] == sorted(p["outcomes"]["y0"] for p in front)


def test_with_one_objective_the_front_is_every_best_point():
    campaign = campaign_of([[2.0], [1.0], [3.0], [1.0]], m=1)
    assert [point["id"] for point in campaign.pareto_front()] == ["c0002", "c0004"]
    assert campaign.best()["id"] == "c0002"


def test_the_best_of_two_objectives_is_the_balanced_one():
    campaign = campaign_of([[0.0, 10.0], [1.0, 4.0], [5.0, 0.0], [6.0, 20.0]])
    assert campaign.best()["id"] == "c0002"


def test_the_reference_point_is_that_of_the_user():
    campaign = campaign_of([[1.0, 1.0]], references=[3.0, 2.0])
    assert campaign.reference_point() == {"y0": 3.0, "y1": 2.0}
    assert campaign.hypervolume() == pytest.approx(2.0)


def test_the_reference_point_is_inferred_from_the_initial_design_and_then_stays():
    rows = [[0.0, 10.0], [5.0, 5.0], [10.0, 0.0], [1e6, 11.0]]
    campaign = campaign_of(rows)
    assert campaign.reference_point() == {"y0": 11.0, "y1": 11.0}
    before = campaign.hypervolume()
    batch = campaign.ask(2)
    campaign.tell({batch[0].id: {"y0": -50.0, "y1": 90.0}, batch[1].id: {"y0": 1.0, "y1": 1.0}})
    campaign.add({"a": 0.1, "b": 0.2}, {"y0": 40.0, "y1": -1.0})
    assert campaign.reference_point() == {"y0": 11.0, "y1": 11.0}
    assert campaign.hypervolume() > before


def test_the_hypervolume_waits_for_the_initial_design():
    campaign = campaign_of([[0.0, 1.0], [1.0, 0.0], [math.nan, 0.0]])
    assert campaign.hypervolume() is None and campaign.reference_point() is None
    campaign.tell({"c0003": None})
    assert campaign.hypervolume() > 0


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_the_trace_never_falls(seed):
    rng = np.random.default_rng(seed)
    campaign = campaign_of(rng.normal(size=(4, 2)).tolist())
    saved = campaign.dump()
    for i in range(4, 16):
        outcome = dict(zip(["y0", "y1"], rng.normal(size=2).tolist(), strict=True))
        saved["candidates"].append(
            {
                "id": f"c{i + 1:04d}",
                "number": i,
                "iteration": i - 3,
                "params": {"a": rng.random(), "b": rng.random()},
                "predicted": None,
                "why": {"source": "ehvi"},
                "state": "told",
                "outcomes": outcome,
            }
        )
    campaign = Campaign.load(saved)
    trace = campaign.convergence()["trace"]
    volumes = [entry["hypervolume"] for entry in trace]
    assert [entry["n_observations"] for entry in trace] == list(range(4, 17))
    assert np.all(np.diff(volumes) >= 0)
    assert volumes[-1] == pytest.approx(campaign.hypervolume(), rel=1e-12)


def test_the_trace_holds_only_iterations_that_are_answered_in_full():
    campaign = campaign_of([[1.0], [2.0]], m=1)
    first, second = campaign.ask(2), campaign.ask(1)
    campaign.tell({first[0].id: {"y0": 0.5}, second[0].id: {"y0": 0.1}})
    assert [entry["best"] for entry in campaign.convergence()["trace"]] == [1.0]
    campaign.tell({first[1].id: None})
    assert [entry["best"] for entry in campaign.convergence()["trace"]] == [1.0, 0.5, 0.1]


def test_a_campaign_converges_when_gains_stay_below_the_threshold():
    campaign = campaign_of([[10.0], [0.0], [5.0]], m=1, patience=2, threshold=0.01)
    states = []
    for value in (-1.0, -1.05, -1.08, -3.0, -3.01, -3.02):
        campaign.tell({campaign.ask(1)[0].id: {"y0": value}})
        states.append(campaign.convergence()["converged"])
    assert states == [False, False, True, False, False, True]
    assert "2 iterations" in campaign.convergence()["reason"]
    assert campaign.state == "converged"
    assert len(campaign.ask(1)) == 1


def test_without_patience_nothing_ever_converges():
    campaign = campaign_of([[1.0], [1.0]], m=1)
    for _ in range(5):
        campaign.tell({campaign.ask(1)[0].id: {"y0": 1.0}})
    assert campaign.convergence()["converged"] is False


def test_the_initial_design_does_not_count_as_a_stall():
    campaign = campaign_of([[float(i)] for i in range(6)], m=1, patience=1)
    assert campaign.convergence()["converged"] is False


@pytest.mark.parametrize(
    ("values", "patience", "scale", "expected"),
    [
        ([0.0, 1.0, 1.0, 1.0], 2, 1.0, True),
        ([0.0, 1.0, 1.0, 1.0], 3, 1.0, False),
        ([1.0, 1.0], 2, 1.0, False),
        ([0.0, 0.0, 0.0], 2, 0.0, False),
        ([5.0, 4.995, 4.9909], 2, 1.0, False),
    ],
)
def test_the_rule_looks_back_over_patience_on_a_fixed_scale(values, patience, scale, expected):
    assert stalled(values, patience, 0.009, scale) is expected


def test_parity_pairs_measurements_with_predictions_that_did_not_see_them():
    rows = [[float(i), math.sin(i)] for i in range(12)]
    parity = campaign_of(rows).parity()
    assert parity["y0"]["measured"] == [row[0] for row in rows]
    assert len(parity["y1"]["predicted"]) == len(parity["y1"]["std"]) == 12
    assert all(s > 0 for s in parity["y1"]["std"])
    assert parity["y0"]["predicted"] != parity["y0"]["measured"]


def test_a_campaign_has_converged_when_one_candidate_is_good_enough_in_everything():
    objectives = [{"name": "y0", "stop_at": 1.0}, {"name": "y1", "target": 5.0, "stop_at": 5.5}]
    definition = define(
        [continuous("a"), continuous("b")], objectives=objectives, budget=30, initial_samples=3
    )
    campaign = Campaign.from_definition(definition)
    batch = campaign.ask(3)
    campaign.tell({batch[0].id: {"y0": 0.5, "y1": 6.0}, batch[1].id: {"y0": 2.0, "y1": 5.0}})
    assert campaign.convergence()["converged"] is False
    campaign.tell({batch[2].id: {"y0": 1.0, "y1": 4.6}})
    assert campaign.convergence()["reason"] == (
        "'c0003' is good enough: it reaches what 'stop_at' asks for"
    )
    assert campaign.state == "converged"


@pytest.mark.parametrize("m", [1, 3])
def test_the_remaining_gain_shrinks_until_stopping_is_advised(m):
    objectives = [{"name": f"y{j}", "reference_point": 2.0} for j in range(m)]
    definition = define(
        [continuous("a")],
        objectives=objectives,
        budget=16,
        initial_samples=4,
        batch_size=2,
        threshold=0.01,
    )
    campaign = Campaign.from_definition(definition)
    assert campaign.convergence()["remaining"] is None
    gains = []
    while campaign.next_batch_size():
        for candidate in campaign.ask():
            a = candidate.params["a"]
            told = {f"y{j}": (a - 0.3 - 0.1 * j) ** 2 + 0.1 * math.sin(9 * a) for j in range(m)}
            campaign.tell({candidate.id: told})
        gains.append(campaign.convergence()["remaining"])
    assert gains[1]["mean"] >= 0 and gains[1]["std"] > 0
    assert gains[-1]["mean"] < 0.1 * max(gains[1]["mean"], 1e-6) or gains[-1]["mean"] < 1e-4
    assert gains[-1]["advice"] == "stop" and gains[-1]["iteration"] == len(gains) - 1
    assert Campaign.load(campaign.dump()).convergence() == campaign.convergence()


def test_candidates_of_the_design_stand_in_where_no_surrogate_can_be_fitted(monkeypatch):
    def cannot(self, known):
        raise SurrogateError("the covariance is not positive definite", "")

    campaign = campaign_of([[1.0, 2.0], [2.0, 1.0]])
    monkeypatch.setattr(Fitting, "fit", cannot)
    batch = campaign.ask(2)
    assert [c.why["source"] for c in batch] == ["fallback"] * 2
    assert batch[0].why["reason"] == "the covariance is not positive definite"
    monkeypatch.undo()
    assert campaign.ask(1)[0].why["source"] == "ehvi"
