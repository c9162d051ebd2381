"""Parameters that exist only where others have certain values, through the whole engine."""

import json
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spaces import categorical, composition, continuous, define, faults, integer

from materia.engine.campaign import Campaign
from materia.engine.sampling import feasible_fraction
from materia.errors import DataError, DefinitionError, StateError

pytestmark = pytest.mark.filterwarnings("error")

ADDITIVE = {"additive": ["A", "B"]}


def parameters():
    return [
        continuous("T"),
        categorical("additive", ["none", "A", "B"]),
        continuous("amount", 0.1, 1.0, log_scale=True, when=ADDITIVE),
        categorical("grade", ["x", "y"], when={"additive": ["B"]}),
        composition({"p": None, "q": None}, when={"grade": ["x"]}),
    ]


def outcome(params):
    """Least, and 0, at T = 0.3, additive B, amount 0.4, grade x and p = 1."""
    base = {"none": 0.5, "A": 0.2, "B": 0.1}[params["additive"]]
    amount = 0.0 if params["amount"] is None else (params["amount"] - 0.4) ** 2
    return (params["T"] - 0.3) ** 2 + base + amount - 0.1 * (params["p"] or 0.0)


def run(definition, n_iterations=100):
    campaign = Campaign.from_definition(definition)
    for _ in range(n_iterations):
        if not campaign.next_batch_size():
            break
        campaign.tell({c.id: {"y": outcome(c.params)} for c in campaign.ask()})
    return campaign


@pytest.fixture(scope="module")
def campaign():
    return run(define(parameters(), ["amount + T <= 1.2"], budget=30, batch_size=3))


def test_what_does_not_exist_is_none_and_everything_else_is_there(campaign):
    seen = {(c["params"]["additive"], c["params"]["grade"]) for c in campaign.candidates}
    assert seen == {("none", None), ("A", None), ("B", "x"), ("B", "y")}
    for params in (c["params"] for c in campaign.candidates):
        assert list(params) == ["T", "additive", "amount", "grade", "p", "q"]
        assert (params["amount"] is None) == (params["additive"] == "none")
        assert (params["grade"] is None) == (params["additive"] != "B")
        assert (params["p"] is None) == (params["q"] is None) == (params["grade"] != "x")
        assert params["amount"] is None or params["amount"] + params["T"] <= 1.2


def test_the_best_branch_is_found_and_searched(campaign):
    best = campaign.best()
    assert best["params"]["additive"] == "B" and best["params"]["grade"] == "x"
    assert best["outcomes"]["y"] < 0.01


def test_it_goes_on_bit_for_bit_from_json(campaign):
    saved = json.loads(json.dumps(campaign.dump(), allow_nan=False))
    saved["definition"]["optimizer"]["budget"] = 34
    one, other = Campaign.load(saved), Campaign.load(saved)
    first = one.ask(2)
    other.fit()
    assert [c.params for c in other.ask(2)] == [c.params for c in first]


@pytest.mark.parametrize("surrogate", ["none", "random_forest", "mlp_ensemble"])
def test_every_way_of_searching_keeps_conditions(surrogate):
    definition = define(parameters(), budget=24, batch_size=6, surrogate=surrogate)
    found = run(definition)
    for candidate in found.candidates:
        assert faults(definition, candidate["params"]) == []
    assert found.best()["outcomes"]["y"] < 0.2


def test_the_constant_place_stands_for_what_does_not_exist():
    space = Campaign.from_definition(define(parameters())).space
    params = [
        {"T": 0.5, "additive": "none"},
        {"T": 0.5, "additive": "A", "amount": 0.1, "grade": None},
        {"T": 0.5, "additive": "B", "amount": 1.0, "grade": "y"},
        {"T": 0.5, "additive": "B", "amount": 1.0, "grade": "x", "p": 0.25, "q": 0.75},
    ]
    X = space.encode(params)
    assert X.tolist() == [
        [0.5, 0.0, 0.5, 0.0, 0.5, 0.5],
        [0.5, 0.5, 0.0, 0.0, 0.5, 0.5],
        [0.5, 1.0, 1.0, 1.0, 0.5, 0.5],
        [0.5, 1.0, 1.0, 0.0, 0.25, 0.75],
    ]
    assert space.decode(X) == [space.completed(p) for p in params]
    assert np.array_equal(space.snap(X), X) and np.array_equal(space.relax(X), X)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"T": 0.5, "additive": "A"}, "missing amount"),
        ({"T": 0.5, "additive": "A", "amount": None}, "missing amount"),
        (
            {"T": 0.5, "additive": "none", "amount": 0.3},
            "'amount' is 0.3 where it does not exist.*where additive is A or B",
        ),
        ({"T": 0.5, "additive": "A", "amount": 0.3, "grade": "x"}, "'grade' is 'x' where"),
        ({"T": 0.5, "additive": "C"}, "'additive' = 'C' is not one of"),
    ],
)
def test_a_point_with_too_little_or_too_much_is_refused_by_name(params, message):
    campaign = Campaign.from_definition(define(parameters()))
    with pytest.raises(DataError) as caught:
        campaign.add(params, {"y": 1.0})
    assert re.search(message, f"{caught.value.message} {caught.value.hint}")


