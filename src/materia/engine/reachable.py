"""Which points may be asked at all, and in which order an initial design takes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materia.engine.constraints import Constraints
from materia.engine.sampling import Design
from materia.engine.sobol import sobol
from materia.engine.space import SearchSpace
from materia.errors import InfeasibleError

FloatArray = NDArray[np.float64]
Params = dict[str, Any]
Key = tuple[Any, ...]

# A finite space up to this size is listed whole, and every point of it is considered.
MAX_LISTED = 20_000
_CLOUD_POINTS = 512


def key_of(params: Params) -> Key:
    """Return what makes two points the same."""
    return tuple(params.values())


class Reachable:
    """The points of a search space that satisfy every hard constraint.

    Args:
        space: Bounds, choices, steps and totals.
        constraints: What else must hold.
        seed: Chooses the initial design.
        pool: Rows that alone may be asked; those outside the space or against a constraint are
            left out, and so are repeated ones.
    """

    def __init__(
        self,
        space: SearchSpace,
        constraints: Constraints,
        seed: int,
        pool: Sequence[Params] | None,
    ) -> None:
        self.space, self.constraints = space, constraints
        self._seed = seed
        self._given = pool

    def allows(self, params: Params) -> bool:
        """Return whether a point satisfies everything, checked on the user's own values."""
        return self.space.contains(params) and not self.constraints.broken(params)

    def check(self) -> None:
        """Raise an InfeasibleError when there is no point at all."""
        if self.listed is None:
            if self.constraints.n:
                self._design.sample(1)
        elif len(self.listed) == 0:
            raise InfeasibleError(
                "no possible candidate lies in the search space and satisfies all constraints",
                "compare bounds and constraints with each other and with the table of candidates",
            )

    @cached_property
    def _design(self) -> Design:
        return Design(self.space, self.constraints, self._seed)

    @cached_property
    def _rows(self) -> list[Params]:
        distinct = {key_of(row): row for row in self._given or ()}
        return [row for row in distinct.values() if self.allows(row)]

    @cached_property
    def listed(self) -> FloatArray | None:
        """Every reachable point, (n, d), when they can be listed: a pool or a small finite space.

        Listed points of a finite space still need `allows` on their decoded values.
        """
        if self._given is not None:
            return self.space.encode(self._rows)
        if self.space.size is None or self.space.size > MAX_LISTED:
            return None
        grid = self.space.grid()
        return grid[self.constraints.is_feasible(grid)]

    def params(self, X: FloatArray, rows: NDArray[np.intp]) -> list[Params]:
        """Return the params of some rows of `X`, where `X` is `listed` or any points (n, d)."""
        if self._given is not None:
            return [dict(self._rows[row]) for row in rows]
        return self.space.decode(X[rows])

    @cached_property
    def keys(self) -> frozenset[Key] | None:
        """Keys of all reachable points when they can be listed, else None."""
        if self.listed is None:
            return None
        rows = self._rows if self._given is not None else self.space.decode(self.listed)
        return frozenset(key_of(params) for params in rows if self.allows(params))

    @cached_property
    def cloud(self) -> FloatArray:
        """Points all over the reachable region, (n, d): every one if listed."""
        return self._design.sample(_CLOUD_POINTS) if self.listed is None else self.listed

    def design(self, n: int, taken: Set[Key]) -> list[Params]:
        """Return the next n points of the initial design that are not taken; fewer if exhausted."""
        seen, points = set(taken), []
        if n == 0:
            return []
        for params in self._in_order(len(taken)):
            key = key_of(params)
            if key not in seen and self.allows(params):
                seen.add(key)
                points.append(params)
                if len(points) == n:
                    break
        return points

    def _in_order(self, n_taken: int) -> Iterator[Params]:
        if self._given is not None:
            yield from self._pool_in_order()
            return
        # Quasi-random points of a discrete space repeat; after many, the list fills the gaps.
        points = islice(iter(self._design), 50 * (n_taken + 100))
        while block := list(islice(points, 64)):
            yield from self.space.decode(np.array(block))
        if self.listed is not None:
            yield from self.space.decode(self.listed)

    def _pool_in_order(self) -> Iterator[Params]:
        """Yield the rows of the pool: each the one nearest to the next quasi-random point."""
        X = self.cloud
        low, high = X.min(axis=0), X.max(axis=0)
        left = np.arange(len(X))
        for i in range(len(X)):
            target = low + sobol(i, 1, self.space.d, self._seed)[0] * (high - low)
            nearest = int(np.argmin(np.sum((X[left] - target) ** 2, axis=1)))
            yield dict(self._rows[left[nearest]])
            left = np.delete(left, nearest)
