import copy
import json
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spaces import (
    categorical,
    composition,
    continuous,
    define,
    faults,
    integer,
    numeric_names,
    parameter_lists,
)

from materia import Campaign
from materia.engine.pareto import hypervolume
from materia.errors import (
    DataError,
    EvaluationError,
    InfeasibleError,
    NotFoundError,
    StateError,
)

pytestmark = pytest.mark.filterwarnings("error")

TWO = [{"name": "f", "direction": "maximize"}, {"name": "g"}]


def mixed(**optimizer):
    return define(
        [
            continuous("a"),
            integer("k", 1, 9),
            categorical("s", ["u", "v", "w"]),
            composition({"x": None, "y": (0.1, 0.4), "z": None}),
        ],
        ["x + a <= 1.2"],
        TWO,
        **{"budget": 30, "batch_size": 3, "seed": 3, "initial_samples": 6, **optimizer},
    )


def measure(params):
    near = (params["a"] - 0.3) ** 2 + (params["k"] - 4) ** 2 / 10 + params["x"] ** 2
    return {
        "f": -near - (params["s"] != "v"),
        "g": (params["a"] - 0.8) ** 2 + params["z"] + params["k"] / 10,
    }


def run(campaign, n_iterations, measure=measure):
    for _ in range(n_iterations):
        batch = campaign.ask(campaign.next_batch_size())
        campaign.tell({candidate.id: measure(candidate.params) for candidate in batch})
    return campaign


def through_json(campaign):
    return Campaign.load(json.loads(json.dumps(campaign.dump(), allow_nan=False)))


def line(n=1, **more):
    return define([continuous(f"x{i}") for i in range(n)], **more)


def test_a_campaign_interrupted_anywhere_goes_on_bit_for_bit():
    golden = Campaign.from_definition(mixed())
    resumed = Campaign.from_definition(mixed())
    for _ in range(3):
        expected = golden.ask(golden.next_batch_size())
        resumed = through_json(resumed)
        found = resumed.ask(resumed.next_batch_size())
        assert found == expected
        for candidate in expected:
            resumed = through_json(resumed)
            golden.tell({candidate.id: measure(candidate.params)})
            resumed.tell({candidate.id: measure(candidate.params)})
    assert through_json(resumed).dump() == golden.dump()
    assert resumed.pareto_front() == golden.pareto_front()
    assert resumed.hypervolume() == golden.hypervolume()
    assert resumed.convergence() == golden.convergence()


def test_the_same_seed_gives_the_same_candidates_and_another_seed_others():
    first, second = (run(Campaign.from_definition(mixed()), 3) for _ in range(2))
    assert first.dump() == second.dump()
    other = run(Campaign.from_definition(mixed(seed=4)), 2)
    assert [c["params"] for c in other.candidates] != [c["params"] for c in first.candidates]


def test_the_order_of_telling_does_not_matter():
    one, other = Campaign.from_definition(mixed()), Campaign.from_definition(mixed())
    batch = one.ask(6)
    assert other.ask(6) == batch
    for candidate in batch:
        one.tell({candidate.id: measure(candidate.params)})
    for candidate in reversed(batch):
        for name, value in measure(candidate.params).items():
            other.tell({candidate.id: {name: value}})
    assert one.ask(3) == other.ask(3)


def test_a_stored_surrogate_changes_nothing():
    campaign = run(Campaign.from_definition(mixed()), 2)
    fit = campaign.fit()
    plain, helped = through_json(campaign), through_json(campaign)
    meta = json.loads(json.dumps(fit.meta, allow_nan=False))
    assert helped.use_surrogate({k: v.copy() for k, v in fit.arrays.items()}, meta)
    expected = plain.ask(3)
    assert helped.ask(3) == expected == campaign.ask(3)


def test_a_stored_surrogate_of_other_observations_is_not_used():
    campaign = run(Campaign.from_definition(mixed()), 2)
    fit = campaign.fit()
    plain, helped = (run(through_json(campaign), 1) for _ in range(2))
    assert not helped.use_surrogate(fit.arrays, fit.meta)
    assert helped.ask(3) == plain.ask(3)


