"""The common answer of models that learnt from different partitions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Answer:
    """What a model says of n rows.

    Attributes:
        values: Predicted values, (n,), or places of the most probable classes.
        std: Uncertainty of the values, (n,), in their unit, where the model knows it.
        probabilities: Of each class, (n, k); None for a regression.
    """

    values: FloatArray
    std: FloatArray | None = None
    probabilities: FloatArray | None = None

    @classmethod
    def of_classes(cls, probabilities: FloatArray) -> Answer:
        """Return the answer of a classifier; of equally probable classes the first is taken."""
        return cls(np.argmax(probabilities, axis=1).astype(float), None, probabilities)

    def parts(self, n: int) -> list[Answer]:
        """Return the answers for n tables of equal length, whose rows followed each other."""
        names = ("values", "std", "probabilities")
        split = [
            [None] * n if (array := getattr(self, name)) is None else np.split(array, n)
            for name in names
        ]
        return [Answer(*arrays) for arrays in zip(*split, strict=True)]


def combine(answers: Sequence[Answer]) -> Answer:
    """Return mean values, or mean probabilities.

    The std is the spread between the members, together with what the members say themselves (law
    of total variance). A single member that says nothing has no std.
    """
    if answers[0].probabilities is not None:
        probabilities = [a.probabilities for a in answers if a.probabilities is not None]
        return Answer.of_classes(np.mean(probabilities, axis=0))
    values = np.array([answer.values for answer in answers])
    own = [answer.std**2 for answer in answers if answer.std is not None]
    if not own and len(answers) == 1:
        return answers[0]
    variance = np.var(values, axis=0) + (np.mean(own, axis=0) if own else 0.0)
    return Answer(np.mean(values, axis=0), np.sqrt(variance))
