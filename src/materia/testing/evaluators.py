"""What every evaluator keeps to, as tests: inherit the suite and say which one is tested."""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from materia import evaluators
from materia.engine.campaign import Campaign
from materia.evaluators import Evaluation, Evaluator
from materia.mdl.definition import Definition
from materia.mdl.validation import load


class EvaluatorSuite:
    """Tests of one kind of evaluator.

    Attributes:
        declared: A whole definition that uses it, as plain data.
        data_roots: Folders with the files that it names.
    """

    declared: ClassVar[Mapping[str, Any]]
    data_roots: ClassVar[tuple[Path, ...]] = ()

    def definition(self) -> Definition:
        """Return the definition that is tested."""
        return load(copy.deepcopy(dict(self.declared)))

    def built(self) -> Evaluator:
        """Return the evaluator of the definition."""
        return evaluators.build(self.definition(), data_roots=self.data_roots)

    def points(self) -> Iterable[Mapping[str, Any]]:
        """Return some candidates."""
        pool = evaluators.pool_of(self.definition(), data_roots=self.data_roots)
        return [candidate.params for candidate in Campaign(self.definition(), pool).ask(4)]

    def test_a_whole_definition_has_no_error(self) -> None:
        """What the suite is given is right, so that its other tests mean something."""
        found = evaluators.check(self.definition(), data_roots=self.data_roots)
        assert [finding for finding in found if finding.level == "error"] == []

    def test_an_unknown_option_is_a_finding(self) -> None:
        """A misspelt option is told before anything runs, not ignored."""
        declared = copy.deepcopy(dict(self.declared))
        declared["evaluator"] = {
            **declared["evaluator"],
            "options": {**declared["evaluator"].get("options", {}), "no such option": 1},
        }
        found = evaluators.check(load(declared), data_roots=self.data_roots)
        assert "evaluator.options.no such option" in [finding.path for finding in found]

    def test_a_repeated_evaluation_gives_the_same_bits(self) -> None:
        """A candidate is evaluated again after a crash, in another process."""
        one, other = self.built(), self.built()
        for seed, params in enumerate(self.points()):
            assert one.evaluate(params, seed=seed).told == other.evaluate(params, seed=seed).told

    def test_the_order_of_candidates_does_not_matter(self) -> None:
        """Workers take candidates as they come."""
        points = list(self.points())
        evaluator = self.built()
        forward = [evaluator.evaluate(params, seed=1).told for params in points]
        backward = [evaluator.evaluate(params, seed=1).told for params in points[::-1]]
        assert forward == backward[::-1]

    def test_many_at_once_are_as_one_by_one(self) -> None:
        """A batch may be cut in any way."""
        batch = [(params, seed) for seed, params in enumerate(self.points())]
        together = self.built().evaluate_many(batch)
        alone = [self.built().evaluate(params, seed=seed) for params, seed in batch]
        assert [one.told for one in together if isinstance(one, Evaluation)] == [
            one.told for one in alone
        ]

    def test_every_objective_gets_a_finite_number(self) -> None:
        """And everything that is kept with it is plain data."""
        names = {objective.name for objective in self.definition().objectives}
        for seed, params in enumerate(self.points()):
            evaluation = self.built().evaluate(params, seed=seed)
            assert set(evaluation.outcomes) == names
            assert all(math.isfinite(value) for value in evaluation.outcomes.values())
            assert set(evaluation.standard_errors) <= names
            json.dumps(evaluation.metadata, allow_nan=False)
            pickle.dumps(evaluation)

    def test_arguments_are_never_changed(self) -> None:
        """The params of a candidate belong to the campaign."""
        for params in self.points():
            given = copy.deepcopy(dict(params))
            self.built().evaluate(given, seed=1)
            assert given == params
