"""Bounds of a formula whose names lie between bounds (interval arithmetic, Moore 1966).

The true range lies inside the computed one; it is narrower where a name occurs more than once.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

from materia.mdl.tree import Binary, Call, Name, Node, Number, Unary

Interval = tuple[float, float]


def interval(node: Node, box: Mapping[str, Interval]) -> Interval | None:
    """Return between which values a formula of constraints lies.

    Args:
        node: Tree without powers and functions.
        box: Lower and upper bound for each name.

    Returns:
        None where it is not known: a divisor that may be zero, an overflow, a name without bounds.
    """
    match node:
        case Number(value):
            return value, value
        case Name(name):
            return box.get(name)
        case Unary(_, operand):
            inner = interval(operand, box)
            return None if inner is None else (-inner[1], -inner[0])
        case Binary(op, left, right):
            a, b = interval(left, box), interval(right, box)
            return None if a is None or b is None else _combined(op, a, b)
        case Call():
            return None


def _combined(op: str, a: Interval, b: Interval) -> Interval | None:
    if op == "+":
        ends = [a[0] + b[0], a[1] + b[1]]
    elif op == "-":
        ends = [a[0] - b[1], a[1] - b[0]]
    elif op == "*":
        ends = [x * y for x in a for y in b]
    elif op == "/" and not b[0] <= 0 <= b[1]:
        ends = [x / y for x in a for y in b]
    else:
        return None
    return (min(ends), max(ends)) if all(isfinite(end) for end in ends) else None
