"""The grammar of constraints and formulas, parsed to a checked tree and never handed to Python.

    relation  = sum [ ("<=" | ">=" | "<" | ">" | "==") sum ]
    sum       = product { ("+" | "-") product }
    product   = unary { ("*" | "/") unary }
    unary     = [ "-" | "+" ] unary | power
    power     = atom [ "**" ["-" | "+"] number ]        formulas only
    atom      = number | name | "(" sum ")" | function "(" sum { "," sum } ")"

Functions and powers belong to formulas (``functions=True``); constraints do without. Arithmetic is
that of IEEE 754: a division by zero gives an infinity, an undefined result gives NaN, nothing is
raised. A violation that is NaN is not <= 0, so an undefined constraint counts as broken.
"""

from __future__ import annotations

import math
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from materia.errors import DefinitionError

MAX_LENGTH = 4000
"""Characters of one expression."""
MAX_DEPTH = 40
"""Parentheses, calls and signs inside each other."""
MAX_OPERATIONS = 400
"""Operators of one expression; also bounds the height of its tree, which is walked recursively."""
MAX_EXPONENT = 20.0
"""Largest magnitude of the exponent of ``**``."""
EQUALITY_TOLERANCE = 1e-9
"""``a == b`` holds when they differ by at most this times max(1, abs(a), abs(b))."""
STRICT_MARGIN = sys.float_info.min
"""Added to the violation of ``<`` and ``>``, so that equal sides are a violation."""

RELATIONS = ("<=", ">=", "==", "<", ">")
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
"""Functions of formulas, with the least and the greatest number of arguments."""


@dataclass(frozen=True, slots=True)
class Number:
    """A finite constant."""

    value: float


