"""The grammar of constraints and formulas, parsed to a checked tree and never handed to Python.

    relation  = sum [ ("<=" | ">=" | "<" | ">" | "==") sum ]
    sum       = product { ("+" | "-") product }
    product   = unary { ("*" | "/") unary }
    unary     = [ "-" | "+" ] unary | power
    power     = atom [ "**" ["-" | "+"] number ]        formulas only
    atom      = number | name | "(" sum ")" | function "(" sum { "," sum } ")"

Functions and powers belong to formulas (``functions=True``); constraints do without.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from materia.errors import DefinitionError
from materia.mdl.arithmetic import FUNCTIONS, compute, extreme, quiet
from materia.mdl.tokens import GRAMMAR, INSTEAD, Token, error_at, shorten, tokens
from materia.mdl.tree import Binary, Call, Name, Node, Number, Unary

__all__ = ["Binary", "Call", "Expression", "Name", "Node", "Number", "Unary", "parse"]

MAX_LENGTH = 4000
"""Characters of one expression."""
MAX_DEPTH = 40
"""Parentheses, calls and signs inside each other."""
MAX_OPERATIONS = 300
"""Operators of one expression; also bounds the height of its tree, which is walked recursively."""
MAX_EXPONENT = 20
"""Largest magnitude of the exponent of ``**``."""
EQUALITY_TOLERANCE = 1e-9
"""``a == b`` holds when they differ by at most this times max(1, abs(a), abs(b))."""
STRICT_MARGIN = math.ulp(0.0)
"""Added to the violation of ``<`` and ``>``, so that equal sides are a violation."""

RELATIONS = ("<=", ">=", "==", "<", ">")


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
        """Return the value of a plain formula; infinite or NaN where it is undefined.

        Args:
            values: A number or an array for each name; arrays are combined element by element.

        Raises:
            DefinitionError: The expression is a relation, or a name has no numeric value.
        """
        if self.relation is not None:
            raise DefinitionError(
                f"'{shorten(self.text)}' compares two values where one value is needed",
                f"remove '{self.relation}' and what follows it",
            )
        with quiet(values):
            return compute(self.left, values)

    def violation(self, values: Mapping[str, Any]) -> Any:
        """Return by how much the relation is broken; it holds where the amount is <= 0.

        ``a <= b`` and ``a < b`` give a - b, ``a >= b`` and ``a > b`` give b - a; the strict ones
        add `STRICT_MARGIN`, which only matters where both sides are equal. ``a == b`` gives
        abs(a - b) less a tolerance of `EQUALITY_TOLERANCE` times max(1, abs(a), abs(b)).
        The amount is NaN where a side is undefined; NaN is not <= 0, so that counts as broken.

        Args:
            values: A number or an array for each name; arrays are combined element by element.

        Raises:
            DefinitionError: The expression is no relation, or a name has no numeric value.
        """
        if self.right is None:
            raise DefinitionError(
                f"'{shorten(self.text)}' is a value where a relation is needed",
                f"compare it with something: {shorten(self.text, 30)} <= 1",
            )
        with quiet(values):
            left, right = compute(self.left, values), compute(self.right, values)
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
                    scale = extreme("max", extreme("max", abs(left), abs(right)), 1.0)
                    return abs(left - right) - EQUALITY_TOLERANCE * scale


def parse(text: str, *, functions: bool = False) -> Expression:
    """Parse one expression.

    Args:
        text: What the user wrote.
        functions: Accept ``**`` and functions, as formulas may and constraints may not.

    Raises:
        DefinitionError: The text is not in the grammar; the message names the column.
    """
    if len(text) > MAX_LENGTH:
        raise error_at(
            MAX_LENGTH + 1,
            f"the expression has {len(text)} characters; at most {MAX_LENGTH} are allowed",
            "split it into several expressions",
        )
    return _Parser(text, functions).expression()


_BINDING = {"+": 1, "-": 1, "*": 2, "/": 2}
_WORDS = {
    "and": "write each condition as a constraint of its own",
    "or": "conditions cannot be alternatives; write each as a constraint of its own",
    "not": "turn the relation round instead",
    "if": "conditions are not part of the grammar",
    "lambda": "functions cannot be defined here",
}
"""Words of other languages that people try, and what to do instead."""


class _Parser:
    """Recursive descent; the depth is bounded by `MAX_DEPTH`, the height by `MAX_OPERATIONS`."""

    def __init__(self, text: str, functions: bool) -> None:
        self._text = text
        self._functions = functions
        self._stream = tokens(text)
        self._previous = Token("start", "", 0)
        self._token = next(self._stream)
        self._columns: dict[str, int] = {}
        self._n_operations = 0
        self._depth = 0

    def expression(self) -> Expression:
        if self._token.kind == "end":
            raise error_at(1, "the expression is empty", "write one, for example a + b <= 1")
        left = self._sum()
        relation, right = None, None
        if self._token.text in RELATIONS:
            relation = self._take().text
            right = self._sum()
        if self._token.kind != "end":
            raise self._unexpected(relation)
        return Expression(self._text, left, relation, right, self._columns)

    def _take(self) -> Token:
        self._previous = self._token
        if self._token.kind != "end":
            self._token = next(self._stream)
        return self._previous

    def _operation(self) -> Token:
        self._n_operations += 1
        if self._n_operations > MAX_OPERATIONS:
            raise error_at(
                self._token.column,
                f"the expression has more than {MAX_OPERATIONS} operations",
                "split it into several expressions",
            )
        return self._take()

    @contextmanager
    def _nested(self, opening: Token) -> Iterator[None]:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise error_at(
                opening.column,
                f"the expression is nested more than {MAX_DEPTH} levels deep",
                "remove parentheses or split the expression",
            )
        yield
        self._depth -= 1

    def _sum(self, binding: int = 1) -> Node:
        """Parse operators that bind at least as tightly as `binding` (precedence climbing)."""
        left = self._unary()
        while (strength := _BINDING.get(self._token.text, 0)) >= binding:
            op = self._operation()
            left = Binary(op.text, left, self._sum(strength + 1))
        return left

    def _unary(self) -> Node:
        if self._token.text not in ("-", "+"):
            return self._power()
        sign = self._operation()
        with self._nested(sign):
            operand = self._unary()
        if sign.text == "+":
            return operand
        return Number(-operand.value) if isinstance(operand, Number) else Unary("-", operand)

    def _power(self) -> Node:
        base = self._atom()
        if self._token.text != "**":
            return base
        op = self._operation()
        if not self._functions:
            raise error_at(
                op.column,
                "powers (**) are not available in constraints",
                "write the multiplication out: x * x",
            )
        exponent = self._exponent()
        if self._token.text == "**":
            raise error_at(
                self._token.column,
                "a power of a power is ambiguous",
                "set parentheses: (x ** 2) ** 3",
            )
        return Binary("**", base, exponent)

    def _exponent(self) -> Number:
        allowed = f"exponents are numbers between -{MAX_EXPONENT} and {MAX_EXPONENT}, as in x ** 2"
        sign = self._take().text if self._token.text in ("-", "+") else ""
        token = self._token
        if token.kind != "number":
            raise error_at(token.column, "the exponent of ** must be a number", allowed)
        value = self._number().value
        if value > MAX_EXPONENT:
            shown = shorten(sign + token.text, 20)
            raise error_at(token.column, f"the exponent {shown} is too large", allowed)
        return Number(-value if sign == "-" else value)

    def _atom(self) -> Node:
        token = self._token
        if token.kind == "number":
            return self._number()
        if token.kind == "name":
            self._take()
            return self._call(token) if self._token.text == "(" else self._name(token)
        if token.text == "(":
            with self._nested(self._take()):
                inner = self._sum()
            self._close(token)
            return inner
        if token.kind == "end":
            raise error_at(
                token.column, "the expression ends where a number or a name should follow"
            )
        raise error_at(
            token.column,
            f"{token.text} stands where a number or a name should be",
            INSTEAD.get(token.text, GRAMMAR),
        )

    def _number(self) -> Number:
        token = self._take()
        shown = shorten(token.text, 20)
        value = float(token.text)
        if math.isinf(value):
            raise error_at(
                token.column, f"the number {shown} is too large", "numbers stay below 1.8e308"
            )
        following = self._token
        if following.kind == "name" and following.column == token.column + len(token.text):
            raise error_at(
                following.column,
                f"'{shorten(token.text + following.text, 40)}' is neither a number nor a name",
                f"write a multiplication as {shown} * {shorten(following.text, 20)}; "
                "names begin with a letter",
            )
        return Number(value)

    def _name(self, token: Token) -> Name:
        if token.text.startswith("__"):
            raise error_at(
                token.column,
                f"'{shorten(token.text)}' is not allowed as a name",
                "names that begin with two underscores are refused in expressions",
            )
        self._columns.setdefault(token.text, token.column)
        return Name(token.text, token.column)

    def _call(self, token: Token) -> Call:
        name = shorten(token.text, 40)
        if not self._functions:
            raise error_at(
                token.column,
                f"'{name}(' calls a function; constraints have no functions",
                f"write a multiplication as {name} * (…); {GRAMMAR}",
            )
        if token.text not in FUNCTIONS:
            raise error_at(
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
        self._close(opening)
        least, greatest = FUNCTIONS[token.text]
        if len(arguments) < least or (greatest is not None and len(arguments) > greatest):
            wanted = "one argument" if greatest == 1 else f"at least {least} arguments"
            raise error_at(
                token.column,
                f"{name}() takes {wanted}, not {len(arguments)}",
                f"for example {name}(x)" if greatest == 1 else f"for example {name}(x, y)",
            )
        return Call(token.text, tuple(arguments))

    def _close(self, opening: Token) -> None:
        if self._token.text == ")":
            self._take()
            return
        if self._token.kind == "end":
            raise error_at(opening.column, "the parenthesis ( is never closed", "add the missing )")
        if self._token.text in RELATIONS:
            raise error_at(
                self._token.column,
                f"{self._token.text} stands inside parentheses",
                "compare whole sums only: (a + b) <= 1",
            )
        raise self._unexpected(None)

    def _unexpected(self, relation: str | None) -> DefinitionError:
        """Return the error of a token after a complete sum, `relation` being already there."""
        token = self._token
        for word in (self._previous, token):
            if word.text in _WORDS:
                return error_at(
                    word.column, f"'{word.text}' is not part of the grammar", _WORDS[word.text]
                )
        if token.text in RELATIONS and relation is not None:
            return error_at(
                token.column,
                f"a second relation, {token.text}, follows {relation}",
                "write each relation as a constraint of its own: a <= b and b <= c are two",
            )
        if token.text == ")":
            return error_at(
                token.column, ") closes a parenthesis that was never opened", "remove it"
            )
        if token.kind in ("name", "number") or token.text == "(":
            return error_at(
                token.column,
                f"an operator is missing before '{shorten(token.text, 40)}'",
                "write a multiplication as a * b",
            )
        return error_at(
            token.column, f"{token.text} is not expected here", INSTEAD.get(token.text, GRAMMAR)
        )
