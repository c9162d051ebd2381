"""Hard constraints over parameters: how far a point breaks them, and the way back inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine.relations import Relation
from materia.engine.space import SearchSpace
from materia.mdl.definition import Definition

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_MAX_PROJECTIONS, _FEW_PROJECTIONS = 100, 12
_MAX_SWEEPS = 4
# Projections stop this far inside an inequality, so that they end after finitely many steps.
_INSIDE = 1e-10
# A constraint closer than this, in the unit cube, is one that a point leans on.
_ACTIVE = 1e-3


class Constraints:
    """All hard constraints of a definition.

    Attributes:
        n: Their number.
    """

    def __init__(self, definition: Definition, space: SearchSpace) -> None:
        self._space = space
        self._relations = [Relation(c.expression, space) for c in definition.constraints]
        self.n = len(self._relations)

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
        return np.column_stack([r.violation(values, X) for r in self._relations])

    def is_feasible(self, X: FloatArray) -> BoolArray:
        """Return where no constraint is broken, (n,)."""
        return np.asarray(np.all(self.violation(X) <= 0, axis=1))

    def distance(self, X: FloatArray) -> FloatArray:
        """Return roughly how far the unit-cube points are from the feasible region, (n,)."""
        total = np.zeros(len(X))
        for relation in self._relations:
            residual, gradient = relation.linearise(X)
            norm = np.sqrt(np.sum(gradient**2, axis=1))
            broken = relation.broken(residual, gradient)
            total += np.where(norm > 0, broken / np.where(norm > 0, norm, 1.0), broken)
        return np.where(np.isnan(total), np.inf, total)

    def broken(self, params: Mapping[str, Any]) -> list[str]:
        """Return the expressions that `params` break, checked on the very values of the user."""
        return [relation.text for relation in self._relations if not relation.holds(params)]

    def active(self, x: FloatArray) -> list[str]:
        """Return the expressions that end the space at x (d,): a small step would break them."""
        found = []
        for relation in self._relations:
            residual, gradient = relation.linearise(x[None])
            steepness = float(np.sqrt(np.sum(gradient[0] ** 2)))
            if not relation.exists(x[None])[0]:
                continue
            if relation.is_equation or abs(float(residual[0])) <= _ACTIVE * steepness:
                found.append(relation.text)
        return found

    def repair(self, X: FloatArray, *, is_thorough: bool = True) -> FloatArray:
        """Return allowed points near `X` (n, d), feasible wherever projections lead there.

        Rows are first projected onto the constraints as if every parameter were continuous, then
        snapped, then projected with the discrete parameters held, and at last moved along single
        discrete parameters. Rows that stay infeasible are left for the caller to sort out.

        Args:
            X: Any points, (n, d).
            is_thorough: Whether rows that a few projections leave infeasible are worth the rest.
        """
        if self.n == 0:
            return self._space.snap(X)
        n_projections = _MAX_PROJECTIONS if is_thorough else _FEW_PROJECTIONS
        everything = np.ones(self._space.d, dtype=np.bool_)
        X = self._space.snap(self.project(X, everything, n_projections=n_projections))
        if not self._space.discrete.any():
            return X
        todo = np.flatnonzero(~self.is_feasible(X))
        if len(todo) and not self._space.discrete.all():
            held = self.project(X[todo], ~self._space.discrete, n_projections=n_projections)
            X[todo] = self._space.snap(held)
            todo = todo[~self.is_feasible(X[todo])]
        if len(todo) and is_thorough:
            X[todo] = self._step(X[todo])
        return X

    def equality_gradients(self, X: FloatArray) -> FloatArray:
        """Return directions in which equations forbid to move, (n, k, d), totals included."""
        totals = self._space.totals()
        rows = [np.broadcast_to(totals, (len(X), *totals.shape))]
        rows += [r.linearise(X)[1][:, None] for r in self._relations if r.is_equation]
        return np.concatenate(rows, axis=1)

    def project(
        self,
        X: FloatArray,
        free: BoolArray,
        *,
        only_equations: bool = False,
        n_projections: int = _MAX_PROJECTIONS,
    ) -> FloatArray:
        """Project rows in turn onto each broken constraint and the bounds, moving `free` columns.

        The projections follow the constraint's linearisation (S. Kaczmarz 1937 for linear ones).
        """
        relations = [r for r in self._relations if r.is_equation or not only_equations]
        X = self._space.relax(X)
        totals = np.where(free, self._space.totals(), 0.0)
        lengths = np.sum(totals**2, axis=1)
        totals = totals[lengths > 0] / np.sqrt(lengths[lengths > 0])[:, None]
        todo = np.arange(len(X))
        for _ in range(n_projections):
            part = X[todo]
            still_broken = np.zeros(len(todo), dtype=np.bool_)
            for relation in relations:
                residual, gradient = relation.linearise(part)
                broken = relation.broken(residual, gradient)
                if not np.any(broken > 0):
                    continue
                gradient = np.where(free, gradient, 0.0)
                # Along the totals, so that closing compositions does not undo the step.
                gradient = gradient - (gradient @ totals.T) @ totals
                square = np.sum(gradient**2, axis=1)
                is_broken = (broken > 0) & (square > 0) & np.isfinite(square)
                still_broken |= is_broken
                square = np.where(is_broken, square, 1.0)
                extra = 0.0 if relation.is_equation else _INSIDE * np.sqrt(square)
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
            for relation in self._relations:
                for j in relation.columns:
                    for trial in self._shifted(X, relation, j):
                        distance = self.distance(trial)
                        is_better = distance < best
                        X[is_better], best[is_better] = trial[is_better], distance[is_better]
            if np.all(best == 0) or np.all(best == before):
                break
        return X

    def _shifted(self, X: FloatArray, relation: Relation, j: int) -> list[FloatArray]:
        """Return X with column j moved to where the relation holds, snapped from both sides."""
        residual, gradient = relation.linearise(X)
        slope = gradient[:, j]
        is_broken = (relation.broken(residual, gradient) > 0) & (slope != 0)
        move = np.where(is_broken, residual / np.where(slope != 0, slope, 1.0), 0.0)
        trials = []
        for overshoot in (1.0, 1.0 + 1e-9, 1.5, 2.0):
            trial = X.copy()
            trial[:, j] -= overshoot * move
            trials.append(self._space.snap(trial))
        return trials