def test_points_of_ones_own_may_leave_out_what_does_not_exist():
    campaign = Campaign.from_definition(define(parameters(), initial_samples=1))
    campaign.add({"T": 0.5, "additive": "none"}, {"y": 1.0})
    assert campaign.best()["params"] == {
        "T": 0.5,
        "additive": "none",
        "amount": None,
        "grade": None,
        "p": None,
        "q": None,
    }
    assert len(campaign.ask(2)) == 2


def test_points_that_differ_only_in_what_does_not_exist_are_one():
    definition = define(
        [
            categorical("kind", ["plain", "coated"]),
            integer("coats", 1, 3, when={"kind": ["coated"]}),
            integer("minutes", 0, 1, when={"coats": [2, 3]}),
        ],
        budget=50,
    )
    campaign = Campaign.from_definition(definition)
    asked = []
    with pytest.raises(StateError):
        while True:
            asked += [tuple(c.params.values()) for c in campaign.ask(2)]
    expected = [("plain", None, None), ("coated", 1, None)]
    expected += [("coated", coats, minutes) for coats in (2, 3) for minutes in (0, 1)]
    assert sorted(asked, key=str) == sorted(expected, key=str)


def test_a_pool_leaves_empty_what_does_not_exist():
    rows = [
        {"T": 0.1, "additive": "none", "amount": None, "grade": None, "p": None, "q": None},
        {"T": 0.2, "additive": "A", "amount": 0.3, "grade": None, "p": None, "q": None},
    ]
    campaign = Campaign.from_definition(define(parameters(), budget=9), pool=rows)
    assert sorted(c.params["T"] for c in campaign.ask(5)) == [0.1, 0.2]


def test_a_constraint_holds_where_one_of_its_parameters_does_not_exist():
    definition = define(parameters(), ["amount >= 0.5"])
    campaign = Campaign.from_definition(definition)
    X = campaign.space.encode(
        [
            {"T": 0.5, "additive": "none"},
            {"T": 0.5, "additive": "A", "amount": 0.2},
            {"T": 0.5, "additive": "A", "amount": 0.7},
        ]
    )
    assert campaign.constraints.is_feasible(X).tolist() == [True, False, True]
    assert campaign.constraints.distance(X)[[0, 2]].tolist() == [0.0, 0.0]
    assert campaign.constraints.broken({"T": 0.5, "additive": "none", "amount": None}) == []
    assert campaign.constraints.active(X[0]) == []
    repaired = campaign.space.decode(campaign.constraints.repair(X))
    assert repaired[0]["amount"] is None and repaired[1]["amount"] >= 0.5


def test_an_equation_of_conditional_parameters_holds_where_they_exist():
    definition = define(
        [
            categorical("mixed", ["no", "yes"]),
            continuous("a", when={"mixed": ["yes"]}),
            continuous("b", when={"mixed": ["yes"]}),
        ],
        ["a + b == 0.8"],
        budget=12,
        initial_samples=8,
    )
    campaign = Campaign.from_definition(definition)
    campaign.tell({c.id: {"y": float(c.number)} for c in campaign.ask(8)})
    params = [c["params"] for c in campaign.candidates] + [c.params for c in campaign.ask(4)]
    both = [p for p in params if p["mixed"] == "yes"]
    assert len(both) >= 8
    assert all(p["a"] + p["b"] == pytest.approx(0.8, abs=1e-8) for p in both)


def test_the_feasible_fraction_counts_every_branch():
    branch = define(parameters(), ["amount < 0.1"])
    # A third has no amount and is always feasible; of the rest log10(amount) is uniform.
    assert feasible_fraction(branch, 4096) == pytest.approx(1 / 3, abs=0.01)
    half = define(parameters(), ["amount * amount <= 0.1"])
    assert feasible_fraction(half, 4096) == pytest.approx(1 / 3 + 2 / 3 * 0.5, abs=0.01)


