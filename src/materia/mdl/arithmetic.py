"""The value of a tree, the same for numbers and for arrays, after IEEE 754.

A division by zero gives an infinity and an undefined result gives NaN; nothing is raised. Arrays
bring their own library (array API standard), so that none is imported here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from materia.errors import DefinitionError
from materia.mdl.tokens import shorten
from materia.mdl.tree import Binary, Call, Name, Node, Number, Unary

FUNCTIONS: Mapping[str, tuple[int, int | None]] = {
    "exp": (1, 1),
    "log": (1, 1),
    "sqrt": (1, 1),
    "sin": (1, 1),
    "cos": (1, 1),
    "abs": (1, 1),
    "min": (2, None),
    "max": (2, None),
}
"""Functions of formulas, with the least and the greatest number of arguments; log is natural."""


def compute(node: Node, values: Mapping[str, Any]) -> Any:
    """Return the value of `node`: a float, or an array where a name has an array.

    Raises:
        DefinitionError: A name has no value, or one that is not a number.
    """
    match node:
        case Number(value):
            return value
        case Name(name):
            return _value(name, values)
        case Unary(_, operand):
            return -compute(operand, values)
        case Binary(op, left, right):
            return _OPERATORS[op](compute(left, values), compute(right, values))
        case Call(function, arguments):
            return _apply(function, [compute(argument, values) for argument in arguments])


def extreme(function: str, a: Any, b: Any) -> Any:
    """Return the ``min`` or the ``max`` of two values; NaN where one of them is NaN."""
    if namespace := _namespace(a) or _namespace(b):
        return getattr(namespace, "minimum" if function == "min" else "maximum")(a, b)
    if a != a or b != b:
        return math.nan
    return min(a, b) if function == "min" else max(a, b)


def quiet(values: Mapping[str, Any]) -> AbstractContextManager[Any]:
    """Silence the arrays' library about infinities and NaN, which are answers here."""
    for value in values.values():
        if errstate := getattr(_namespace(value), "errstate", None):
            silence: AbstractContextManager[Any] = errstate(all="ignore")
            return silence
    return nullcontext()


def _namespace(value: Any) -> Any:
    """Return the library of an array, or None for a plain number."""
    find = getattr(value, "__array_namespace__", None)
    return find() if find is not None else None


def _value(name: str, values: Mapping[str, Any]) -> Any:
    try:
        value = values[name]
    except KeyError:
        known = shorten(", ".join(sorted(values))) or "none"
        raise DefinitionError(
            f"there is no value for '{shorten(name)}'", f"names with a value: {known}"
        ) from None
    # Floats from the start: integers of Python grow without limit, those of arrays wrap around.
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return math.copysign(math.inf, value)
    if _namespace(value) is not None:
        return value * 1.0
    raise DefinitionError(
        f"'{name}' is {shorten(repr(value))}, which is not a number",
        "only numbers can be used in expressions",
    )


def _divide(a: Any, b: Any) -> Any:
    try:
        return a / b
    except ZeroDivisionError:
        return math.nan if a == 0 or a != a else math.copysign(math.inf, a) * math.copysign(1, b)


def _power(a: Any, b: float) -> Any:
    try:
        result = a**b
    except ZeroDivisionError:
        return math.copysign(math.inf, a) if b % 2 == 1 else math.inf
    except OverflowError:
        return -math.inf if a < 0 and b % 2 == 1 else math.inf
    return math.nan if isinstance(result, complex) else result


_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _divide,
    "**": _power,
}


def _apply(function: str, arguments: list[Any]) -> Any:
    first = arguments[0]
    if function in ("min", "max"):
        for other in arguments[1:]:
            first = extreme(function, first, other)
        return first
    if function == "abs":
        return abs(first)
    if namespace := _namespace(first):
        return getattr(namespace, function)(first)
    try:
        return float(getattr(math, function)(first))
    except OverflowError:
        return math.inf
    except ValueError:
        return -math.inf if function == "log" and first == 0 else math.nan