def test_the_fit_says_how_good_it_is():
    fit = run(Campaign.from_definition(mixed(initial_samples=20)), 1).fit()
    assert set(fit.quality) == {"f", "g"}
    assert fit.quality["g"]["n"] == 20 and fit.quality["g"]["r2"] > 0.5
    assert json.dumps(fit.meta) and all(a.dtype == np.float64 for a in fit.arrays.values())


def test_a_surrogate_needs_every_objective():
    campaign = Campaign.from_definition(mixed())
    campaign.tell({campaign.ask(1)[0].id: {"f": 1.0}})
    with pytest.raises(StateError, match="at least one observation of every objective"):
        campaign.fit()
    assert campaign.parity() == {}


@st.composite
def constrained_campaigns(draw):
    """A definition whose linear constraints a known allowed point satisfies with some room."""
    parameters = draw(parameter_lists())
    names = numeric_names(parameters)
    plain = define(parameters)
    seed = draw(st.integers(0, 2**16))
    anchor = Campaign.from_definition(plain).space.decode(
        np.random.default_rng(seed).random((1, Campaign.from_definition(plain).space.d))
    )[0]
    rules = []
    for _ in range(draw(st.integers(0, 2)) if names else 0):
        chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
        weights = [draw(st.sampled_from([-2.0, -1.0, 0.5, 1.0, 3.0])) for _ in chosen]
        level = sum(w * anchor[n] for w, n in zip(weights, chosen, strict=True))
        room = 0.05 * sum(
            abs(w) * (abs(anchor[n]) + 1) for w, n in zip(weights, chosen, strict=True)
        )
        rules.append((weights, chosen, level + room))
    texts = [
        " + ".join(f"{w!r} * {n}" for w, n in zip(weights, chosen, strict=True)) + f" <= {limit!r}"
        for weights, chosen, limit in rules
    ]
    return define(parameters, texts, budget=9, batch_size=3, initial_samples=5, seed=seed), rules


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(constrained_campaigns(), st.randoms(use_true_random=False))
def test_no_candidate_breaks_a_hard_constraint(declared, random):
    definition, rules = declared
    campaign = Campaign.from_definition(definition)
    asked = []
    while (n := campaign.next_batch_size()) > 0:
        try:
            batch = campaign.ask(n)
        except StateError:
            assert campaign.space.size is not None
            break
        asked += [candidate.params for candidate in batch]
        campaign.tell({c.id: {"y": random.uniform(-1, 1)} for c in batch})
    assert asked
    for params in asked:
        assert faults(definition, params) == []
        for weights, names, limit in rules:
            value = sum(w * params[n] for w, n in zip(weights, names, strict=True))
            assert value <= limit + 1e-9 * max(1.0, abs(limit))
    assert len({tuple(params.values()) for params in asked}) == len(asked)


def test_every_point_of_a_finite_space_is_asked_once_then_asking_is_refused():
    definition = define(
        [integer("k", 0, 3), categorical("s", ["u", "v", "w"])], ["k <= 2"], budget=50
    )
    campaign = Campaign.from_definition(definition)
    asked = []
    with pytest.raises(StateError, match="no candidate is left"):
        while True:
            batch = campaign.ask(2)
            asked += [tuple(c.params.values()) for c in batch]
            campaign.tell({c.id: {"y": float(c.params["k"])} for c in batch})
    assert sorted(asked) == sorted((k, s) for k in range(3) for s in "uvw")


def test_the_budget_counts_failures_and_not_additions():
    campaign = Campaign.from_definition(line(budget=5, initial_samples=2))
    campaign.add({"x0": 0.5}, {"y": 1.0})
    assert campaign.next_batch_size() == 1
    batch = campaign.ask(4)
    campaign.tell({batch[0].id: None, batch[1].id: {"y": 2.0}})
    assert campaign.state == "running"
    assert len(campaign.ask(10)) == 1
    assert campaign.next_batch_size() == 0
    with pytest.raises(StateError, match="budget of 5"):
        campaign.ask(1)
    assert campaign.state == "waiting"
    campaign.tell({c["id"]: {"y": 0.0} for c in campaign.candidates if c["state"] == "proposed"})
    assert campaign.state == "completed"


