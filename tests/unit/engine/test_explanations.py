import json

import numpy as np
import pytest
from spaces import categorical, composition, continuous, define, integer

from materia.engine import explanations
from materia.engine.campaign import Campaign
from materia.engine.objectives import Objectives
from materia.errors import DataError, StateError

pytestmark = pytest.mark.filterwarnings("error")


def objectives_of(*declared):
    return Objectives(define([continuous("x")], objectives=list(declared)))


@pytest.fixture(scope="module")
def campaign():
    """Outcome f hangs on x, strongly, and on gas; never on idle. Optimum at x + step <= 1."""
    definition = define(
        [
            continuous("x", 0.0, 2.0),
            integer("step", 0, 4),
            categorical("gas", ["argon", "neon", "xenon"]),
            continuous("idle"),
            composition({"Cu": (10.0, 80.0), "Ni": None, "Pd": None}, name="alloy", total=100.0),
        ],
        constraints=["x + step / 4 <= 1.5"],
        objectives=[{"name": "f", "direction": "maximize"}, {"name": "g"}],
        initial_samples=40,
        budget=60,
    )
    campaign = Campaign.from_definition(definition)
    campaign.tell({c.id: outcome(c.params) for c in campaign.ask()})
    return campaign


def outcome(params):
    shift = {"argon": 0.0, "neon": 0.5, "xenon": 0.0}[params["gas"]]
    return {"f": 3.0 * params["x"] + shift, "g": params["Cu"] / 100.0 + 0.001 * params["step"]}


def test_importance_ranks_parameters_and_counts_a_composition_as_one(campaign):
    found = campaign.importance()
    assert set(found) == {"f", "g"}
    assert set(found["f"]) == {"x", "step", "gas", "idle", "alloy"}
    assert found["f"]["x"] > 0.8 and found["f"]["idle"] < 0.05
    assert found["f"]["gas"] > found["f"]["step"]
    assert max(found["g"], key=found["g"].get) == "alloy"
    assert found == campaign.importance()


def test_importance_is_empty_before_anything_was_observed():
    assert Campaign.from_definition(define([continuous("x")])).importance() == {}


def test_an_outcome_that_does_not_vary_makes_nothing_important():
    campaign = Campaign.from_definition(define([continuous("x"), continuous("z")]))
    campaign.tell({c.id: {"y": 2.0} for c in campaign.ask(5)})
    assert all(value < 1e-6 or value <= 1.0 for value in campaign.importance()["y"].values())


def test_a_slice_follows_the_outcome_and_says_what_is_allowed(campaign):
    at = {"x": 0.5, "step": 2, "gas": "neon", "idle": 0.5, "Cu": 40.0, "Ni": 30.0, "Pd": 30.0}
    found = campaign.slice("x", at=at, n=9)
    assert found["values"] == pytest.approx(np.linspace(0.0, 2.0, 9))
    expected = [3.0 * x + 0.5 for x in found["values"]]
    assert found["predicted"]["f"]["mean"][:7] == pytest.approx(expected[:7], abs=0.3)
    assert found["is_allowed"] == [x <= 1.0 for x in found["values"]]
    assert found["at"] == at and json.dumps(found, allow_nan=False)


def test_slices_of_discrete_parameters_hold_each_value_once(campaign):
    assert campaign.slice("step")["values"] == [0, 1, 2, 3, 4]
    assert campaign.slice("gas", n=2)["values"] == ["argon", "neon", "xenon"]


def test_other_parts_make_room_when_one_part_of_a_composition_varies(campaign):
    best = campaign.best()["params"]
    found = campaign.slice("Ni", n=10)
    assert found["at"] == best
    assert len(found["values"]) == 10 and found["values"][0] == pytest.approx(0.0)
    assert np.all(np.diff(found["values"]) > 0) and found["values"][-1] > 80.0
    X = np.vstack(explanations.along(campaign.space, campaign.space.encode([best]), "Ni", 10))
    for params in campaign.space.decode(X):
        assert params["Cu"] + params["Ni"] + params["Pd"] == pytest.approx(100.0)
        assert 10.0 - 1e-9 <= params["Cu"] <= 80.0 + 1e-9


