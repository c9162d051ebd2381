"""Numerics on one thread: sums come out the same to the last bit, and workers do not crowd."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def single_threaded(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function with every BLAS and OpenMP pool limited to one thread."""

    @wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> R:
        # scipy brings a BLAS of its own, which must be there before limits are set.
        import scipy.linalg.lapack  # noqa: F401

        with _pools(len(sys.modules)).limit(limits=1):
            return function(*args, **kwargs)

    return limited


@lru_cache(maxsize=1)
def _pools(n_modules: int) -> Any:
    """Return the pools of the process; looking for them takes milliseconds.

    Args:
        n_modules: How many modules are loaded: only an import brings new pools.
    """
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
