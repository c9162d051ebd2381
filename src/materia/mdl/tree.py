"""The tree of an expression: small, frozen, and nothing in it can run."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Number:
    """A finite constant."""

    value: float


@dataclass(frozen=True, slots=True)
class Name:
    """A parameter, a part of a composition or an outcome; `column` counts from 1."""

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
    """A function of `materia.mdl.arithmetic` applied to arguments."""

    function: str
    arguments: tuple[Node, ...]


Node = Number | Name | Unary | Binary | Call