def test_a_contour_has_a_row_per_value_of_the_second_parameter(campaign):
    found = campaign.contour("x", "gas", n=7)
    assert found["values"][1] == ["argon", "neon", "xenon"]
    mean = np.array(found["predicted"]["f"]["mean"])
    assert mean.shape == np.shape(found["is_allowed"]) == (3, 7)
    line = campaign.slice("x", at={**found["at"], "gas": "neon"}, n=7)
    assert mean[1] == pytest.approx(line["predicted"]["f"]["mean"])
    assert json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda c: c.slice("y"), DataError, "no parameter 'y'"),
        (lambda c: c.slice("x", at={"x": 1.0}), DataError, "missing"),
        (lambda c: c.slice("x", n=0), DataError, "0 points"),
        (lambda c: c.contour("x", "gas", n=1000), DataError, "1000000 points"),
        (lambda c: c.contour("x", "x"), DataError, "independently"),
        (lambda c: c.contour("Cu", "Ni"), DataError, "independently"),
        (lambda c: c.contour("x", "nothing"), DataError, "no parameter 'nothing'"),
        (lambda c: Campaign.from_definition(c.definition).slice("x"), StateError, "no surrogate"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(campaign, ask, error, message):
    with pytest.raises(error, match=message):
        ask(campaign)


def test_a_candidate_says_why_in_plain_data(campaign):
    resumed = Campaign.load(campaign.dump())
    [candidate] = resumed.ask(1)
    why = candidate.why
    assert 0.0 <= why["exploration"] <= 1.0
    distances = [entry["distance"] for entry in why["nearest"]]
    assert len(distances) == 3 and distances == sorted(distances)
    told = {c["id"]: c["params"] for c in resumed.candidates}
    first = resumed.space.encode([told[why["nearest"][0]["id"]], candidate.params])
    steps = np.abs(first[0] - first[1])
    steps[2] = steps[2] > 0
    assert distances[0] == pytest.approx(np.sqrt(np.sum(steps**2)))
    # f grows with x until the constraint stops it.
    is_at_edge = candidate.params["x"] + candidate.params["step"] / 4 > 1.499
    assert why["active_constraints"] == (["x + step / 4 <= 1.5"] if is_at_edge else [])
    assert json.dumps(why, allow_nan=False)


def test_the_nearest_of_other_categories_are_further_than_of_the_same():
    definition = define([categorical("c", ["a", "b", "d"]), continuous("x")])
    campaign = Campaign.from_definition(definition)
    campaign.add({"c": "b", "x": 0.5}, {"y": 1.0})
    campaign.add({"c": "a", "x": 0.1}, {"y": 1.0})
    x = campaign.space.encode([{"c": "a", "x": 0.5}])[0]
    found = explanations.nearest(x, campaign._observed, campaign.space)
    assert found == [
        {"id": "a0002", "distance": pytest.approx(0.4)},
        {"id": "a0001", "distance": pytest.approx(1.0)},
    ]


def test_exploration_is_the_share_that_uncertainty_brings():
    one = objectives_of({"name": "y"})
    Y, reference = np.array([[1.0]]), np.array([2.0])

    def share(mean, std):
        return explanations.exploration(np.array([mean]), np.array([std]), Y, reference, one)

    assert share(0.0, 1e-3) == pytest.approx(0.0, abs=1e-6)
    assert share(3.0, 1.0) == 1.0
    assert 0.0 < share(0.5, 0.2) < share(0.5, 0.6) < share(0.9, 0.6) < 1.0
    rng = np.random.default_rng(0)
    expected = np.mean(np.maximum(1.0 - (0.5 + 0.6 * rng.standard_normal(10**6)), 0.0))
    assert share(0.5, 0.6) == pytest.approx(1.0 - 0.5 / expected, abs=1e-2)
    nothing = explanations.exploration(np.zeros(1), np.ones(1), np.empty((0, 1)), reference, one)
    assert nothing is None


def test_exploration_of_several_objectives_is_counted_in_hypervolume():
    two = objectives_of({"name": "a"}, {"name": "b"})
    Y, reference = np.array([[0.2, 0.8], [0.8, 0.2]]), np.array([1.0, 1.0])

    def share(mean, std):
        return explanations.exploration(np.array(mean), np.array(std), Y, reference, two)

    assert share([0.3, 0.3], [1e-6, 1e-6]) == pytest.approx(0.0, abs=1e-3)
    assert share([0.9, 0.9], [0.3, 0.3]) == 1.0
    assert share([5.0, 5.0], [1e-3, 1e-3]) == 1.0
    assert 0.0 <= share([0.4, 0.4], [0.1, 0.1]) <= 1.0
