"""Which parameters exist at a point: those without a condition, and those whose condition holds.

A parameter that does not exist at a point is None in `params`. In `X` its columns hold one constant
place, the middle of its range (of categories without an order, the first), so that surrogates see
no difference where there is none; the parameter that it depends on tells the two cases apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine.parameters import Categorical, Integer, ParameterKind, choice_key
from materia.errors import DefinitionError
from materia.mdl.definition import Definition

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class _Condition:
    """A parameter exists where another one exists and has one of some values.

    Attributes:
        child: Index of the parameter that may be missing.
        parent: Index of the one it depends on.
        places: What `places` of the parent must be.
        keys: The same as keys of its values.
    """

    child: int
    parent: int
    places: NDArray[np.intp]
    keys: frozenset[tuple[str, Any]]


class Conditions:
    """All conditions of a definition.

    Args:
        definition: What was declared.
        kinds: Its parameters in declared order.
        columns: Of each of them in X.

    Raises:
        DefinitionError: Something depends on a parameter that cannot decide, or on itself.
    """

    def __init__(
        self,
        definition: Definition,
        kinds: Sequence[ParameterKind],
        columns: Sequence[slice],
    ) -> None:
        self._kinds, self._columns = kinds, columns
        index = {parameter.name: i for i, parameter in enumerate(definition.parameters)}
        found: dict[int, list[_Condition]] = {}
        for child, parameter in enumerate(definition.parameters):
            for name, values in (parameter.when or {}).items():
                condition = self._condition(child, name, values, index)
                found.setdefault(child, []).append(condition)
        self._in_order = _parents_first(found)
        self._neutral = [kinds[i].neutral() if i in found else None for i in range(len(kinds))]
        self.is_conditional = np.array([i in found for i in range(len(kinds))], dtype=np.bool_)

    def __bool__(self) -> bool:
        return bool(self._in_order)

    def _condition(
        self, child: int, name: str, values: Sequence[Any], index: Mapping[str, int]
    ) -> _Condition:
        parent = index.get(name)
        kind = None if parent is None else self._kinds[parent]
        if parent is None or not isinstance(kind, Categorical | Integer):
            raise DefinitionError(
                f"'{self._kinds[child].names[0]}' depends on '{name}', which cannot decide",
                "name a categorical or an integer parameter",
            )
        for value in values:
            if fault := kind.fault({name: value}):
                raise DefinitionError(f"a condition can never hold: {fault}", "correct the value")
        X = kind.encode([{name: value} for value in values])
        keys = frozenset(choice_key(value) for value in values)
        return _Condition(child, parent, kind.places(X), keys)

    def exist(self, X: FloatArray) -> BoolArray:
        """Return which parameters exist at each point (n, d), (n, number of parameters)."""
        found = np.ones((len(X), len(self._kinds)), dtype=np.bool_)
        places: dict[int, NDArray[np.intp]] = {}
        for condition in self._in_order:
            kind = self._kinds[condition.parent]
            assert isinstance(kind, Categorical | Integer)
            if condition.parent not in places:
                places[condition.parent] = kind.places(X[:, self._columns[condition.parent]])
            holds = np.isin(places[condition.parent], condition.places)
            found[:, condition.child] &= holds & found[:, condition.parent]
        return found

    def exist_in(self, params: Mapping[str, Any]) -> BoolArray:
        """Return which parameters exist in `params`, (number of parameters,)."""
        found = np.ones(len(self._kinds), dtype=np.bool_)
        for condition in self._in_order:
            value = params.get(self._kinds[condition.parent].names[0])
            holds = value is not None and choice_key(value) in condition.keys
            found[condition.child] &= holds and found[condition.parent]
        return found

    def existing_columns(self, X: FloatArray) -> BoolArray:
        """Return which entries of X (n, d) belong to parameters that exist there, (n, d)."""
        return np.repeat(self.exist(X), [kind.width for kind in self._kinds], axis=1)

    def settle(self, X: FloatArray, exist: BoolArray | None = None) -> FloatArray:
        """Return X (n, d) with the constant place wherever a parameter does not exist."""
        if not self:
            return X
        exist = self.exist(X) if exist is None else exist
        X = X.copy()
        for i, neutral in enumerate(self._neutral):
            if neutral is not None:
                X[np.ix_(~exist[:, i], np.arange(X.shape[1])[self._columns[i]])] = neutral
        return X


def _parents_first(found: Mapping[int, Sequence[_Condition]]) -> list[_Condition]:
    """Return all conditions, those of a parameter after those of what it depends on."""
    in_order: list[_Condition] = []
    left = dict(found)
    while left:
        free = [i for i, own in left.items() if all(c.parent not in left for c in own)]
        if not free:
            raise DefinitionError(
                "parameters depend on each other in a circle", "remove one of the conditions"
            )
        for i in free:
            in_order += left.pop(i)
    return in_order
