"""The points that every optimiser begins with, and the definition of a campaign that gives them.

They are this library's initial design: scrambled Sobol points mapped to the user's units, and
uniform ones on the constrained simplex of a composition. The rows of a pool are drawn at random.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from declaration import Declaration, Parameter, Point

from materia import Campaign


def definition(declared: Declaration) -> dict[str, Any]:
    """Return a problem as a definition of this library."""
    objectives: list[dict[str, Any]] = [{"name": f"y{j}"} for j in range(declared.m)]
    if declared.reference_point is not None:
        for objective, value in zip(objectives, declared.reference_point, strict=True):
            objective["reference_point"] = value
    constraint = declared.outcome_constraint
    return {
        "name": "benchmark",
        "parameters": _parameters(declared),
        "objectives": objectives,
        "outcome_constraints": [{"expression": constraint}] if constraint else [],
        "optimizer": {
            "budget": max(declared.budget, declared.n_start),
            "batch_size": declared.batch_size,
            "seed": declared.seed,
            "active_learning": {"initial_samples": declared.n_start},
        },
    }


def _parameters(declared: Declaration) -> list[dict[str, Any]]:
    if declared.total is not None:
        parts = [{"name": p.name, "bounds": list(p.bounds)} for p in declared.parameters]
        return [{"name": "mixture", "type": "composition", "total": declared.total, "parts": parts}]
    return [_parameter(parameter) for parameter in declared.parameters]


def _parameter(parameter: Parameter) -> dict[str, Any]:
    if parameter.choices is not None:
        return {
            "name": parameter.name,
            "type": "categorical",
            "choices": list(parameter.choices),
        }
    low, high = parameter.bounds
    if parameter.is_integer:
        bounds = [int(low), int(high)]
        return {"name": parameter.name, "type": "integer", "bounds": bounds}
    return {"name": parameter.name, "type": "continuous", "bounds": [low, high]}


@cache
def points(declared: Declaration, n: int) -> list[Point]:
    """Return the first n points of the sequence that belongs to the seed; not to be changed."""
    if declared.pool is not None:
        rows = np.random.default_rng([declared.seed, 10]).permutation(len(declared.pool))[:n]
        return [list(declared.pool[row]) for row in rows]
    plain = replace(
        declared, m=1, reference_point=None, outcome_constraint=None, n_start=n, budget=n
    )
    asked = Campaign.from_dict(definition(plain)).ask(n)
    return [[candidate.params[name] for name in declared.names] for candidate in asked]
