import json
import math

import numpy as np
import pytest
from spaces import continuous, define
from test_acquisition import HERE, Fixed

from materia import Campaign
from materia.engine.acquisition.hypervolume_improvement import HypervolumeImprovement
from materia.engine.acquisition.noisy import NoisyExpectedImprovement, NoisyHypervolumeImprovement
from materia.engine.acquisition.optimism import Optimism, width_of_bound
from materia.engine.acquisition.probability import ProbabilityOfImprovement
from materia.engine.acquisition.scalarised import ScalarisedImprovement
from materia.engine.pareto import hypervolume
from materia.engine.surrogates.evidence import Hyperparameters
from materia.engine.surrogates.gp import GaussianProcess
from materia.engine.surrogates.independent import IndependentProcesses
from materia.engine.surrogates.paths import Imagined, Paths

pytestmark = pytest.mark.filterwarnings("error")

ONE = ("ei", "noisy_ei", "ucb", "pi", "thompson")
SEVERAL = ("ehvi", "noisy_ehvi", "parego")


def processes(m=1, noise=1e-2, n=9, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.random((n, 2))
    found = []
    for j in range(m):
        y = np.sin(3 * X[:, 0] + j) + X[:, 1] ** 2 * (1 + j) + 0.1 * rng.standard_normal(n)
        unknown = np.full(n, np.nan)
        found.append(GaussianProcess(X, y, unknown, Hyperparameters(np.array([0.4, 0.6]), noise)))
    return X, IndependentProcesses(tuple(found))


def test_paths_have_the_mean_and_spread_of_the_posterior():
    _, surrogate = processes(m=2)
    where = np.random.default_rng(1).random((6, 2))
    drawn = np.concatenate(
        [Paths(surrogate, 400, np.random.default_rng(i))(where) for i in range(10)], axis=2
    )
    mean, std = surrogate.posterior(where)
    assert drawn.mean(axis=2) == pytest.approx(mean, abs=4 * std.max() / math.sqrt(1000))
    assert drawn.std(axis=2) == pytest.approx(std, rel=0.15)
    # Neighbours go together.
    near = Paths(surrogate, 500, np.random.default_rng(0))(
        where[:1] + np.array([[0.0, 0.0], [0.01, 0.0]])
    )
    assert np.corrcoef(near[0, 0], near[1, 0])[0, 1] > 0.95


def test_what_is_imagined_is_met_exactly():
    X, surrogate = processes(m=2)
    values = Paths(surrogate, 3, np.random.default_rng(0))(X)
    mean, std = Imagined(surrogate, X, values).posterior(X)
    assert mean == pytest.approx(values, abs=0.02)
    assert np.all(std < 0.01)


def test_without_noise_the_noisy_forms_are_the_plain_ones():
    X, surrogate = processes(m=2, noise=1e-6)
    where = np.random.default_rng(5).random((8, 2))
    values = Paths(surrogate, 4, np.random.default_rng(0))(X)
    imagined = Imagined(surrogate, X, values)
    front, reference = surrogate.posterior(X)[0], np.array([1.5, 2.5])
    plain = HypervolumeImprovement(surrogate, front, reference)(where)
    noisy = NoisyHypervolumeImprovement(imagined, values, reference, (False, False))(where)
    is_seen = plain > -12
    assert noisy[is_seen] == pytest.approx(plain[is_seen], abs=0.1) and is_seen.any()


def test_the_noisy_improvement_is_the_mean_over_versions():
    X, surrogate = processes()
    where = np.random.default_rng(5).random((4, 2))
    values = Paths(surrogate, 5, np.random.default_rng(0))(X)
    mean, std = Imagined(surrogate, X, values).posterior(where)
    draws = np.random.default_rng(2).standard_normal((200_000, 1))
    expected = [
        np.mean(
            [
                np.maximum(values[:, 0, s].min() - mean[i, 0, s] - std[i, 0] * draws, 0).mean()
                for s in range(5)
            ]
        )
        for i in range(4)
    ]
    found = NoisyExpectedImprovement(Imagined(surrogate, X, values), values, folded=False)(where)
    assert np.exp(found) == pytest.approx(expected, rel=0.05, abs=1e-6)


@pytest.mark.parametrize("folded", [False, True])
def test_the_probability_of_improvement_agrees_with_monte_carlo(folded):
    draws = 0.3 + 0.6 * np.random.default_rng(0).standard_normal(1_000_000)
    expected = np.mean((np.abs(draws) if folded else draws) < 0.2)
    found = ProbabilityOfImprovement(Fixed(0.3, 0.6), 0.2, folded)(HERE)[0]
    assert math.exp(found) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("mean", [[0.3, 0.5, 0.4], [0.9, 0.2, 1.0], [-0.5, 0.1, 0.0]])
@pytest.mark.parametrize("folded", [(False,) * 3, (True, False, False)])
def test_scalarised_improvement_agrees_with_monte_carlo(mean, folded):
    Y = np.array([[0.2, 0.9, 0.5], [0.8, 0.1, 0.6], [0.5, 0.5, 0.2]])
    reference, weights = np.array([1.0, 1.2, 1.1]), np.array([0.5, 0.2, 0.3])
    std = np.array([0.2, 0.1, 0.3])
    draws = np.array(mean) + std * np.random.default_rng(0).standard_normal((1_000_000, 3))
    draws = np.where(folded, np.abs(draws), draws)

    def distance(y):
        ideal = Y.min(axis=0)
        return np.max(weights * (y - ideal) / (reference - ideal), axis=1)

    gain = np.maximum(distance(Y).min() - distance(draws), 0) * np.all(draws < reference, axis=1)
    found = ScalarisedImprovement(Fixed(mean, std), Y, reference, weights, folded)(HERE)[0]
    assert math.exp(found) == pytest.approx(gain.mean(), rel=0.03)


def test_scalarised_improvement_keeps_a_slope_far_behind_the_front():
    Y, reference = np.array([[0.2, 0.9], [0.8, 0.1]]), np.array([1.0, 1.0])
    values = [
        ScalarisedImprovement(
            Fixed([x, x], [0.01, 0.01]), Y, reference, np.array([0.5, 0.5]), (False, False)
        )(HERE)[0]
        for x in (1.0, 2.0, 3.0, 30.0)
    ]
    assert np.all(np.isfinite(values)) and np.all(np.diff(values) < 0)


def test_hope_is_ordered_and_finite_however_far():
    hopes = np.array([-5.0, 0.0, 1.0, 40.0, 1e6])
    values = Optimism(lambda X: X[:, 0], 0.5, 1.0)(hopes[:, None])
    assert np.all(np.isfinite(values)) and np.all(np.diff(values) < 0)
    assert width_of_bound(6, 60) > width_of_bound(6, 10) > width_of_bound(2, 10)


def outcome(params, m, noise, rng):
    x = np.array(list(params.values()))
    values = [(x[0] - 0.7) ** 2 + x[1:] @ x[1:], (x[0] - 0.2) ** 2, (x[-1] - 0.8) ** 2 + x[0]]
    return {f"y{j}": float(values[j] + noise * rng.standard_normal()) for j in range(m)}


def campaign_of(name, m, n=24, noise=0.0, **more):
    definition = define(
        [continuous(f"x{i}") for i in range(3)],
        objectives=[{"name": f"y{j}", **(more.pop(f"y{j}", {}))} for j in range(m)],
        **{"budget": n, "batch_size": 3, "initial_samples": 9, "acquisition": name, **more},
    )
    return Campaign.from_definition(definition), np.random.default_rng(0), noise


def run(campaign, rng, noise, failing=lambda params: False):
    while campaign.next_batch_size():
        for candidate in campaign.ask():
            told = outcome(candidate.params, campaign.objectives.m, noise, rng)
            campaign.tell({candidate.id: None if failing(candidate.params) else told})
    return campaign


@pytest.mark.parametrize("name", ONE)
def test_every_choice_for_one_objective_finds_the_best_point(name):
    campaign = run(*campaign_of(name, 1))
    assert campaign.best()["outcomes"]["y0"] < 0.02
    assert {c["why"]["source"] for c in campaign.candidates} == {"initial design", name}
    assert json.dumps(campaign.dump(), allow_nan=False)


@pytest.mark.parametrize("name", SEVERAL)
def test_every_choice_for_several_objectives_beats_twice_as_many_quasi_random_points(name):
    campaign = run(*campaign_of(name, 2))
    reference = np.array([1.0, 0.5])
    Y = np.array([list(c["outcomes"].values()) for c in campaign.candidates])
    more, rng, _ = campaign_of("auto", 2, n=48)
    sobol = [list(outcome(c.params, 2, 0.0, rng).values()) for c in more.ask(48)]
    assert hypervolume(Y, reference) > hypervolume(np.array(sobol), reference)


@pytest.mark.parametrize(
    ("name", "m"),
    [*((name, 1) for name in ONE), *((name, 3) for name in SEVERAL)],
)
def test_targets_constraints_failures_and_pending_points_go_with_every_choice(name, m):
    more = {"y0": {"target": 0.3}, "outcome_constraints": ["y0 <= 0.9"], "budget": 27}
    campaign, rng, _ = campaign_of(name, m, **more)
    late = {}
    while campaign.next_batch_size():
        batch = campaign.ask()
        for i, candidate in enumerate(batch):
            is_failing = candidate.params["x1"] > 0.8
            told = None if is_failing else outcome(candidate.params, m, 0.0, rng)
            (late if i == 0 else {}).update({candidate.id: told})
            if i:
                campaign.tell({candidate.id: told})
        if len(late) > 2:
            campaign.tell(late)
            late = {}
        saved = json.loads(json.dumps(campaign.dump(), allow_nan=False))
    campaign.tell(late)
    assert Campaign.load(saved).dump() == saved
    deviation = min(abs(p["outcomes"]["y0"] - 0.3) for p in campaign.pareto_front())
    assert deviation < (0.05 if name in ("ei", "noisy_ei") else 0.2)
    X = campaign.space.encode([c["params"] for c in campaign.candidates])
    distances = np.linalg.norm(X[:, None] - X[None], axis=2) + np.eye(len(X))
    assert m == 1 or distances.min() > 1e-4
    assert sum(c["state"] == "failed" for c in campaign.candidates[9:]) <= 6


def test_noise_that_the_surrogate_finds_decides_between_plain_and_noisy():
    for m, expected in ((1, ["ei", "ei"]), (2, ["ehvi", "noisy_ehvi"])):
        sources = []
        for noise in (0.0, 0.015):
            campaign, rng, _ = campaign_of("auto", m, n=62, noise=noise, initial_samples=60)
            for candidate in campaign.ask(60):
                campaign.tell({candidate.id: outcome(candidate.params, m, noise, rng)})
            sources.append(campaign.ask(1)[0].why["source"])
        assert sources == expected
