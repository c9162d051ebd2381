"""Evaluator `manual`: a person at the bench supplies the results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from materia.errors import EvaluationError
from materia.evaluators.base import Evaluator, Options, warning_at
from materia.evaluators.places import Places
from materia.mdl.definition import Definition
from materia.mdl.finding import Finding


class ManualEvaluator(Evaluator):
    """Marks a campaign whose results are told, never computed."""

    is_manual = True
    cheap = True

    @classmethod
    def findings(cls, definition: Definition, options: Options, places: Places) -> list[Finding]:
        """Say that nothing will evaluate the candidates."""
        return [
            warning_at(
                "evaluator.type",
                "results of 'manual' are supplied by people; nothing evaluates the candidates",
                "tell them with `materia campaign tell`, or Campaign.tell of the Python library",
            )
        ]

    def evaluate(self, params: Mapping[str, Any], *, seed: int) -> NoReturn:
        """Refuse: there is nothing to compute."""
        raise EvaluationError(
            "a person supplies the results of this campaign",
            "tell the measured outcomes instead of evaluating",
        )
