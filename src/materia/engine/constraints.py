"""Hard constraints over parameters: how far a point breaks them, and the way back inside."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine.space import SearchSpace
from materia.errors import DefinitionError
from materia.mdl.definition import Definition
from materia.mdl.expression import Binary, Expression, Name, Node, Number, Unary, parse

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_MAX_PROJECTIONS = 100
_MAX_SWEEPS = 4
# Projections stop this far inside an inequality, so that they end after finitely many steps.
_INSIDE = 1e-10


class Constraints:
    """All hard constraints of a definition.

    Attributes:
        n: Their number.
    """

    def __init__(self, definition: Definition, space: SearchSpace) -> None:
        self._space = space
        self._texts = [constraint.expression for constraint in definition.constraints]
        self._relations = [parse(text) for text in self._texts]
        self.n = len(self._relations)
        for text, relation in zip(self._texts, self._relations, strict=True):
            self._check(text, relation)
        self._involved = np.array(
            [[name in relation.names for name in space.names] for relation in self._relations],
            dtype=np.bool_,
        ).reshape(self.n, space.d)

    def _check(self, text: str, relation: Expression) -> None:
        unknown = sorted(relation.names - set(self._space.names))
        if unknown or relation.relation is None:
            what = f"unknown names {', '.join(unknown)}" if unknown else "no relation"
            raise DefinitionError(
                f"constraint '{text}' has {what}",
                f"compare expressions of {', '.join(self._space.names)}, such as 'a + b <= 1'",
            )

    def violation(self, X: FloatArray) -> FloatArray:
        """Return how far each point breaks each constraint.

        Args:
            X: Encoded points, (n, d), in the unit cube.

        Returns:
            (n, c) in the units of the constraint; a point is feasible where all entries are <= 0.
        """
        if self.n == 0:
            return np.empty((len(X), 0))
        values = self._space.values(X)
        columns = [np.broadcast_to(r.violation(values), len(X)) for r in self._relations]
        return np.where(np.isnan(V := np.column_stack(columns)), np.inf, V)

    def is_feasible(self, X: FloatArray) -> BoolArray:
        """Return where no constraint is broken, (n,)."""
        return np.asarray(np.all(self.violation(X) <= 0, axis=1))

    def distance(self, X: FloatArray) -> FloatArray:
        """Return roughly how far the unit-cube points are from the feasible region, (n,)."""
        if self.n == 0:
            return np.zeros(len(X))
        values, slopes = self._space.values(X), self._space.slopes(X)
        total = np.zeros(len(X))
        for relation in self._relations:
            residual, gradient = self._linearise(relation, values, slopes)
            norm = np.sqrt(np.sum(gradient**2, axis=1))
            broken = _broken(residual, relation)
            total += np.where(norm > 0, broken / np.where(norm > 0, norm, 1.0), broken)
        return np.where(np.isnan(total), np.inf, total)

    def broken(self, params: Mapping[str, Any]) -> list[str]:
        """Return the expressions that `params` break, checked on the very values of the user."""
        return [
            text
            for text, relation in zip(self._texts, self._relations, strict=True)
            if not relation.violation({n: params[n] for n in relation.names}) <= 0
        ]

    def repair(self, X: FloatArray) -> FloatArray:
        """Return allowed points near `X` (n, d), feasible wherever a few projections lead there.

        Rows are first projected onto the constraints as if every parameter were continuous, then
        snapped, then projected with the discrete parameters held, and at last moved along single
        discrete parameters. Rows that stay infeasible are left for the caller to sort out.
        """
        if self.n == 0:
            return self._space.snap(X)
        everything = np.ones(self._space.d, dtype=np.bool_)
        X = self._space.snap(self.project(X, everything))
        if not self._space.discrete.any():
            return X
        todo = np.flatnonzero(~self.is_feasible(X))
        if len(todo) and not self._space.discrete.all():
            X[todo] = self._space.snap(self.project(X[todo], ~self._space.discrete))
            todo = todo[~self.is_feasible(X[todo])]
        if len(todo):
            X[todo] = self._step(X[todo])
        return X

    def equality_gradients(self, X: FloatArray) -> FloatArray:
        """Return directions in which equations forbid to move, (n, k, d), totals included."""
        totals = np.broadcast_to(self._space.totals(), (len(X), *self._space.totals().shape))
        values, slopes = self._space.values(X), self._space.slopes(X)
        rows = [
            self._linearise(relation, values, slopes)[1][:, None]
            for relation in self._relations
            if relation.relation == "=="
        ]
        return np.concatenate([totals, *rows], axis=1)

    def project(
        self, X: FloatArray, free: BoolArray, *, only_equations: bool = False
    ) -> FloatArray:
        """Project rows in turn onto each broken constraint and the bounds, moving `free` columns.

        The projections follow the constraint's linearisation (S. Kaczmarz 1937 for linear ones).
        """
        relations = [r for r in self._relations if r.relation == "==" or not only_equations]
        X = self._space.relax(X)
        totals = np.where(free, self._space.totals(), 0.0)
        lengths = np.sum(totals**2, axis=1)
        totals = totals[lengths > 0] / np.sqrt(lengths[lengths > 0])[:, None]
        todo = np.arange(len(X))
        for _ in range(_MAX_PROJECTIONS):
            part = X[todo]
            still_broken = np.zeros(len(todo), dtype=np.bool_)
            for relation in relations:
                residual, gradient = self._linearise(
                    relation, self._space.values(part), self._space.slopes(part)
                )
                gradient = np.where(free, gradient, 0.0)
                # Along the totals, so that closing compositions does not undo the step.
                gradient = gradient - (gradient @ totals.T) @ totals
                square = np.sum(gradient**2, axis=1)
                broken = _broken(residual, relation)
                is_broken = (broken > 0) & (square > 0) & np.isfinite(square)
                still_broken |= is_broken
                if not is_broken.any():
                    continue
                square = np.where(is_broken, square, 1.0)
                extra = 0.0 if relation.relation == "==" else _INSIDE * np.sqrt(square)
                length = np.where(is_broken, (residual + extra) / square, 0.0)
                part = self._space.relax(part - length[:, None] * np.nan_to_num(gradient))
            X[todo] = part
            todo = todo[still_broken]
            if len(todo) == 0:
                break
        return X

    def _step(self, X: FloatArray) -> FloatArray:
        """Move rows along one discrete column at a time while that lessens the violation."""
        best = self.distance(X)
        for _ in range(_MAX_SWEEPS):
            before = best.copy()
            for relation, involved in zip(self._relations, self._involved, strict=True):
                for j in np.flatnonzero(involved):
                    for trial in self._shifted(X, relation, int(j)):
                        distance = self.distance(trial)
                        is_better = distance < best
                        X[is_better], best[is_better] = trial[is_better], distance[is_better]
            if np.all(best == 0) or np.all(best == before):
                break
        return X

    def _shifted(self, X: FloatArray, relation: Expression, j: int) -> list[FloatArray]:
        """Return X with column j moved to where the relation holds, snapped from both sides."""
        residual, gradient = self._linearise(relation, self._space.values(X), self._space.slopes(X))
        slope = gradient[:, j]
        is_broken = (_broken(residual, relation) > 0) & (slope != 0)
        move = np.where(is_broken, residual / np.where(slope != 0, slope, 1.0), 0.0)
        trials = []
        for overshoot in (1.0, 1.0 + 1e-9, 1.5, 2.0):
            trial = X.copy()
            trial[:, j] -= overshoot * move
            trials.append(self._space.snap(trial))
        return trials

    def _linearise(
        self, relation: Expression, values: Mapping[str, FloatArray], slopes: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return left - right (n,), turned so that > 0 is broken, and its gradient in X (n, d)."""
        assert relation.right is not None
        index = {name: j for j, name in enumerate(self._space.names)}
        with np.errstate(all="ignore"):
            left, d_left = differentiate(relation.left, values, index)
            right, d_right = differentiate(relation.right, values, index)
            sign = -1.0 if relation.relation in (">", ">=") else 1.0
            n = len(slopes)
            residual = np.broadcast_to(sign * (left - right), n)
            gradient = np.broadcast_to(sign * (d_left - d_right), slopes.shape) * slopes
        return residual, gradient


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


def _broken(residual: FloatArray, relation: Expression) -> FloatArray:
    """Return the amount by which a turned residual is broken, 0 where it holds."""
    if relation.relation == "==":
        return np.where(np.abs(residual) > 1e-13, np.abs(residual), 0.0)
    if relation.relation in ("<", ">"):
        return np.where(residual >= 0, residual + math.ulp(0.0), 0.0)
    return np.maximum(residual, 0.0)
