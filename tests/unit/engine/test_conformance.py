"""The exported suites, run on what is built in."""

from typing import ClassVar

import numpy as np
import pytest

from materia.engine.acquisition.choice import Choice
from materia.engine.objectives import Objectives
from materia.mdl.definition import Definition
from materia.testing.acquisitions import AcquisitionSuite
from materia.testing.optimisers import OptimiserSuite

pytestmark = pytest.mark.filterwarnings("error")


class BuiltIn(AcquisitionSuite):
    name = ""

    def acquisition(self, surrogate, Y):
        definition = Definition.model_validate(
            {
                "name": "t",
                "parameters": [{"name": n, "type": "continuous", "bounds": [0, 1]} for n in "ab"],
                "objectives": [{"name": f"y{j}"} for j in range(self.m)],
            }
        )
        rng = np.random.default_rng(0)
        reference = np.full(self.m, 1.0)
        choice = Choice(self.name, Objectives(definition), surrogate, reference, len(Y), rng)
        points = np.random.default_rng(3).random((len(Y), 2))
        points = np.array([points[i] for i in np.argsort(Y[:, 0])])
        return choice.improvement(surrogate, points, Y[np.argsort(Y[:, 0])])


class TestExpectedImprovement(BuiltIn):
    name = "ei"


class TestNoisyExpectedImprovement(BuiltIn):
    name = "noisy_ei"


class TestProbabilityOfImprovement(BuiltIn):
    name = "pi"


class TestConfidenceBound(BuiltIn):
    name = "ucb"


class TestThompson(BuiltIn):
    name = "thompson"


class TestHypervolumeImprovement(BuiltIn):
    name, m = "ehvi", 2


class TestHypervolumeImprovementOfFour(BuiltIn):
    name, m = "ehvi", 4


class TestNoisyHypervolumeImprovement(BuiltIn):
    name, m = "noisy_ehvi", 2


class TestParego(BuiltIn):
    name, m = "parego", 3


class TestSurrogateSearch(OptimiserSuite):
    pass


class TestSurrogateSearchOfThree(OptimiserSuite):
    m = 3


class TestCmaEs(OptimiserSuite):
    optimizer: ClassVar = {"surrogate": "none"}
    budget = 200


class TestMoCmaEs(OptimiserSuite):
    optimizer: ClassVar = {"surrogate": "none"}
    m = 2
    budget = 200
