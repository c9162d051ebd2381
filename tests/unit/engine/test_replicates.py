"""Points that are evaluated several times, and spaces in which every point has been asked."""

import json

import numpy as np
import pytest
from spaces import categorical, continuous, define, integer

from materia.engine.campaign import Campaign
from materia.errors import StateError

pytestmark = pytest.mark.filterwarnings("error")


def plane(m=1, **more):
    more = {"budget": 24, "batch_size": 2, "replicates": 3, "initial_samples": 4, **more}
    objectives = [{"name": f"y{j}"} for j in range(m)]
    return define([continuous("a"), continuous("b")], objectives=objectives, **more)


def value(params, rng, noise=0.1):
    return (params["a"] - 0.3) ** 2 + (params["b"] - 0.6) ** 2 + noise * rng.standard_normal()


def run(campaign, noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    while campaign.next_batch_size():
        told = {}
        for c in campaign.ask():
            told[c.id] = {
                f"y{j}": value(c.params, rng, noise) for j in range(campaign.objectives.m)
            }
        campaign.tell(told)
    return campaign


def test_without_a_word_no_point_is_asked_twice():
    assert plane(replicates=1) == define(
        [continuous("a"), continuous("b")],
        objectives=[{"name": "y0"}],
        budget=24,
        batch_size=2,
        initial_samples=4,
    )
    campaign = run(Campaign.from_definition(plane(replicates=1)))
    assert len({tuple(c["params"].values()) for c in campaign.candidates}) == 24
    assert "sem" not in campaign.best()


def test_each_point_comes_as_so_many_candidates_and_the_budget_counts_them():
    campaign = Campaign.from_definition(plane(budget=25))
    sizes = []
    rng = np.random.default_rng(0)
    while campaign.next_batch_size():
        batch = campaign.ask()
        sizes.append(len(batch))
        campaign.tell({c.id: {"y0": value(c.params, rng)} for c in batch})
    assert sizes == [12, 6, 6, 1]
    candidates = campaign.candidates
    assert [c["id"] for c in candidates] == [f"c{i + 1:04d}" for i in range(25)]
    params = [tuple(c["params"].values()) for c in candidates]
    assert all(params[i] == params[i - i % 3] for i in range(25))
    assert len(set(params)) == 9
    assert [c["why"] for c in candidates[12:14]] == [candidates[14]["why"]] * 2


def test_what_a_call_cuts_off_comes_first_the_next_time():
    whole, parts = (Campaign.from_definition(plane()) for _ in range(2))
    expected = [c.params for c in whole.ask(12)]
    asked = [c.params for n in (1, 4, 2, 5) for c in parts.ask(n)]
    assert asked == expected
    assert [c["iteration"] for c in parts.candidates] == [0] + [1] * 4 + [2] * 2 + [3] * 5


def test_front_and_best_are_means_with_standard_errors_pooled_over_points():
    campaign = Campaign.from_definition(plane(m=2))
    batch = campaign.ask(6)
    values = [1.0, 2.0, 3.0, 10.0, 10.0, 13.0]
    campaign.tell({c.id: {"y0": v, "y1": 2 * v} for c, v in zip(batch, values, strict=True)})
    (point,) = campaign.pareto_front()
    # Squared deviations of 2 and of 6, four degrees of freedom: a variance of 2.
    assert point["outcomes"] == {"y0": 2.0, "y1": 4.0}
    assert point["sem"]["y0"] == pytest.approx(np.sqrt(2.0 / 3))
    assert point["sem"]["y1"] == pytest.approx(np.sqrt(8.0 / 3))
    assert point["id"] == "c0001" and point["replicates"] == ["c0001", "c0002", "c0003"]
    assert campaign.best() == point


def test_late_partial_and_failed_replicates_count_as_far_as_they_are_known():
    campaign = Campaign.from_definition(plane(m=2))
    a, b, c, d, e, f = campaign.ask(6)
    campaign.tell({a.id: {"y0": 1.0, "y1": 1.0}, d.id: None, e.id: None, f.id: None})
    assert campaign.best()["outcomes"] == {"y0": 1.0, "y1": 1.0}
    campaign.tell({c.id: {"y0": 4.0}, b.id: None})
    (point,) = campaign.pareto_front()
    assert point["outcomes"] == {"y0": 2.5, "y1": 1.0}
    assert point["sem"] == {"y0": None, "y1": None}
    assert point["replicates"] == [a.id, c.id]
    assert len(campaign.ask(6)) == 6
    saved = json.loads(json.dumps(campaign.dump(), allow_nan=False))
    assert Campaign.load(saved).ask(3) == campaign.ask(3)


def test_stated_standard_errors_are_combined_instead():
    campaign = Campaign.from_definition(plane())
    batch = campaign.ask(3)
    campaign.tell({c.id: {"y0": (v, 0.3)} for c, v in zip(batch, (1.0, 2.0, 6.0), strict=True)})
    assert campaign.best()["outcomes"]["y0"] == 3.0
    assert campaign.best()["sem"]["y0"] == pytest.approx(0.3 / np.sqrt(3))


def test_the_surrogate_learns_from_one_mean_per_point_and_its_error():
    campaign = Campaign.from_definition(plane(budget=60, initial_samples=12))
    rng = np.random.default_rng(1)
    campaign.tell({c.id: {"y0": value(c.params, rng, 0.2)} for c in campaign.ask()})
    arrays = campaign.fit().arrays
    assert arrays["X"].shape == (12, 2)
    assert arrays["errors"][:, 0] == pytest.approx(np.full(12, 0.2 / np.sqrt(3)), rel=0.35)
    assert len(set(arrays["errors"][:, 0].round(12))) == 1


@pytest.mark.parametrize(("m", "surrogate"), [(1, "auto"), (2, "auto"), (1, "none"), (2, "none")])
def test_it_goes_on_bit_for_bit_and_gets_better(m, surrogate):
    definition = plane(m=m, budget=45, batch_size=3, initial_samples=6, surrogate=surrogate)
    campaign = run(Campaign.from_definition(definition), noise=0.01)
    saved = json.loads(json.dumps(campaign.dump(), allow_nan=False))
    saved["definition"]["optimizer"]["budget"] = 60
    cut = {**saved, "candidates": saved["candidates"][:27]}
    again = Campaign.load(cut).ask(9)
    assert [c.params for c in again] == [c["params"] for c in saved["candidates"][27:36]]
    assert campaign.best()["outcomes"]["y0"] < 0.2
    means = [
        np.mean([c["outcomes"]["y0"] for c in saved["candidates"][i : i + 3]])
        for i in range(0, 45, 3)
    ]
    assert np.median(means[6:]) < np.median(means[:6])


def test_a_finite_space_ends_as_exhausted_with_every_point_repeated():
    definition = define(
        [integer("k", 0, 2), categorical("s", ["u", "v"])],
        ["k <= 1"],
        budget=40,
        batch_size=2,
        replicates=2,
    )
    campaign = Campaign.from_definition(definition)
    assert campaign.state == "created" and not campaign.is_exhausted
    last = []
    while campaign.next_batch_size():
        last = campaign.ask()
        campaign.tell({c.id: {"y": 1.0} for c in last[1:]})
        if campaign.is_exhausted:
            break
        campaign.tell({last[0].id: None})
    assert campaign.state == "waiting"
    campaign.tell({last[0].id: {"y": 0.5}})
    assert campaign.state == "exhausted" and campaign.next_batch_size() == 0
    params = [tuple(c["params"].values()) for c in campaign.candidates]
    assert len(params) == 8 and len(set(params)) == 4
    with pytest.raises(StateError, match="every possible one has been asked") as refused:
        campaign.ask()
    assert "widen the search space" in refused.value.hint
    assert Campaign.load(campaign.dump()).state == "exhausted"


def test_a_pool_that_was_added_in_part_is_exhausted_and_a_spent_budget_is_completed():
    rows = [{"a": i / 4, "b": 0.5} for i in range(5)]
    campaign = Campaign.from_definition(plane(replicates=1), pool=rows)
    for row in rows[:3]:
        campaign.add(row, {"y0": row["a"]})
    campaign.tell({c.id: {"y0": 1.0} for c in campaign.ask(9)})
    assert campaign.state == "exhausted" and len(campaign.candidates) == 2
    spent = Campaign.from_definition(plane(budget=5, replicates=1), pool=rows)
    spent.tell({c.id: {"y0": 1.0} for c in spent.ask(5)})
    assert spent.state == "completed" and spent.is_exhausted