def test_nearest_points_do_not_count_what_only_one_of_them_has():
    definition = define(parameters(), initial_samples=2)
    campaign = Campaign.from_definition(definition)
    campaign.add({"T": 0.5, "additive": "none"}, {"y": 1.0})
    campaign.add({"T": 0.5, "additive": "A", "amount": 0.1}, {"y": 2.0})
    chosen = next(c for c in campaign.ask(4) if c.params["amount"] is not None)
    distances = {row["id"]: row["distance"] for row in chosen.why["nearest"]}
    assert distances["a0001"] == pytest.approx(np.hypot(1.0, chosen.params["T"] - 0.5))


def test_explanations_show_parameters_where_they_exist(campaign):
    assert set(campaign.importance()["y"]) == {"T", "additive", "amount", "grade", "mix"}
    along = campaign.slice("additive")
    assert along["values"] == ["none", "A", "B"] and along["is_allowed"] == [True] * 3
    for pair in (("additive", "amount"), ("amount", "additive")):
        seen = campaign.contour(*pair, n=4)
        at = pair.index("additive")
        assert seen["values"][at] == ["none", "A", "B"] and None not in seen["values"][1 - at]
        allowed = np.array(seen["is_allowed"])
        assert not np.take(allowed, 0, axis=1 - at).any()
        assert np.take(allowed, 2, axis=1 - at).any()
    with pytest.raises(DataError, match="'amount' does not exist at this point"):
        campaign.slice("amount", at={"T": 0.5, "additive": "none"})


def test_parameters_that_depend_on_each_other_are_refused_by_the_engine_too():
    circle = [
        categorical("a", ["x", "y"], when={"b": ["x"]}),
        categorical("b", ["x", "y"], when={"a": ["x"]}),
    ]
    with pytest.raises(DefinitionError, match="in a circle"):
        Campaign.from_definition(define(circle))
    with pytest.raises(DefinitionError, match="cannot decide"):
        Campaign.from_definition(define([continuous("a"), continuous("b", when={"a": [0.5]})]))
    wrong = [categorical("a", ["x", "y"]), continuous("b", when={"a": ["z"]})]
    with pytest.raises(DefinitionError, match="can never hold"):
        Campaign.from_definition(define(wrong))


@st.composite
def conditional_spaces(draw):
    """Up to six parameters, each depending on an earlier one that can decide, or on none."""
    kinds = draw(st.lists(st.sampled_from("cikm"), min_size=2, max_size=6))
    found, parents = [], []
    for i, kind in enumerate(kinds):
        more = {}
        if parents and draw(st.booleans()):
            name, values = draw(st.sampled_from(parents))
            more["when"] = {name: draw(st.lists(st.sampled_from(values), min_size=1, unique=True))}
        if kind == "c":
            found.append(continuous(f"x{i}", **more))
        elif kind == "i":
            found.append(integer(f"x{i}", 2, 8, step=2, **more))
            parents.append((f"x{i}", [2, 4, 6, 8]))
        elif kind == "k":
            found.append(categorical(f"x{i}", ["u", "v", "w"], **more))
            parents.append((f"x{i}", ["u", "v", "w"]))
        else:
            parts = {f"p{i}": None, f"q{i}": (0.0, 0.6), f"r{i}": None}
            found.append(composition(parts, name=f"x{i}", max_nonzero=2, **more))
    numbers = [p["name"] for p in found if p["type"] in ("continuous", "integer")]
    limits = []
    if numbers and draw(st.booleans()):
        chosen = draw(st.lists(st.sampled_from(numbers), min_size=1, max_size=2, unique=True))
        limits = [f"{' + '.join(chosen)} <= {4 * len(chosen) - 1}"]
    return define(found, limits, budget=8, batch_size=3, initial_samples=5)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(conditional_spaces(), st.randoms(use_true_random=False))
def test_no_candidate_breaks_a_condition_or_a_constraint(definition, random):
    campaign = Campaign.from_definition(definition)
    asked = []
    try:
        while campaign.next_batch_size():
            batch = campaign.ask()
            asked += [c.params for c in batch]
            campaign.tell({c.id: {"y": random.uniform(-1, 1)} for c in batch})
    except StateError:
        assert campaign.space.size is not None
    assert asked
    assert len({tuple(params.values()) for params in asked}) == len(asked)
    for params in asked:
        assert faults(definition, params) == []
    X = campaign.space.encode(asked)
    assert [list(p) for p in campaign.space.decode(X)] == [list(p) for p in asked]
    assert np.allclose(campaign.space.encode(campaign.space.decode(X)), X, atol=1e-12)
