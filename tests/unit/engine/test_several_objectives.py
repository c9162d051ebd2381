"""Three to five objectives, end to end."""

import json
import tracemalloc

import numpy as np
import pytest
from spaces import continuous, define

from materia import Campaign
from materia.engine.pareto import hypervolume
from materia.evaluators.problems import PROBLEMS

pytestmark = pytest.mark.filterwarnings("error")


def declare(problem, d, m, reference=None, **optimizer):
    low, high = np.array(PROBLEMS[problem].bounds_for(d)).T
    objectives = [{"name": f"y{j}"} for j in range(m)]
    for objective, value in zip(objectives, reference or [], strict=False):
        objective["reference_point"] = value
    return define(
        [continuous(f"x{i}", float(low[i]), float(high[i])) for i in range(d)],
        objectives=objectives,
        **optimizer,
    )


def outcomes(problem, candidates, m):
    X = np.array([list(candidate.params.values()) for candidate in candidates])
    return PROBLEMS[problem](X, m)


def run(campaign, problem, m, n_iterations):
    for _ in range(n_iterations):
        batch = campaign.ask()
        for candidate, y in zip(batch, outcomes(problem, batch, m), strict=True):
            campaign.tell({candidate.id: {f"y{j}": float(v) for j, v in enumerate(y)}})
    return campaign


@pytest.mark.parametrize("m", [3, 4, 5])
def test_the_search_beats_more_quasi_random_points(m):
    d, reference = 6, [1.5] * m
    definition = declare(
        "dtlz2", d, m, reference, budget=42, batch_size=4, initial_samples=14, seed=2
    )
    campaign = run(Campaign.from_definition(definition), "dtlz2", m, 8)
    spread = declare("dtlz2", d, m, budget=60, initial_samples=60, seed=2)
    sobol = Campaign.from_definition(spread).ask(60)
    random = hypervolume(outcomes("dtlz2", sobol, m), np.array(reference))
    assert campaign.hypervolume() > random
    front = campaign.pareto_front()
    assert [p["outcomes"]["y0"] for p in front] == sorted(p["outcomes"]["y0"] for p in front)
    assert campaign.best()["id"] in {point["id"] for point in front}


def test_it_resumes_bit_for_bit_and_infers_a_reference_point():
    definition = declare("dtlz2", 5, 4, budget=30, batch_size=3, initial_samples=12)
    golden = run(Campaign.from_definition(definition), "dtlz2", 4, 3)
    saved = json.loads(json.dumps(golden.dump(), allow_nan=False))
    assert Campaign.load(saved).ask(3) == golden.ask(3)
    reference = golden.reference_point()
    assert set(reference) == {"y0", "y1", "y2", "y3"}
    volumes = [e["hypervolume"] for e in golden.convergence()["trace"] if e["hypervolume"]]
    assert volumes == sorted(volumes)


def test_a_suggestion_for_a_large_front_of_five_needs_little_memory():
    definition = declare(
        "dtlz2", 6, 5, budget=400, batch_size=2, initial_samples=1, acquisition="ehvi"
    )
    campaign = Campaign.from_definition(definition)
    rng = np.random.default_rng(0)
    Y = np.abs(rng.standard_normal((250, 5)))
    Y /= np.linalg.norm(Y, axis=1)[:, None]
    for x, y in zip(rng.random((250, 6)), Y, strict=True):
        point = {f"x{i}": float(value) for i, value in enumerate(x)}
        campaign.add(point, {f"y{j}": float(value) for j, value in enumerate(y)})
    campaign.fit()
    tracemalloc.start()
    campaign.ask(1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(campaign.pareto_front()) == 250
    assert peak < 200e6