def test_the_first_iteration_asks_the_initial_design_less_what_was_added():
    campaign = Campaign.from_definition(line(3, budget=100, batch_size=5))
    assert campaign.next_batch_size() == campaign.initial_samples == 8
    for i in range(3):
        campaign.add({"x0": 0.1 * i, "x1": 0.5, "x2": 0.5}, {"y": float(i)})
    assert campaign.next_batch_size() == 5
    sources = [candidate.why["source"] for candidate in campaign.ask(7)]
    assert sources == ["initial design"] * 5 + ["ei"] * 2
    assert campaign.next_batch_size() == 5


def test_candidates_are_plain_data_that_say_why():
    campaign = run(Campaign.from_definition(mixed()), 1)
    candidate = campaign.ask(1)[0]
    assert candidate.id == "c0007" and candidate.number == 6 and candidate.iteration == 1
    assert candidate.why["source"] == "ehvi" and candidate.why["acquisition"] > 0
    assert set(candidate.predicted) == {"f", "g"}
    assert all(p["std"] > 0 for p in candidate.predicted.values())
    assert campaign.candidates[0]["predicted"] is None
    assert json.dumps(campaign.dump(), allow_nan=False)


def test_predictions_are_in_the_units_and_direction_of_the_user():
    definition = line(
        objectives=[{"name": "y", "direction": "maximize"}], budget=20, initial_samples=8
    )
    campaign = run(Campaign.from_definition(definition), 1, lambda p: {"y": 1000.0 - 50 * p["x0"]})
    candidate = campaign.ask(1)[0]
    expected = 1000.0 - 50 * candidate.params["x0"]
    assert candidate.predicted["y"]["mean"] == pytest.approx(expected, abs=0.5)


def test_failed_points_are_neither_fitted_nor_asked_again_nor_asked_beside():
    campaign = Campaign.from_definition(line(2, budget=60, initial_samples=8, seed=1))

    def outcome(params):
        is_failing = params["x0"] > 0.5
        return None if is_failing else {"y": -params["x0"] - 0.1 * params["x1"]}

    run(campaign, 1, outcome)
    for _ in range(12):
        candidate = campaign.ask(1)[0]
        campaign.tell({candidate.id: outcome(candidate.params)})
    assert campaign.best()["outcomes"]["y"] < -0.57
    failed = [c["params"] for c in campaign.candidates if c["state"] == "failed"]
    X = campaign.space.encode(failed)
    distances = np.linalg.norm(X[:, None] - X[None], axis=2) + np.eye(len(X))
    assert distances.min() > 5e-5


def test_when_everything_failed_the_design_goes_on():
    campaign = Campaign.from_definition(line(2, budget=20, initial_samples=4))
    for _ in range(3):
        campaign.tell(dict.fromkeys([c.id for c in campaign.ask(4)]))
    assert {c["why"]["source"] for c in campaign.candidates} == {"initial design"}
    assert len({tuple(c["params"].values()) for c in campaign.candidates}) == 12
    assert campaign.best() is None and campaign.pareto_front() == []
    assert campaign.hypervolume() is None


def test_pending_points_are_respected():
    campaign = run(Campaign.from_definition(line(2, budget=40, initial_samples=10)), 1, bowl)
    batch = [campaign.ask(1)[0] for _ in range(6)]
    X = campaign.space.encode([candidate.params for candidate in batch])
    distances = np.linalg.norm(X[:, None] - X[None], axis=2) + np.eye(6)
    assert distances.min() > 5e-4


def bowl(params):
    return {"y": sum((value - 0.3) ** 2 for value in params.values())}