@dataclass(frozen=True, slots=True)
class Name:
    """A parameter, part or outcome; `column` counts from 1."""

    name: str
    column: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """``-operand``."""

    op: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """``left op right`` with op one of + - * / or, in formulas, ** with a Number on its right."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Call:
    """One of `FUNCTIONS` applied to arguments."""

    function: str
    arguments: tuple[Node, ...]


Node = Number | Name | Unary | Binary | Call


@dataclass(frozen=True)
class Expression:
    """A parsed formula, or a relation between two of them.

    `right` and `relation` are None for a plain formula.
    """

    text: str
    left: Node = field(repr=False, compare=False)
    relation: str | None = field(default=None, repr=False, compare=False)
    right: Node | None = field(default=None, repr=False, compare=False)
    columns: Mapping[str, int] = field(default_factory=dict, repr=False, compare=False)
    """Where each name stands first, counted from 1."""

    @property
    def names(self) -> frozenset[str]:
        """Names that need a value."""
        return frozenset(self.columns)

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """Return the value of a plain formula.

        Args:
            values: A number or an array for each name; arrays are combined element by element.

        Raises:
            DefinitionError: The expression is a relation, or a name has no numeric value.
        """
        if self.relation is not None:
            raise DefinitionError(
                f"'{_shorten(self.text)}' compares two values where one value is needed",
                f"remove '{self.relation}' and what follows it",
            )
        with _quiet(values):
            return _compute(self.left, values)

    def violation(self, values: Mapping[str, Any]) -> Any:
        """Return by how much the relation is broken; it holds where the amount is <= 0.

        ``a <= b`` and ``a < b`` give a - b, ``a >= b`` and ``a > b`` give b - a; the strict ones
        add `STRICT_MARGIN`, which only matters where both sides are equal. ``a == b`` gives
        abs(a - b) less a tolerance of `EQUALITY_TOLERANCE` times max(1, abs(a), abs(b)).

        Args:
            values: A number or an array for each name; arrays are combined element by element.

        Raises:
            DefinitionError: The expression is no relation, or a name has no numeric value.
        """
        if self.right is None:
            raise DefinitionError(
                f"'{_shorten(self.text)}' is a value where a relation is needed",
                f"compare it with something, for example '{_shorten(self.text, 30)} <= 1'",
            )
        with _quiet(values):
            left, right = _compute(self.left, values), _compute(self.right, values)
            match self.relation:
                case "<=":
                    return left - right
                case ">=":
                    return right - left
                case "<":
                    return left - right + STRICT_MARGIN
                case ">":
                    return right - left + STRICT_MARGIN
                case _:
                    scale = _extreme("max", _extreme("max", abs(left), abs(right)), 1.0)
                    return abs(left - right) - EQUALITY_TOLERANCE * scale


def parse(text: str, *, functions: bool = False) -> Expression:
    """Parse one expression.

    Args:
        text: What the user wrote.
        functions: Accept ``**`` and `FUNCTIONS`, as formulas may and constraints may not.

    Raises:
        DefinitionError: The text is not in the grammar; the message names the column.
    """
    if len(text) > MAX_LENGTH:
        raise DefinitionError(
            f"the expression has {len(text)} characters; at most {MAX_LENGTH} are allowed",
            "split it into several expressions",
        )
    return _Parser(text, functions).expression()


# Tokens


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    column: int


_SPACE = re.compile(r"[ \t\r\n]+")
_NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r"\*\*|//|<=|>=|==|!=|[-+*/()<>,]")

_INSTEAD = {
    "=": "write == for equality, or <= or >=",
    "!=": "only <= >= < > == can compare",
    "!": "only <= >= < > == can compare",
    "≤": "write <=",
    "≥": "write >=",
    "−": "write - (the hyphen of the keyboard)",
    "–": "write - (the hyphen of the keyboard)",
    "×": "write *",
    "·": "write *",
    "÷": "write /",
    "//": "write /",
    "²": "write the multiplication out: x * x",
    "^": "write the multiplication out: x * x (or, in a formula, x ** 2)",
    "%": "write percentages as numbers",
    "'": "text is not part of the grammar, only numbers and names",
    '"': "text is not part of the grammar, only numbers and names",
    "[": "use round parentheses",
    "{": "use round parentheses",
    "&": "write each condition as a constraint of its own",
    "|": "conditions cannot be alternatives; write each as a constraint of its own",
    ".": "write numbers as 0.5; names have no parts",
}
_WORDS = {
    "and": "write each condition as a constraint of its own",
    "or": "conditions cannot be alternatives; write each as a constraint of its own",
    "not": "turn the relation round instead",
    "if": "conditions are not part of the grammar",
    "lambda": "functions cannot be defined here",
}
_GRAMMAR = "allowed are numbers, names, + - * / ( ) and <= >= < > =="


def _fail(column: int, what: str, fix: str = _GRAMMAR) -> DefinitionError:
    return DefinitionError(f"column {column}: {what}", fix)


def _shorten(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        if space := _SPACE.match(text, at):
            at = space.end()
            continue
        for kind, pattern in (("number", _NUMBER), ("name", _NAME), ("operator", _OPERATOR)):
            if found := pattern.match(text, at):
                yield _Token(kind, found.group(), at + 1)
                at = found.end()
                break
        else:
            raise _strange(text[at], at + 1)
    yield _Token("end", "", len(text) + 1)


def _strange(character: str, column: int) -> DefinitionError:
    if character.isascii() and character.isprintable():
        what = f"'{character}' is not part of the grammar"
    else:
        title = unicodedata.name(character, "a control character")
        what = f"U+{ord(character):04X} ({title}) is not part of the grammar"
        if character.isalpha():
            what += "; names contain only A-Z, a-z, 0-9 and _"
    if character.isalpha():
        return _fail(column, what, "type the name again: some letters only look like a Latin one")
    if character.isspace():
        return _fail(column, what, "replace it with an ordinary space")
    return _fail(column, what, _INSTEAD.get(character, _GRAMMAR))


# Parser

_BINDING = {"+": 1, "-": 1, "*": 2, "/": 2}


class _Parser:
    def __init__(self, text: str, functions: bool) -> None:
        self._text = text
        self._functions = functions
        self._stream = _tokens(text)
        self._token = next(self._stream)
        self._columns: dict[str, int] = {}
        self._operations = 0
        self._depth = 0

    def expression(self) -> Expression:
        if self._token.kind == "end":
            raise _fail(1, "the expression is empty", "write one, for example 'a + b <= 1'")
        left = self._sum()
        relation, right = None, None
        if self._token.text in RELATIONS:
            relation = self._take().text
            right = self._sum()
        if self._token.kind != "end":
            raise self._unexpected(after_relation=relation)
        return Expression(self._text, left, relation, right, self._columns)

    def _take(self) -> _Token:
        token = self._token
        if token.kind != "end":
            self._token = next(self._stream)
        return token

    def _sum(self, binding: int = 1) -> Node:
        """Parse operators that bind at least as tightly as `binding` (precedence climbing)."""
        left = self._prefix()
        while (strength := _BINDING.get(self._token.text, 0)) >= binding:
            op = self._operation()
            left = Binary(op.text, left, self._sum(strength + 1))
        return left

    def _prefix(self) -> Node:
        if self._token.text not in ("-", "+"):
            return self._power()
        sign = self._operation()
        with self._nested(sign):
            operand = self._prefix()
        if sign.text == "+":
            return operand
        return Number(-operand.value) if isinstance(operand, Number) else Unary("-", operand)

    def _power(self) -> Node:
        base = self._atom()
        if self._token.text != "**":
            return base
        op = self._operation()
        if not self._functions:
            raise _fail(
                op.column,
                "powers (**) are not available in constraints",
                "write the multiplication out: x * x",
            )
        sign = self._take().text if self._token.text in ("-", "+") else ""
        exponent = self._token
        if exponent.kind != "number":
            raise _fail(
                exponent.column,
                "the exponent of ** must be a number",
                f"write a number between -{MAX_EXPONENT:g} and {MAX_EXPONENT:g}, as in x ** 2",
            )
        value = float(sign + self._take().text)
        if abs(value) > MAX_EXPONENT:
            raise _fail(
                exponent.column,
                f"the exponent {_shorten(sign + exponent.text, 20)} is too large",
                f"exponents lie between -{MAX_EXPONENT:g} and {MAX_EXPONENT:g}",
            )
        if self._token.text == "**":
            raise _fail(
                self._token.column,
                "a power of a power is ambiguous",
                "set parentheses: (x ** 2) ** 3",
            )
        return Binary("**", base, Number(value))

    def _atom(self) -> Node:
        token = self._token
        if token.kind == "number":
            return self._number()
        if token.kind == "name":
            self._take()
            return self._call(token) if self._token.text == "(" else self._name(token)
        if token.text == "(":
            self._take()
            with self._nested(token):
                inner = self._sum()
            if self._token.text != ")":
                raise self._unclosed(token)
            self._take()
            return inner
        if token.kind == "end":
            raise _fail(token.column, "the expression ends where a number or a name should follow")
        raise _fail(
            token.column,
            f"'{token.text}' stands where a number or a name should be",
            _INSTEAD.get(token.text, _GRAMMAR),
        )

    def _number(self) -> Number:
        token = self._take()
        value = float(token.text)
        if math.isinf(value):
            raise _fail(
                token.column,
                f"the number {_shorten(token.text, 20)} is too large",
                f"numbers lie between -{sys.float_info.max:.2g} and {sys.float_info.max:.2g}",
            )
        following = self._token
        if following.kind == "name" and following.column == token.column + len(token.text):
            raise _fail(
                following.column,
                f"'{_shorten(token.text + following.text, 40)}' is neither a number nor a name",
                f"write a multiplication as {_shorten(token.text, 20)} * "
                f"{_shorten(following.text, 20)}; names begin with a letter",
            )
        return Number(value)

    def _name(self, token: _Token) -> Name:
        if token.text.startswith("__"):
            raise _fail(
                token.column,
                f"'{_shorten(token.text)}' is not allowed as a name",
                "names that begin with two underscores are refused in expressions",
            )
        self._columns.setdefault(token.text, token.column)
        return Name(token.text, token.column)

    def _call(self, token: _Token) -> Call:
        name = _shorten(token.text, 40)
        if not self._functions:
            raise _fail(
                token.column,
                f"'{name}(' calls a function; constraints have none",
                f"write a multiplication as {name} * (…); {_GRAMMAR}",
            )
        if token.text not in FUNCTIONS:
            raise _fail(
                token.column,
                f"there is no function '{name}'",
                f"functions are {', '.join(FUNCTIONS)}; write a multiplication as {name} * (…)",
            )
        opening = self._take()
        arguments: list[Node] = []
        with self._nested(opening):
            if self._token.text != ")":
                arguments.append(self._sum())
            while self._token.text == ",":
                self._operation()
                arguments.append(self._sum())
        if self._token.text != ")":
            raise self._unclosed(opening)
        self._take()
        least, greatest = FUNCTIONS[token.text]
        if len(arguments) < least or (greatest is not None and len(arguments) > greatest):
            wanted = "one argument" if greatest == 1 else f"at least {least} arguments"
            raise _fail(
                token.column,
                f"{name}() takes {wanted}, not {len(arguments)}",
                f"for example {name}(x)" if greatest == 1 else f"for example {name}(x, y)",
            )
        return Call(token.text, tuple(arguments))

    def _operation(self) -> _Token:
        self._operations += 1
        if self._operations > MAX_OPERATIONS:
            raise _fail(
                self._token.column,
                f"the expression has more than {MAX_OPERATIONS} operations",
                "split it into several expressions",
            )
        return self._take()

    def _nested(self, token: _Token) -> AbstractContextManager[None]:
        return _Nesting(self, token)

    def _unclosed(self, opening: _Token) -> DefinitionError:
        if self._token.kind == "end":
            return _fail(
                opening.column, "the parenthesis '(' is never closed", "add the missing ')'"
            )
        if self._token.text in RELATIONS:
            return _fail(
                self._token.column,
                f"'{self._token.text}' stands inside parentheses",
                "compare whole sums only: (a + b) <= 1",
            )
        return self._unexpected(after_relation=None)

    def _unexpected(self, after_relation: str | None) -> DefinitionError:
        token = self._token
        shown = f"'{_shorten(token.text, 40)}'"
        if token.text in RELATIONS and after_relation is not None:
            return _fail(
                token.column,
                f"a second relation {shown} follows '{after_relation}'",
                "write each relation as a constraint of its own: a <= b and b <= c are two",
            )
        if token.text == ")":
            return _fail(token.column, "')' closes a parenthesis that was never opened")
        if token.text in _WORDS:
            return _fail(token.column, f"{shown} is not part of the grammar", _WORDS[token.text])
        if token.kind in ("name", "number") or token.text == "(":
            return _fail(
                token.column,
                f"an operator is missing before {shown}",
                "write a multiplication as a * b",
            )
        return _fail(
            token.column, f"{shown} is not expected here", _INSTEAD.get(token.text, _GRAMMAR)
        )


class _Nesting(AbstractContextManager[None]):
    """One more level of nesting while it is open."""

    def __init__(self, parser: _Parser, token: _Token) -> None:
        self._parser = parser
        self._token = token

    def __enter__(self) -> None:
        self._parser._depth += 1
        if self._parser._depth > MAX_DEPTH:
            raise _fail(
                self._token.column,
                f"the expression is nested more than {MAX_DEPTH} levels deep",
                "remove parentheses or split the expression",
            )

    def __exit__(self, *_: object) -> None:
        self._parser._depth -= 1


# Arithmetic, the same for numbers and for arrays


def _quiet(values: Mapping[str, Any]) -> AbstractContextManager[Any]:
    """Silence warnings of the arrays' library about infinities and NaN, which are answers here."""
    for value in values.values():
        if namespace := _namespace(value):
            return getattr(namespace, "errstate", _no_state)(all="ignore")
    return nullcontext()


