"""What measurements can be like at their worst, for every surrogate and acquisition function."""

import json
import math

import numpy as np
import pytest
from spaces import categorical, continuous, define, faults, integer

from materia.engine.campaign import Campaign
from materia.errors import DataError, EvaluationError, InfeasibleError, StateError
from materia.mdl.rules import FOR_ONE, FOR_SEVERAL

# No warning of NumPy or SciPy reaches a user either.
pytestmark = pytest.mark.filterwarnings("error")

# Forms that draw from the surrogate need a Gaussian process; the plain ones stand in elsewhere.
PAIRS = [
    *(("gp", name, 1) for name in FOR_ONE),
    *(("gp", name, 2) for name in FOR_SEVERAL),
    *(("random_forest", name, 1) for name in ("ei", "ucb", "pi")),
    *(("random_forest", name, 2) for name in ("ehvi", "parego")),
    ("mlp_ensemble", "ei", 1),
    ("mlp_ensemble", "ehvi", 2),
    ("gp", "ehvi", 5),
    ("gp", "parego", 5),
    ("none", "auto", 1),
    ("none", "auto", 3),
]


def campaign_of(surrogate, acquisition, m):
    definition = define(
        [continuous("x"), continuous("z", 1e-3, 10.0, log_scale=True)],
        objectives=[{"name": f"y{j}"} for j in range(m)],
        surrogate=surrogate,
        acquisition=acquisition,
        budget=60,
        initial_samples=4,
    )
    return Campaign.from_definition(definition)


def asked(campaign, n=1):
    """Ask, and check what must hold of any candidate."""
    before = {tuple(c["params"].values()) for c in campaign.candidates}
    batch = campaign.ask(n)
    assert len(batch) == n
    for candidate in batch:
        assert faults(campaign.definition, candidate.params) == []
        for predicted in (candidate.predicted or {}).values():
            assert math.isfinite(predicted["mean"]) and math.isfinite(predicted["std"])
    assert before.isdisjoint(tuple(c.params.values()) for c in batch)
    assert json.dumps([campaign.dump(), campaign.convergence()], allow_nan=False)
    return batch


@pytest.mark.parametrize(("surrogate", "acquisition", "m"), PAIRS)
def test_whatever_was_measured_a_sensible_suggestion_follows(surrogate, acquisition, m):
    campaign = campaign_of(surrogate, acquisition, m)

    def told(*values):
        return {f"y{j}": float(values[j % len(values)]) for j in range(m)}

    # Everything fails: the design goes on.
    campaign.tell({c.id: None for c in asked(campaign, 4)})
    (first,) = asked(campaign)
    # One observation.
    campaign.tell({first.id: told(2.0)})
    (second,) = asked(campaign)
    # The same outcome again and again.
    campaign.tell({second.id: told(2.0)})
    (third,) = asked(campaign)
    # Copies of one point that contradict each other.
    for i in range(4):
        campaign.add(first.params, told(2.0 + 0.1 * i, 2.0 - 0.1 * i))
    campaign.tell({third.id: told(1.0, 3.0)})
    (fourth,) = asked(campaign)
    # An outlier, to the bad side for one objective and to the good side for the other.
    campaign.tell({fourth.id: told(1e6, -1e6)})
    last = asked(campaign, 2)
    # What is no number is refused, and nothing else is changed by that.
    for bad in (math.nan, math.inf, -math.inf, 1e400):
        with pytest.raises(EvaluationError):
            campaign.tell({last[0].id: told(bad), last[1].id: told(1.0)})
    campaign.tell({last[0].id: told(0.5), last[1].id: None})
    asked(campaign)


@pytest.mark.parametrize("surrogate", ["gp", "random_forest", "mlp_ensemble", "none"])
def test_a_category_that_was_never_seen_is_predicted_and_one_that_does_not_exist_refused(surrogate):
    definition = define(
        [continuous("x"), categorical("c", ["a", "b", "never"])],
        surrogate=surrogate,
        budget=40,
        initial_samples=2,
    )
    campaign = Campaign.from_definition(definition)
    for i in range(6):
        campaign.add({"x": i / 5, "c": "ab"[i % 2]}, {"y": i / 5 + i % 2})
    asked(campaign, 3)
    if surrogate != "none":
        seen = campaign.slice("c")
        assert seen["values"] == ["a", "b", "never"]
        assert np.isfinite(seen["predicted"]["y"]["mean"]).all()
        assert seen["predicted"]["y"]["std"][2] > 0
    for choice in ("A", "", None, 3):
        with pytest.raises(DataError, match=r"'c' = .* is not one of"):
            campaign.add({"x": 0.5, "c": choice}, {"y": 1.0})


@pytest.mark.parametrize("surrogate", ["gp", "random_forest", "mlp_ensemble", "none"])
def test_a_hundred_parameters_are_searched_by_everything(surrogate):
    parameters = [continuous(f"x{i}") for i in range(90)]
    parameters += [integer(f"k{i}", 0, 9) for i in range(9)] + [categorical("c", ["a", "b"])]
    definition = define(parameters, surrogate=surrogate, budget=40, initial_samples=12)
    campaign = Campaign.from_definition(definition)
    for candidate in campaign.ask(12):
        campaign.tell({candidate.id: {"y": candidate.params["x0"]}})
    assert len(campaign.ask(1)) == 1


@pytest.mark.parametrize("budget", [1, 2, 3, 7])
def test_a_budget_smaller_than_the_usual_design_is_spent_to_the_last_evaluation(budget):
    definition = define([continuous(f"x{i}") for i in range(6)], budget=budget)
    campaign = Campaign.from_definition(definition)
    while campaign.next_batch_size():
        campaign.tell({c.id: {"y": sum(c.params.values())} for c in campaign.ask()})
    assert len(campaign.candidates) == budget and campaign.state == "completed"
    with pytest.raises(StateError, match=f"the budget of {budget} evaluations is spent"):
        campaign.ask()


@pytest.mark.parametrize(
    ("parameters", "constraints"),
    [
        ([continuous("a"), continuous("b")], ["a * b >= 2"]),
        ([continuous("a"), continuous("b")], ["a * a + b * b <= 0 - 1"]),
        ([integer("a", 0, 9), integer("b", 0, 9)], ["2 * a == 2 * b + 1"]),
        ([continuous("a"), continuous("b")], ["a / (b - b) <= 1"]),
    ],
)
def test_a_space_without_any_point_is_refused_before_anything_is_asked(parameters, constraints):
    with pytest.raises(InfeasibleError) as refused:
        Campaign.from_definition(define(parameters, constraints))
    assert refused.value.hint


@pytest.mark.parametrize("kind", ["constant", "outlier", "few"])
def test_five_objectives_of_any_kind_lead_on(kind):
    campaign = campaign_of("auto", "auto", 5)
    rng = np.random.default_rng(0)
    batch = campaign.ask(2 if kind == "few" else 4)
    for i, candidate in enumerate(batch):
        values = np.ones(5) if kind == "constant" else rng.standard_normal(5)
        values[2] *= 1e6 if kind == "outlier" and i == 1 else 1.0
        campaign.tell({candidate.id: {f"y{j}": float(values[j]) for j in range(5)}})
    asked(campaign, 2)
    assert campaign.pareto_front()
