"""One relation between parameters: its residual and gradient along the columns of `X`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine.space import SearchSpace
from materia.errors import DefinitionError
from materia.mdl.expression import Binary, Name, Node, Number, Unary, parse

FloatArray = NDArray[np.float64]

# An equation counts as met by a projection at this share of its scale, well inside the tolerance
# that the grammar grants it.
_MET = 1e-12


class Relation:
    """A hard constraint as the search sees it.

    Args:
        text: In the grammar of constraints.
        space: Whose parameters it relates.

    Attributes:
        text: As given.
        is_equation: Whether it is an equation; then both sides of it are infeasible.
        columns: Columns of X that take part.
    """

    def __init__(self, text: str, space: SearchSpace) -> None:
        self.text = text
        self._expression = parse(text)
        self._space = space
        self._index = {name: j for j, name in enumerate(space.names)}
        relation = self._expression.relation
        unknown = sorted(self._expression.names - set(space.names))
        if unknown or relation is None:
            what = f"unknown names {', '.join(unknown)}" if unknown else "no relation"
            raise DefinitionError(
                f"constraint '{text}' has {what}",
                f"compare expressions of {', '.join(space.names)}, such as 'a + b <= 1'",
            )
        self.is_equation = relation == "=="
        self._is_strict = relation in ("<", ">")
        self._sign = -1.0 if relation in (">", ">=") else 1.0
        self.columns = [self._index[name] for name in sorted(self._expression.names)]
        self._linear = self._linear_form()

    def _linear_form(self) -> tuple[float, FloatArray] | None:
        """Return offset and gradient if the residual is linear in X, else None."""
        assert self._expression.right is not None
        sides = (self._expression.left, self._expression.right)
        if any(_degree(side) > 1 for side in sides) or not self._space.is_linear(self.columns):
            return None
        residual, gradient = self._differentiate(np.zeros((1, self._space.d)))
        return float(residual[0]), gradient[0]

    def violation(self, values: Mapping[str, FloatArray], X: FloatArray) -> FloatArray:
        """Return how far the relation is broken in its own units, (n,); it holds where <= 0.

        Args:
            values: Those of the points, in the user's units.
            X: The points, (n, d).
        """
        amount = np.broadcast_to(self._expression.violation(values), len(X))
        amount = np.where(np.isnan(amount), np.inf, amount)
        return np.where(self.exists(X), amount, -np.inf) if self._space.conditions else amount

    def exists(self, X: FloatArray) -> NDArray[np.bool_]:
        """Return where all its parameters exist, (n,); elsewhere it says nothing, and holds."""
        return self._space.exists(X, self.columns)

    def holds(self, params: Mapping[str, Any]) -> bool:
        """Return whether the relation holds for the very values of the user."""
        values = {name: params[name] for name in self._expression.names}
        if any(value is None for value in values.values()):
            return True
        return bool(self._expression.violation(values) <= 0)

    def linearise(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return left - right (n,), turned so that > 0 is broken, and its gradient (n, d).

        Where it says nothing it holds, and no step changes that.
        """
        if self._linear is None:
            residual, gradient = self._differentiate(X)
        else:
            offset, slope = self._linear
            residual, gradient = offset + X @ slope, np.broadcast_to(slope, X.shape)
        if not self._space.conditions:
            return residual, gradient
        exists = self.exists(X)
        held = 0.0 if self.is_equation else -1.0
        return np.where(exists, residual, held), np.where(exists[:, None], gradient, 0.0)

    def _differentiate(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        assert self._expression.right is not None
        values, slopes = self._space.values(X), self._space.slopes(X)
        with np.errstate(all="ignore"):
            left, d_left = differentiate(self._expression.left, values, self._index)
            right, d_right = differentiate(self._expression.right, values, self._index)
            residual = np.broadcast_to(self._sign * (left - right), len(X))
            gradient = np.broadcast_to(self._sign * (d_left - d_right), X.shape) * slopes
        return residual, gradient

    def broken(self, residual: FloatArray, gradient: FloatArray) -> FloatArray:
        """Return the amount (n,) by which residuals are broken, 0 where the relation holds."""
        if self.is_equation:
            scale = np.maximum(np.abs(gradient).sum(axis=1), 1e-300)
            return np.where(np.abs(residual) > _MET * scale, np.abs(residual), 0.0)
        if self._is_strict:
            return np.where(residual >= 0, residual + math.ulp(0.0), 0.0)
        return np.maximum(residual, 0.0)


def _degree(node: Node) -> float:
    """Return the degree of a tree as a polynomial of its names; infinity where it is none."""
    match node:
        case Number():
            return 0
        case Name():
            return 1
        case Unary(_, operand):
            return _degree(operand)
        case Binary("+" | "-", left, right):
            return max(_degree(left), _degree(right))
        case Binary("*", left, right):
            return _degree(left) + _degree(right)
        case Binary("/", left, right):
            return _degree(left) if _degree(right) == 0 else math.inf
    return math.inf


def differentiate(
    node: Node, values: Mapping[str, FloatArray], index: Mapping[str, int]
) -> tuple[Any, Any]:
    """Return value and gradient of a checked tree, forward mode.

    Args:
        node: Arithmetic of numbers and names.
        values: (n,) per name.
        index: Column of each name in the gradient.

    Returns:
        (n,) or a number, and (n, d) or (d,).
    """
    d = len(index)
    match node:
        case Number(value):
            return value, np.zeros(d)
        case Name(name):
            unit = np.zeros(d)
            unit[index[name]] = 1.0
            return values[name], unit
        case Unary(_, operand):
            value, gradient = differentiate(operand, values, index)
            return -value, -gradient
        case Binary(op, left, right):
            return _combine(
                op, differentiate(left, values, index), differentiate(right, values, index)
            )
    raise DefinitionError("functions are not part of the grammar of constraints")


def _combine(op: str, left: tuple[Any, Any], right: tuple[Any, Any]) -> tuple[Any, Any]:
    (a, da), (b, db) = left, right
    if op == "+":
        return a + b, da + db
    if op == "-":
        return a - b, da - db
    a_column, b_column = np.asarray(a)[..., None], np.asarray(b)[..., None]
    if op == "*":
        return a * b, da * b_column + db * a_column
    return np.divide(a, b), da / b_column - db * a_column / b_column**2