def test_partial_outcomes_are_merged_and_completed_later():
    campaign = Campaign.from_definition(mixed())
    batch = campaign.ask(6)
    for candidate in batch:
        campaign.tell({candidate.id: {"f": measure(candidate.params)["f"]}})
    assert campaign.pareto_front() == []
    assert [c["state"] for c in campaign.candidates] == ["told"] * 6
    more = campaign.ask(2)
    for candidate in batch:
        campaign.tell({candidate.id: {"g": measure(candidate.params)["g"]}})
    assert {point["id"] for point in campaign.pareto_front()} <= {c.id for c in batch}
    assert len(more) == 2


def test_outcomes_may_carry_standard_errors():
    campaign = Campaign.from_definition(line(budget=10, initial_samples=4))
    batch = campaign.ask(4)
    campaign.tell({c.id: {"y": (c.params["x0"], 0.1)} for c in batch})
    assert through_json(campaign).ask(1) == campaign.ask(1)
    assert campaign.best()["outcomes"]["y"] == min(c.params["x0"] for c in batch)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e200, (1.0, math.nan)])
def test_an_outcome_that_is_no_number_is_refused_whole(bad):
    campaign = Campaign.from_definition(line(budget=4))
    first, second = campaign.ask(2)
    before = campaign.dump()
    with pytest.raises(EvaluationError, match=second.id) as caught:
        campaign.tell({first.id: {"y": 1.0}, second.id: {"y": bad}})
    assert "None" in caught.value.hint
    assert campaign.dump() == before


@pytest.mark.parametrize(
    ("outcomes", "error", "message"),
    [
        ({"c9999": {"y": 1.0}}, NotFoundError, "no candidate 'c9999'"),
        ({"c0001": {"z": 1.0}}, DataError, "name z"),
        ({"c0001": {}}, DataError, "are empty"),
        ({"c0001": {"y": "high"}}, DataError, "'high', not a number"),
        ({"c0001": {"y": True}}, DataError, "not a number"),
        ({"c0001": {"y": (1.0, -0.1)}}, DataError, "negative"),
        ({"c0001": {"y": (1.0, 0.1, 3)}}, DataError, "mean, sem"),
    ],
)
def test_what_cannot_be_told_is_refused_by_name(outcomes, error, message):
    campaign = Campaign.from_definition(line(budget=4))
    campaign.ask(1)
    with pytest.raises(error, match=message):
        campaign.tell(outcomes)


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "4"])
def test_only_a_whole_number_of_candidates_can_be_asked(n):
    with pytest.raises(DataError, match="whole number above 0"):
        Campaign.from_definition(line()).ask(n)


def test_added_points_beyond_the_space_inform_but_never_count():
    campaign = Campaign.from_definition(
        define([continuous("a"), continuous("b")], ["a + b <= 1"], budget=10, initial_samples=3)
    )
    campaign.add({"a": 0.9, "b": 0.9}, {"y": -100.0})
    campaign.add({"a": 1.5, "b": 0.0}, {"y": -200.0})
    campaign.add({"a": np.float64(0.2), "b": 0.2}, {"y": 1.0})
    assert campaign.best() == {
        "id": "a0003",
        "params": {"a": 0.2, "b": 0.2},
        "outcomes": {"y": 1.0},
    }
    assert campaign.ask(1)[0].why["source"] == "ei"
    assert through_json(campaign).dump() == campaign.dump()


@pytest.mark.parametrize(
    ("params", "outcomes", "message"),
    [
        ({"x0": 0.5, "z": 1}, {"y": 1.0}, "unknown z"),
        ({}, {"y": 1.0}, "missing x0"),
        ({"x0": "half"}, {"y": 1.0}, "not a finite number"),
        ({"x0": 0.5}, {}, "empty"),
    ],
)
def test_additions_that_do_not_fit_are_refused(params, outcomes, message):
    campaign = Campaign.from_definition(line())
    with pytest.raises(DataError, match=message):
        campaign.add(params, outcomes)
    assert campaign.dump()["added"] == []


