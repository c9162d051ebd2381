"""Points spread evenly over what the constraints leave of the search space."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from materia.engine.constraints import Constraints
from materia.engine.sobol import sobol
from materia.engine.space import SearchSpace
from materia.errors import InfeasibleError
from materia.mdl.definition import Definition

FloatArray = NDArray[np.float64]

_BLOCK = 256
_MAX_BLOCKS = 64
_MIN_ACCEPTED = 1 / 200
_N_CHAINS = 256
_N_MOVES = 40
_N_MIXED = 8
_MIN_SEEN = 20


class Design:
    """The endless sequence of feasible, space-filling points that belongs to a seed.

    Point i depends on nothing but the definition, the seed and i. Scrambled Sobol points are kept
    where they are feasible. When that is hardly ever so, repaired points are spread by hit-and-run
    moves instead (R. L. Smith, Oper. Res. 32, 1984), which are uniform on convex regions. When it
    is so only where certain conditional parameters exist, the points there are repaired: they
    would never be seen beside those that are easily feasible.
    """

    def __init__(self, space: SearchSpace, constraints: Constraints, seed: int) -> None:
        self._space, self._constraints, self._seed = space, constraints, seed

    def __iter__(self) -> Iterator[FloatArray]:
        """Yield feasible points (d,), repeating points of a discrete space.

        Raises:
            InfeasibleError: Nothing feasible was found.
        """
        start, n_accepted = 0, 0
        while start < _MAX_BLOCKS * _BLOCK or n_accepted > _MIN_ACCEPTED * start:
            accepted = self._block(start)
            yield from accepted
            start, n_accepted = start + _BLOCK, n_accepted + len(accepted)
            if start >= 8 * _BLOCK and n_accepted < _MIN_ACCEPTED * start:
                break
        yield from self._walk()

    def sample(self, n: int) -> FloatArray:
        """Return the first points of the sequence, (n, d)."""
        points = iter(self)
        return np.array([next(points) for _ in range(n)]).reshape(n, self._space.d)

    def accepted_fraction(self, n: int) -> float:
        """Return the share of the first n quasi-random points that is feasible as it is."""
        U = sobol(0, n, self._space.n_uniform, self._seed)
        return len(self._feasible(self._space.sample(U))) / n

    def _block(self, start: int) -> FloatArray:
        X = self._space.sample(sobol(start, _BLOCK, self._space.n_uniform, self._seed))
        if self._thin:
            X = X[~np.isnan(X).any(axis=1)]
            is_thin = np.array([branch in self._thin for branch in self._branches(X)])
            X[is_thin] = self._constraints.repair(X[is_thin])
        return self._feasible(X)

    def _branches(self, X: FloatArray) -> list[bytes]:
        """Return for each point which parameters exist there."""
        return [row.tobytes() for row in self._space.conditions.exist(X)]

    @cached_property
    def _thin(self) -> set[bytes]:
        """Branches where hardly any point is feasible, unless all are like that."""
        if not self._space.conditions or self._constraints.n == 0:
            return set()
        X = self._space.sample(sobol(0, 8 * _BLOCK, self._space.n_uniform, self._seed))
        X = X[~np.isnan(X).any(axis=1)]
        seen = Counter(self._branches(X))
        accepted = Counter(self._branches(X[self._constraints.is_feasible(X)]))
        thin = {branch for branch, n in seen.items() if accepted[branch] < _MIN_ACCEPTED * n}
        return thin if len(thin) < len(seen) else set()

    def _feasible(self, X: FloatArray) -> FloatArray:
        X = X[~np.isnan(X).any(axis=1)]
        return X[self._constraints.is_feasible(X)] if len(X) else X

    def _walk(self) -> Iterator[FloatArray]:
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, 0x3A1C]))
        X = self._chains()
        while True:
            for _ in range(_N_MOVES):
                X = self._move(X, rng)
            snapped = self._constraints.repair(X)
            feasible = self._feasible(snapped)
            yield from feasible if len(feasible) else self._feasible(self._constraints.repair(X))
            if len(feasible) == 0:
                yield from self._feasible(self._chains())

    def _chains(self) -> FloatArray:
        """Return feasible starting points, (n, d), from repaired quasi-random ones."""
        for block in range(8):
            U = sobol(block * _N_CHAINS, _N_CHAINS, self._space.n_uniform, self._seed)
            X = self._space.sample(U)
            X = np.where(np.isnan(X), U[:, :1], X)
            X = self._feasible(self._constraints.repair(X))
            if len(X):
                return self._mixed(X)
        raise InfeasibleError(
            "no point of the search space satisfies all constraints",
            "loosen a constraint or widen the bounds of the parameters in it",
        )

    def _mixed(self, X: FloatArray) -> FloatArray:
        """Return one start per chain: mixtures of feasible points where they are feasible.

        Repaired points sit in corners, where almost every chord is short; chains that begin there
        would take very long to leave.
        """
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, 0x3A1D]))
        chosen = rng.integers(len(X), size=(_N_CHAINS, _N_MIXED))
        weights = rng.dirichlet(np.ones(_N_MIXED), size=_N_CHAINS)
        inner = np.einsum("nk,nkd->nd", weights, X[chosen])
        everything = np.ones(self._space.d, dtype=np.bool_)
        inner = self._constraints.project(inner, everything, only_equations=True)
        is_feasible = self._constraints.is_feasible(inner)
        return np.where(is_feasible[:, None], inner, X[chosen[:, 0]])

    def _move(self, X: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Move each row to a uniform place on a random chord, bracketed by shrinking.

        A trial is the relaxed, projected point; the row stays where every trial fails.
        """
        n, d = X.shape
        direction = self._tangent(X, rng.standard_normal((n, d)))
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = np.stack([-X / direction, (1.0 - X) / direction])
        is_moving = np.abs(direction) > 1e-12
        low = np.where(is_moving, ends.min(axis=0), -np.inf).max(axis=1)
        high = np.where(is_moving, ends.max(axis=0), np.inf).min(axis=1)
        moved = X.copy()
        todo = np.flatnonzero(np.isfinite(low) & np.isfinite(high))
        everything = np.ones(d, dtype=np.bool_)
        for _ in range(20):
            t = low[todo] + rng.random(len(todo)) * (high[todo] - low[todo])
            trial = X[todo] + t[:, None] * direction[todo]
            trial = self._constraints.project(trial, everything, only_equations=True)
            is_inside = self._constraints.is_feasible(trial)
            moved[todo[is_inside]] = trial[is_inside]
            high[todo] = np.where(t > 0, t, high[todo])
            low[todo] = np.where(t > 0, low[todo], t)
            todo = todo[~is_inside]
            if len(todo) == 0:
                break
        return moved

    def _tangent(self, X: FloatArray, direction: FloatArray) -> FloatArray:
        """Return directions of length 1 along which totals and equations stay as they are."""
        A = self._constraints.equality_gradients(X)
        held = np.zeros(X.shape, dtype=np.bool_)
        for columns in self._space.sparse:
            held[:, columns] = X[:, columns] == 0.0
        direction = np.where(held, 0.0, direction)
        if A.shape[1]:
            A = np.where(held[:, None], 0.0, A)
            gram = A @ A.transpose(0, 2, 1) + 1e-12 * np.eye(A.shape[1])
            weights = np.linalg.solve(gram, A @ direction[:, :, None])
            direction = direction - (A.transpose(0, 2, 1) @ weights)[:, :, 0]
        norm = np.sqrt(np.sum(direction**2, axis=1, keepdims=True))
        return direction / np.where(norm > 1e-9, norm, np.inf)


def feasible_fraction(definition: Definition, n: int = 1024) -> float:
    """Return the share of n quasi-random points of the search space that satisfies everything.

    Raises:
        InfeasibleError: Not even repaired points do.
    """
    space = SearchSpace(definition)
    design = Design(space, Constraints(definition, space), definition.optimizer.seed)
    fraction = design.accepted_fraction(n)
    if fraction == 0:
        design.sample(1)
    return fraction


def never_feasible(definition: Definition, n: int = 2048) -> list[int]:
    """Return the conditional parameters, by index, that no feasible point has.

    Those that hardly any of n points would have without constraints either are left out: nothing
    can be said about them.
    """
    space = SearchSpace(definition)
    constraints = Constraints(definition, space)
    if not space.conditions or constraints.n == 0:
        return []
    seed = definition.optimizer.seed
    X = space.sample(sobol(0, n, space.n_uniform, seed))
    X = X[~np.isnan(X).any(axis=1)]
    is_seen = space.conditions.exist(X).sum(axis=0) >= _MIN_SEEN
    is_feasible = space.conditions.exist(Design(space, constraints, seed).sample(n)).any(axis=0)
    return np.flatnonzero(is_seen & ~is_feasible).tolist()
