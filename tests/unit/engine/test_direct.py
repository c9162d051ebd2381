"""Evolution without a surrogate."""

import json

import numpy as np
import pytest
from spaces import categorical, continuous, define, integer

from materia import Campaign
from materia.engine.pareto import hypervolume
from materia.errors import DefinitionError, StateError
from materia.evaluators.problems import PROBLEMS

pytestmark = pytest.mark.filterwarnings("error")


def declare(d, m, budget, **more):
    return define(
        [continuous(f"x{i}", -2.0, 2.0) for i in range(d)],
        objectives=[{"name": f"y{j}"} for j in range(m)],
        budget=budget,
        surrogate="none",
        **{"batch_size": 10, "initial_samples": 10, **more},
    )


def rosenbrock(params):
    return {"y0": float(PROBLEMS["rosenbrock"](np.array([list(params.values())]))[0, 0])}


def two(params):
    x = np.array(list(params.values()))
    return {"y0": float(np.sum((x - 1) ** 2)), "y1": float(np.sum((x + 1) ** 2))}


def run(campaign, measure):
    while campaign.next_batch_size():
        for candidate in campaign.ask():
            campaign.tell({candidate.id: measure(candidate.params)})
    return campaign


def test_cma_es_walks_down_a_bent_valley():
    campaign = run(Campaign.from_definition(declare(4, 1, 1500)), rosenbrock)
    assert campaign.best()["outcomes"]["y0"] < 0.01
    assert {c["why"]["source"] for c in campaign.candidates} == {"initial design", "cma-es"}


def test_mo_cma_es_spreads_over_the_front():
    campaign = run(Campaign.from_definition(declare(4, 2, 800)), two)
    reference = np.array([16.0, 16.0])
    Y = np.array([list(c["outcomes"].values()) for c in campaign.candidates])
    sobol = Campaign.from_definition(declare(4, 2, 4000, initial_samples=4000)).ask(4000)
    random = np.array([list(two(c.params).values()) for c in sobol])
    assert hypervolume(Y, reference) > hypervolume(random, reference)
    assert len(campaign.pareto_front()) > 30
    assert campaign.candidates[-1]["why"]["source"] == "mo-cma-es"


@pytest.mark.parametrize(("m", "measure"), [(1, rosenbrock), (2, two)])
def test_it_goes_on_bit_for_bit_after_late_partial_and_failed_answers(m, measure):
    campaign = Campaign.from_definition(declare(3, m, 90, batch_size=7))
    open_ones = []
    while campaign.next_batch_size():
        saved = json.loads(json.dumps(campaign.dump(), allow_nan=False))
        batch = campaign.ask()
        assert Campaign.load(saved).ask() == batch
        for i, candidate in enumerate(batch):
            if i == 3:
                open_ones.append(candidate)
            else:
                campaign.tell({candidate.id: None if i == 5 else measure(candidate.params)})
        if len(open_ones) > 2:
            campaign.tell({c.id: measure(c.params) for c in open_ones})
            open_ones = []
    assert len({tuple(c["params"].values()) for c in campaign.candidates}) == 90


def test_constraints_whole_numbers_and_categories_are_kept():
    definition = define(
        [continuous("a"), integer("k", 0, 4), categorical("s", ["u", "v"])],
        ["a + k <= 3"],
        [{"name": "y"}, {"name": "z"}],
        ["z <= 5"],
        budget=60,
        surrogate="none",
        initial_samples=6,
    )
    campaign = Campaign.from_definition(definition)
    run(campaign, lambda p: {"y": p["a"] + (p["s"] == "u"), "z": 6.0 - p["k"] - p["a"]})
    assert all(c["params"]["a"] + c["params"]["k"] <= 3 for c in campaign.candidates)
    assert {point["params"]["s"] for point in campaign.pareto_front()} == {"v"}


def test_there_is_nothing_to_fit():
    campaign = run(Campaign.from_definition(declare(2, 1, 20)), rosenbrock)
    with pytest.raises(StateError, match="without a surrogate"):
        campaign.fit()
    assert campaign.parity() == {} and campaign.convergence()["remaining"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": "rows.csv"}, "cannot be evolved"),
        ({"optimizer": {"surrogate": "none", "acquisition": "ei"}}, "needs a surrogate"),
    ],
)
def test_what_needs_a_surrogate_is_refused_without_one(change, message):
    plain = {
        "name": "t",
        "parameters": [{"name": "a", "type": "continuous", "bounds": [0, 1]}],
        "objectives": [{"name": "y"}],
        "optimizer": {"surrogate": "none"},
    }
    with pytest.raises(DefinitionError, match=message):
        Campaign.from_dict({**plain, **change})
