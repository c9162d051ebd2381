from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spaces import categorical, continuous, define

from materia.engine.campaign import Campaign
from materia.engine.explanations import N_NEAREST
from materia.engine.surrogates import choice, gp, mlp_ensemble, random_forest
from materia.engine.surrogates.independent import IndependentProcesses
from materia.engine.surrogates.kinds import BUILT_IN, kind_of
from materia.engine.surrogates.model import Sample
from materia.errors import DefinitionError, StateError
from materia.mdl.validation import load
from materia.testing.surrogates import SurrogateSuite, smooth_sample

pytestmark = pytest.mark.filterwarnings("error")


class TestGaussianProcess(SurrogateSuite):
    kind = gp.KIND


class TestRandomForest(SurrogateSuite):
    kind = random_forest.KIND


class TestMlpEnsemble(SurrogateSuite):
    kind = mlp_ensemble.KIND


def unsteady(n, seed=0):
    """Outcomes whose noise differs from place to place: one noise for all does not fit them."""
    rng = np.random.default_rng(seed)
    X = rng.random((n, 4))
    y = 5.0 * (X[:, 0] > 0.7) * rng.standard_normal(n) + 0.1 * X[:, 1]
    return Sample(X, y, np.full(n, np.nan))


def test_the_choice_left_open_stays_with_the_gaussian_process_where_it_does_well():
    chosen = choice.choose("auto", smooth_sample(60), np.random.default_rng(0))
    assert (chosen.kind, chosen.compared) == ("gp", {})


def test_few_observations_are_no_evidence_against_the_gaussian_process():
    rng = np.random.default_rng(0)
    sample = Sample(rng.random((30, 3)), rng.standard_normal(30), np.full(30, np.nan))
    assert choice.choose("auto", sample, rng).compared == {}


def test_noise_is_no_evidence_against_the_gaussian_process():
    rng = np.random.default_rng(0)
    sample = Sample(rng.random((80, 3)), rng.standard_normal(80), np.full(80, np.nan))
    chosen = choice.choose("auto", sample, rng)
    assert chosen.kind == "gp"
    assert set(chosen.compared) == {"gp", "random_forest"}


def test_a_forest_is_chosen_where_its_left_out_predictions_are_clearly_better():
    sample = unsteady(60)
    chosen = choice.choose("auto", sample, np.random.default_rng(0))
    assert chosen.kind == "random_forest"
    assert chosen.compared["random_forest"] > chosen.compared["gp"] + choice.MIN_GAIN


def test_a_surrogate_that_is_not_installed_is_named_with_what_there_is():
    with pytest.raises(StateError, match=r"'acme\.magic' is not installed") as caught:
        Campaign.from_definition(define([continuous("x")], surrogate="acme.magic"))
    assert all(name in str(caught.value.hint) for name in BUILT_IN)


def test_a_misspelt_surrogate_is_a_finding_with_the_right_word():
    declared = define([continuous("x")]).model_dump(mode="json")
    declared["optimizer"]["surrogate"] = "random_forrest"
    with pytest.raises(DefinitionError) as caught:
        load(declared)
    [finding] = caught.value.findings
    assert "must be one of auto, gp, mlp_ensemble, random_forest" in finding["message"]
    assert "random_forest" in finding["fix"]


def test_a_plug_in_is_found_by_its_entry_point(monkeypatch):
    class Entry:
        def load(self):
            return gp.KIND

    def entries(group, name):
        assert (group, name) == ("materia.surrogates", "acme.process")
        return [Entry()]

    monkeypatch.setattr("materia.engine.surrogates.kinds.entry_points", entries)
    definition = define([continuous("x")], surrogate="acme.process", initial_samples=4)
    campaign = Campaign.from_definition(definition)
    campaign.tell({c.id: {"y": c.params["x"] ** 2} for c in campaign.ask(4)})
    assert campaign.fit().quality["y"]["surrogate"] == "acme.process"
    kind_of.cache_clear()


def mixed(**more):
    parameters = [continuous("x"), continuous("z"), categorical("c", ["a", "b", "d"])]
    return define(parameters, initial_samples=8, batch_size=3, budget=60, **more)


def outcome(params):
    return (params["x"] - 0.7) ** 2 + {"a": 1.0, "b": 0.0, "d": 2.0}[params["c"]]


@pytest.mark.parametrize("name", ["mlp_ensemble", "random_forest"])
def test_a_campaign_with_any_surrogate_improves_and_resumes_bit_for_bit(name):
    campaign = Campaign.from_definition(mixed(surrogate=name))
    for _ in range(3):
        campaign.tell({c.id: {"y": outcome(c.params)} for c in campaign.ask()})
    values = [c["outcomes"]["y"] for c in campaign.candidates]
    assert np.median(values[8:]) < np.median(values[:8])
    resumed, helped = (Campaign.load(campaign.dump()) for _ in range(2))
    fit = campaign.fit()
    assert helped.use_surrogate(fit.arrays, fit.meta)
    expected = campaign.ask()
    assert expected == resumed.ask() == helped.ask()
    assert len({str(c.params) for c in expected}) == 3
    assert fit.quality["y"]["surrogate"] == name


@pytest.mark.parametrize("name", ["gp", "random_forest"])
def test_means_alone_are_those_that_come_with_deviations(name):
    sample = smooth_sample(40)
    tail = replace(sample, y=np.exp(4.0 * sample.y), pivot_floor=-np.inf)  # to be compressed
    fitted = kind_of(name).fit(tail, np.random.default_rng(0))
    surrogate = IndependentProcesses((fitted, fitted))
    X = smooth_sample(20, seed=1).X
    assert not fitted.warp.is_identity
    assert np.array_equal(surrogate.means(X), surrogate.posterior(X)[0])
    assert np.array_equal(surrogate.predicted_means(X), surrogate.predict(X)[0])


@pytest.mark.parametrize("name", ["mlp_ensemble", "random_forest"])
def test_failures_pending_points_and_partial_outcomes_work_with_any_surrogate(name):
    definition = define(
        [continuous("x"), continuous("z")],
        objectives=[{"name": "f"}, {"name": "g", "direction": "maximize"}],
        outcome_constraints=["g >= 0.1"],
        surrogate=name,
        initial_samples=8,
        budget=60,
    )
    campaign = Campaign.from_definition(definition)
    first = campaign.ask(8)
    told = {c.id: {"f": c.params["x"], "g": c.params["x"] + c.params["z"]} for c in first}
    told[first[2].id], told[first[3].id] = None, {"f": 0.3}
    campaign.tell(told)
    one, other = campaign.ask(2), campaign.ask(2)
    points = np.array([[c.params["x"], c.params["z"]] for c in (*one, *other)])
    assert len(np.unique(points, axis=0)) == 4
    assert all(np.isfinite(c.predicted["g"]["std"]) for c in other)


def test_the_documented_rule_and_caps_are_those_of_the_code():
    page = (Path(__file__).parents[3] / "docs" / "definition.md").read_text(encoding="utf-8")
    for name in BUILT_IN:
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` | "))
        assert row.endswith(f"| {kind_of(name).max_observations} |")
    text = " ".join(page.split())
    assert f"from {choice.MIN_OBSERVATIONS} observations on" in text
    assert choice.POOR_R2 == 0.5 and "explain less than half of the variance" in text
    assert f"higher by {choice.MIN_GAIN:g} per observation" in text
    assert f"lists the {N_NEAREST} measured points" in text
    assert choice.MIN_ERRORS == 2.0 and "by two standard errors" in text
