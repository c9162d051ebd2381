"""Regions with curved borders: every candidate lies inside, and the best one is found."""

import math

import numpy as np
import pytest
from spaces import continuous, define, faults, integer

from materia.engine.campaign import Campaign

pytestmark = pytest.mark.filterwarnings("error")

XY = [continuous("x", 0.0, 2.0), continuous("y", 0.0, 2.0)]

# Name: constraints, what is minimised, and its least value inside.
REGIONS = {
    "disc": (["x * x + y * y <= 1"], lambda x, y: -x - y, -math.sqrt(2.0)),
    "ring": (
        ["x * x + y * y >= 1", "x * x + y * y <= 1.02"],
        lambda x, y: (x - 0.6) ** 2 + (y - 0.8) ** 2,
        0.0,
    ),
    "circle": (["x * x + y * y == 1"], lambda x, y: (x - 0.6) ** 2 + (y - 0.8) ** 2, 0.0),
    "hyperbola": (["x * y >= 0.5", "x * y <= 0.51"], lambda x, y: x + y, math.sqrt(2.0)),
    "quotient": (["x / (y + 0.1) <= 0.5", "y * y * y <= x"], lambda x, y: -x, None),
    "banana": (
        ["(y - x * x) * (y - x * x) <= 0.0001"],
        lambda x, y: (x - 1) ** 2 + (y - 1) ** 2,
        0.0,
    ),
    "two islands": (["(x - 1) * (x - 1) >= 0.9", "y <= 1"], lambda x, y: (x - 2) ** 2 + y, 0.0),
}


@pytest.mark.parametrize("name", REGIONS)
def test_the_best_point_of_a_curved_region_is_found_and_none_outside_is_asked(name):
    constraints, function, least = REGIONS[name]
    definition = define(XY, constraints, budget=24, batch_size=4, initial_samples=8)
    campaign = Campaign.from_definition(definition)
    while campaign.next_batch_size():
        batch = campaign.ask()
        for candidate in batch:
            assert faults(definition, candidate.params) == []
        campaign.tell({c.id: {"y": function(c.params["x"], c.params["y"])} for c in batch})
    assert len({tuple(c["params"].values()) for c in campaign.candidates}) == 24
    if least is None:
        # The corner of x = (y + 0.1) / 2 and x = y^3.
        y = max(root.real for root in np.roots([1, 0, -0.5, -0.05]) if abs(root.imag) < 1e-9)
        least = -(y**3)
    assert campaign.best()["outcomes"]["y"] <= least + 0.01


def test_whole_numbers_and_a_curved_border_go_together():
    parameters = [integer("n", 1, 40), continuous("x", 0.0, 10.0), integer("k", 1, 9, step=2)]
    definition = define(parameters, ["n * x <= 20", "n * x >= 19.5", "k * x <= 9"], budget=12)
    campaign = Campaign.from_definition(definition)
    while campaign.next_batch_size():
        batch = campaign.ask()
        assert [faults(definition, c.params) for c in batch] == [[]] * len(batch)
        campaign.tell({c.id: {"y": c.params["x"] - c.params["n"] / 10} for c in batch})


def test_where_a_constraint_is_undefined_nothing_is_asked():
    definition = define(XY, ["1 / (x - y) <= 3", "y / x <= 4"], budget=16, initial_samples=8)
    campaign = Campaign.from_definition(definition)
    X = campaign.space.encode([{"x": 1.0, "y": 1.0}, {"x": 0.0, "y": 0.0}, {"x": 0.5, "y": 1.0}])
    assert campaign.constraints.is_feasible(X).tolist() == [False, False, True]
    assert campaign.constraints.broken({"x": 0.0, "y": 1.0}) == ["y / x <= 4"]
    while campaign.next_batch_size():
        batch = campaign.ask()
        assert [faults(definition, c.params) for c in batch] == [[]] * len(batch)
        campaign.tell({c.id: {"y": abs(c.params["x"] - c.params["y"])} for c in batch})