def _no_state(**_: str) -> AbstractContextManager[None]:
    return nullcontext()


def _namespace(value: Any) -> Any:
    """Return the library of an array (array API standard), or None for a plain number."""
    find = getattr(value, "__array_namespace__", None)
    return find() if find is not None else None


def _compute(node: Node, values: Mapping[str, Any]) -> Any:
    match node:
        case Number(value):
            return value
        case Name(name):
            return _value(name, values)
        case Unary(_, operand):
            return -_compute(operand, values)
        case Binary(op, left, right):
            return _OPERATORS[op](_compute(left, values), _compute(right, values))
        case Call(function, arguments):
            return _apply(function, [_compute(argument, values) for argument in arguments])


def _value(name: str, values: Mapping[str, Any]) -> Any:
    try:
        value = values[name]
    except KeyError:
        raise DefinitionError(
            f"there is no value for '{name}'", f"known are {_shorten(', '.join(sorted(values)))}"
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
        f"'{name}' has the value {_shorten(repr(value))}, which is not a number",
        "only numbers can be used in expressions",
    )


def _divide(a: Any, b: Any) -> Any:
    try:
        return a / b
    except ZeroDivisionError:
        return math.nan if a == 0 or a != a else math.copysign(math.inf, a) * math.copysign(1, b)


def _raise(a: Any, b: Any) -> Any:
    try:
        result = a**b
    except ZeroDivisionError:
        return math.inf
    except OverflowError:
        return -math.inf if a < 0 and b % 2 == 1 else math.inf
    return math.nan if isinstance(result, complex) else result


_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _divide,
    "**": _raise,
}


def _apply(function: str, arguments: list[Any]) -> Any:
    first = arguments[0]
    if function in ("min", "max"):
        for other in arguments[1:]:
            first = _extreme(function, first, other)
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


def _extreme(function: str, a: Any, b: Any) -> Any:
    if namespace := _namespace(a) or _namespace(b):
        return getattr(namespace, "minimum" if function == "min" else "maximum")(a, b)
    if a != a or b != b:
        return math.nan
    return min(a, b) if function == "min" else max(a, b)