def test_arguments_are_never_changed_and_results_are_copies():
    data = mixed().model_dump(mode="json")
    before = copy.deepcopy(data)
    campaign = Campaign.from_dict(data)
    batch = campaign.ask(6)
    told = {c.id: measure(c.params) for c in batch}
    told_before = copy.deepcopy(told)
    campaign.tell(told)
    saved = campaign.dump()
    saved_before = copy.deepcopy(saved)
    other = Campaign.load(saved)
    other.ask(2)
    batch[0].params["a"] = 99.0
    campaign.pareto_front()[0]["params"]["a"] = 99.0
    told[batch[0].id]["f"] = 99.0
    told_before[batch[0].id]["f"] = 99.0
    assert (data, told, saved) == (before, told_before, saved_before)
    assert campaign.dump() == saved_before


def test_it_loads_rows_in_any_order_and_without_what_can_be_missing():
    campaign = run(Campaign.from_definition(mixed()), 1)
    saved = campaign.dump()
    saved["candidates"].reverse()
    for row in saved["candidates"]:
        del row["predicted"]
    del saved["added"], saved["pool"]
    assert Campaign.load(saved).ask(3) == campaign.ask(3)


@pytest.mark.parametrize("broken", [{"format": 99}, {"candidates": [{"id": "c0001"}]}])
def test_saved_data_that_is_not_whole_is_refused(broken):
    saved = {**Campaign.from_definition(line()).dump(), **broken}
    with pytest.raises(DataError):
        Campaign.load(saved)


def test_a_pool_is_asked_row_by_row_without_repeats():
    rng = np.random.default_rng(0)
    pool = [{"x0": float(a), "x1": float(b)} for a, b in rng.random((40, 2)).round(3)]
    pool += pool[:3]
    campaign = Campaign.from_definition(
        line(2, budget=100, batch_size=4, initial_samples=6), pool=pool
    )
    best_after = None
    asked = []
    while len(asked) < 40:
        batch = campaign.ask(min(4, 40 - len(asked)))
        asked += [c.params for c in batch]
        campaign.tell({c.id: bowl(c.params) for c in batch})
        if best_after is None and campaign.best()["params"] == min(
            pool, key=lambda p: bowl(p)["y"]
        ):
            best_after = len(asked)
        campaign = through_json(campaign)
    assert sorted(map(str, asked)) == sorted(map(str, pool[:40]))
    assert best_after <= 20
    with pytest.raises(StateError, match="no candidate is left"):
        campaign.ask(1)


def test_rows_of_a_pool_against_a_constraint_are_left_out():
    pool = [{"a": a / 10, "b": 0.5} for a in range(11)]
    definition = define([continuous("a", 0.2, 1.0), continuous("b")], ["a + b <= 1"], budget=20)
    asked = Campaign.from_definition(definition, pool=pool).ask(20)
    assert sorted(c.params["a"] for c in asked) == [0.2, 0.3, 0.4, 0.5]
    with pytest.raises(InfeasibleError, match="no possible candidate"):
        Campaign.from_definition(definition, pool=pool[8:])


def test_a_table_campaign_needs_its_rows():
    definition = line().model_copy(update={"candidates": "rows.csv"})
    with pytest.raises(StateError, match="was not given"):
        Campaign.from_definition(definition)


def test_outcome_constraints_steer_and_decide_what_counts():
    definition = define(
        [continuous("a"), continuous("b")],
        objectives=[{"name": "cost"}, {"name": "life", "direction": "maximize"}],
        outcome_constraints=["life >= 0.7"],
        budget=40,
        batch_size=4,
        initial_samples=8,
    )

    def outcome(p):
        return {"cost": p["a"] + 0.2 * p["b"], "life": math.sin(2 * p["a"]) * (1 - 0.3 * p["b"])}

    campaign = Campaign.from_definition(definition)
    while campaign.next_batch_size():
        run(campaign, 1, outcome)
    assert all(point["outcomes"]["life"] >= 0.7 for point in campaign.pareto_front())
    late = [c["outcomes"]["life"] >= 0.68 for c in campaign.candidates[12:]]
    assert np.mean(late) > 0.8
    cheapest = min(point["outcomes"]["cost"] for point in campaign.pareto_front())
    assert cheapest == pytest.approx(0.5 * math.asin(0.7), abs=0.03)


