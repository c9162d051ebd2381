"""Trials of hyper-parameters: which ones, in which order, and how many at most.

Order of a grid: that of `itertools.product` over the keys as they were written, so that the last
key changes fastest. A list of mappings is tried in its own order.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

from materia.errors import DefinitionError
from materia.ml.ranges import Range

Trial: TypeAlias = dict[str, Any]
Strategy: TypeAlias = Literal["grid", "random", "materia"]

STRATEGIES = get_args(Strategy)
MAX_TRIALS = 10_000
MAX_KEYS = 100
MAX_PROPOSED = 1000
"""Of strategy `materia`; more would make the surrogate dearer than most trials, in memory too."""


def expand(
    param_grid: Any,
    *,
    strategy: Strategy = "grid",
    n_iter: int = 20,
    seed: int = 0,
    limit: int = MAX_TRIALS,
) -> list[Trial]:
    """Return the trials, each a mapping of names to values.

    Args:
        param_grid: A list of trials; or for each name a list of values, of which every combination
            is a trial. With strategy `random` a name may also have a range, see `ranges.Range`.
        strategy: `grid`, or `random`, which draws `n_iter` different combinations. (Trials of
            `materia` are not known before their turn; see `space`.)
        n_iter: Number of draws; all combinations where there are fewer.
        seed: Of the draws.
        limit: Trials at most; more are refused before any is made.

    Raises:
        DefinitionError: The grid is empty, too large or malformed; says where.
    """
    check_strategy(strategy)
    if strategy == "random":
        check_count(n_iter, limit)
    if isinstance(param_grid, Mapping):
        _check_keys(param_grid, "param_grid")
        if strategy == "random":
            return _draws(param_grid, n_iter, seed)
        return _product(param_grid, limit)
    if isinstance(param_grid, Sequence) and not isinstance(param_grid, str | bytes):
        return _listed(param_grid, strategy, n_iter, seed, limit)
    raise _error("param_grid", "must be a list of mappings, or a mapping of names to lists")


def space(param_grid: Any) -> dict[str, Sequence[Any] | Range]:
    """Return the values or the range of each name, for trials that are chosen one by one.

    Raises:
        DefinitionError: It is no mapping of names to lists and ranges; says where.
    """
    if not isinstance(param_grid, Mapping):
        raise _error(
            "param_grid", "must be a mapping of names to lists or ranges for strategy 'materia'"
        )
    _check_keys(param_grid, "param_grid")
    return {
        key: Range.of(value, f"param_grid.{key}")
        if isinstance(value, Mapping)
        else _values(value, f"param_grid.{key}")
        for key, value in param_grid.items()
    }


def probes(space: Mapping[str, Any]) -> list[Trial]:
    """Return trials that together have every value of a list and both ends of every range."""
    names = space.get("estimator", ())
    found: list[Trial] = []
    for estimator in [{"estimator": name} for name in names] or [{}]:
        for key, values in space.items():
            ends = (values.low, values.high) if isinstance(values, Range) else values
            found += [{**estimator, key: value} for value in ends if key != "estimator"]
        found += [] if len(space) > 1 else [estimator]
    return found


def check_strategy(strategy: Any) -> None:
    """Raise a DefinitionError unless there is such a strategy."""
    if strategy not in STRATEGIES:
        allowed = f"allowed: {', '.join(STRATEGIES)}"
        raise _error("strategy", f"{strategy!r} is no strategy", allowed)


def check_count(n_iter: Any, limit: int) -> None:
    """Raise a DefinitionError unless so many trials may be tried."""
    if type(n_iter) is not int or not 1 <= n_iter <= limit:
        raise _error("n_iter", f"must be a whole number from 1 to {limit}")


def n_combinations(param_grid: Mapping[str, Sequence[Any]]) -> int:
    """Return how many trials a grid has, without making them."""
    return math.prod(len(values) for values in param_grid.values())


def _product(param_grid: Mapping[str, Any], limit: int) -> list[Trial]:
    grid = {key: _values(values, f"param_grid.{key}") for key, values in param_grid.items()}
    count = n_combinations(grid)
    if count > limit:
        sizes = " × ".join(str(len(values)) for values in grid.values())
        raise _error(
            "param_grid",
            f"{sizes} = {count} combinations are more than {limit}",
            "use strategy 'random' with n_iter, or fewer values",
        )
    return [_combination(grid, place) for place in range(count)]


def _combination(grid: Mapping[str, Sequence[Any]], place: int) -> Trial:
    """Return the trial at a place of the product, without those before it."""
    trial: Trial = {}
    for key in reversed(list(grid)):
        place, index = divmod(place, len(grid[key]))
        trial[key] = grid[key][index]
    return {key: trial[key] for key in grid}


def _draws(param_grid: Mapping[str, Any], n_iter: int, seed: int) -> list[Trial]:
    chance = random.Random(seed)
    found = space(param_grid)
    ranges = {key: value for key, value in found.items() if isinstance(value, Range)}
    grid = {key: value for key, value in found.items() if not isinstance(value, Range)}
    count = n_combinations(grid)
    if ranges:
        places = [chance.randrange(count) for _ in range(n_iter)]
    else:
        places = _distinct(chance, count, n_iter)
    drawn = []
    for place in places:
        trial = _combination(grid, place)
        trial |= {key: value.draw(chance) for key, value in ranges.items()}
        drawn.append({key: trial[key] for key in param_grid})
    return drawn


def _distinct(chance: random.Random, count: int, n: int) -> list[int]:
    """Return n different places below a count that may be too large for a range."""
    if count <= 2 * n:
        return chance.sample(range(count), min(n, count))
    places: dict[int, None] = {}
    while len(places) < n:
        places[chance.randrange(count)] = None
    return list(places)


def _listed(
    trials: Sequence[Any], strategy: Strategy, n_iter: int, seed: int, limit: int
) -> list[Trial]:
    if not trials:
        raise _error("param_grid", "is empty", "list at least one trial")
    if len(trials) > limit:
        raise _error("param_grid", f"{len(trials)} trials are more than {limit}")
    if strategy == "random":
        raise _error("strategy", "'random' draws from a mapping of names to lists, not from a list")
    for i, trial in enumerate(trials):
        if not isinstance(trial, Mapping):
            raise _error(f"param_grid[{i}]", "must be a mapping of names to values")
        _check_keys(trial, f"param_grid[{i}]", may_be_empty=True)
        for key, value in trial.items():
            _check_value(value, f"param_grid[{i}].{key}")
    return [dict(trial) for trial in trials]


def _check_keys(found: Mapping[Any, Any], path: str, *, may_be_empty: bool = False) -> None:
    if not found and not may_be_empty:
        raise _error(path, "is empty", "name at least one parameter")
    if len(found) > MAX_KEYS or not all(isinstance(key, str) for key in found):
        raise _error(path, f"must have at most {MAX_KEYS} names, all of them texts")


def _values(values: Any, path: str) -> Sequence[Any]:
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        raise _error(path, "must be a list of values", f"for example [{values!r}]"[:100])
    if not values:
        raise _error(path, "is an empty list", "list a value or leave the name out")
    if len(values) > MAX_TRIALS:
        raise _error(path, f"has more than {MAX_TRIALS} values")
    seen = set()
    for value in values:
        _check_value(value, path)
        key = json.dumps(value, sort_keys=True, default=repr)
        if key in seen:
            raise _error(path, f"lists {value!r} twice")
        seen.add(key)
    return values


def _check_value(value: Any, path: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise _error(path, f"{value} is not a finite number")


def _error(path: str, message: str, hint: str | None = None) -> DefinitionError:
    return DefinitionError(f"{path}: {message}", hint, path=path)