def test_a_target_is_met():
    definition = line(
        2, objectives=[{"name": "y", "target": 3.0}], budget=25, initial_samples=6, batch_size=1
    )
    campaign = Campaign.from_definition(definition)
    while campaign.next_batch_size():
        run(campaign, 1, lambda p: {"y": math.exp(1.5 * p["x0"]) + p["x1"]})
    assert campaign.best()["outcomes"]["y"] == pytest.approx(3.0, abs=1e-3)


def test_two_objectives_with_a_target_make_a_front_of_deviations():
    definition = line(
        2, objectives=[{"name": "y", "target": 1.0}, {"name": "c"}], budget=32, initial_samples=8
    )
    campaign = Campaign.from_definition(definition)
    while campaign.next_batch_size():
        run(campaign, 1, lambda p: {"y": 2 * p["x0"] + 0.1 * p["x1"], "c": 1 - p["x1"] + p["x0"]})
    front = campaign.pareto_front()
    deviations = [abs(point["outcomes"]["y"] - 1.0) for point in front]
    assert deviations == sorted(deviations) and deviations[0] < 0.01
    assert campaign.reference_point()["y"] > 0


@pytest.mark.parametrize("m", [1, 2])
@pytest.mark.parametrize(
    "values",
    [
        lambda i: 1.0,
        lambda i: 0.0,
        lambda i: 1e6 if i == 3 else float(i % 5),
        lambda i: -1e6 if i == 3 else float(i % 5),
        lambda i: float(i % 2) * 1e-15,
        lambda i: 1e12 + i,
    ],
)
def test_odd_outcomes_still_lead_to_suggestions(values, m):
    objectives = [{"name": f"y{j}"} for j in range(m)]
    campaign = Campaign.from_definition(
        line(3, objectives=objectives, budget=16, initial_samples=8)
    )
    told = 0
    while campaign.next_batch_size():
        batch = campaign.ask(campaign.next_batch_size())
        for candidate in batch:
            told += 1
            campaign.tell({candidate.id: {f"y{j}": values(told + j) for j in range(m)}})
    assert len({tuple(c["params"].values()) for c in campaign.candidates}) == 16
    assert json.dumps([campaign.dump(), campaign.parity(), campaign.convergence()], allow_nan=False)


def test_one_observation_is_enough_to_go_on():
    campaign = Campaign.from_definition(line(2, budget=10, initial_samples=1))
    campaign.tell({campaign.ask(1)[0].id: {"y": 3.0}})
    batch = campaign.ask(3)
    assert [c.why["source"] for c in batch] == ["ei"] * 3


def test_many_copies_of_one_point_do_no_harm():
    campaign = Campaign.from_definition(line(2, budget=10, initial_samples=3))
    for i in range(12):
        campaign.add({"x0": 0.5, "x1": 0.5}, {"y": 1.0 + 0.01 * (i % 3)})
    assert len(campaign.ask(3)) == 3


def test_a_hundred_parameters_work():
    campaign = Campaign.from_definition(line(100, budget=30, batch_size=2, initial_samples=20))
    run(campaign, 3, lambda p: {"y": sum(p.values())})
    assert campaign.best()["outcomes"]["y"] < min(
        c["outcomes"]["y"] for c in campaign.candidates[:20]
    )


def test_a_definition_of_yaml_text_or_file_is_accepted(tmp_path):
    text = (
        "name: t\nparameters: [{name: a, type: continuous, bounds: [0, 1]}]\n"
        "objectives: [{name: y}]\n"
    )
    path = tmp_path / "t.yaml"
    path.write_text(text)
    asked = [Campaign.from_yaml(source).ask(2) for source in (text, path, str(path))]
    assert asked[0] == asked[1] == asked[2]


def test_nothing_feasible_is_an_error_at_once():
    with pytest.raises(InfeasibleError):
        Campaign.from_definition(define([continuous("a"), continuous("b")], ["a + b >= 3"]))


def test_the_right_category_and_whole_numbers_are_found():
    offsets = dict(zip("uvwxyz", [0.5, 0.1, 0.9, 0.3, 0.7, 0.0], strict=True))

    def outcome(p):
        offset = offsets[p["s"]]
        bowl = (math.log10(p["a"]) + 2 + offset) ** 2 + ((p["k"] - 12 - 8 * offset) / 10) ** 2
        return {"y": bowl + (math.log2(p["t"]) - 2) ** 2 / 5 + abs(offset - 0.3) / 2}

    definition = define(
        [
            continuous("a", 1e-4, 1.0, log_scale=True),
            integer("k", 1, 30),
            categorical("s", list("uvwxyz")),
            categorical("t", [1, 2, 4, 8], ordered=True),
        ],
        budget=45,
        batch_size=3,
        seed=0,
    )
    campaign = Campaign.from_definition(definition)
    while campaign.next_batch_size():
        run(campaign, 1, outcome)
    best = campaign.best()
    assert (best["params"]["s"], best["params"]["t"], best["params"]["k"]) == ("x", 4, 14)
    assert best["outcomes"]["y"] < 0.01


def test_it_beats_quasi_random_points_on_one_and_two_objectives():
    def branin(p):
        x, y = 15 * p["x0"] - 5, 15 * p["x1"]
        bent = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
        return bent**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10

    def distance(p):
        return (p["x0"] - 0.8) ** 2 + (p["x1"] - 0.1) ** 2

    single = Campaign.from_definition(line(2, budget=25, batch_size=1, seed=1))
    while single.next_batch_size():
        run(single, 1, lambda p: {"y": branin(p)})
    double = Campaign.from_definition(
        line(2, objectives=[{"name": "y"}, {"name": "z"}], budget=30, batch_size=4, seed=1)
    )
    while double.next_batch_size():
        run(double, 1, lambda p: {"y": branin(p), "z": distance(p)})
    sobol = Campaign.from_definition(line(2, budget=400, initial_samples=400, seed=1)).ask(400)
    assert single.best()["outcomes"]["y"] < min(branin(c.params) for c in sobol[:100])
    assert single.best()["outcomes"]["y"] == pytest.approx(0.397887, abs=0.02)
    reference = np.array([60.0, 1.0])
    Y = np.array([[c["outcomes"]["y"], c["outcomes"]["z"]] for c in double.candidates])
    random = np.array([[branin(c.params), distance(c.params)] for c in sobol])
    assert hypervolume(Y, reference) > hypervolume(random[:150], reference)


def test_batches_spend_nothing_on_repetitions_however_noisy_outcomes_are():
    source = {
        "name": "noisy",
        "parameters": [{"name": n, "type": "continuous", "bounds": [0, 1]} for n in ("a", "b")],
        "objectives": [{"name": "f"}, {"name": "g"}],
        "optimizer": {
            "budget": 60,
            "batch_size": 8,
            "seed": 3,
            "active_learning": {"initial_samples": 12},
        },
    }
    campaign, noise = Campaign.from_dict(source), np.random.default_rng(3)
    asked = []
    for _ in range(3):
        batch = campaign.ask()
        asked += [candidate.params for candidate in batch]
        for candidate in batch:
            a, b = candidate.params["a"], candidate.params["b"]
            f, g = noise.standard_normal(2)
            campaign.tell({candidate.id: {"f": a + 0.3 * f, "g": a + b + 0.3 * g}})
    X = campaign.space.encode(asked)
    distances = np.abs(X[:, None] - X[None]).max(axis=2)
    assert distances[~np.eye(len(X), dtype=bool)].min() > 0.0005
