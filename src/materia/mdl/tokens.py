"""Cut the text of an expression into tokens, and say where and why it cannot be read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from materia.errors import DefinitionError

GRAMMAR = "allowed are numbers, names, + - * / ( ) and <= >= < > =="

INSTEAD: Mapping[str, str] = {
    "=": "write == for equality, or <= or >=",
    "!=": "only <= >= < > == can compare",
    "!": "only <= >= < > == can compare",
    "≤": "write <=",
    "≥": "write >=",
    "−": "write the hyphen of the keyboard, -",
    "–": "write the hyphen of the keyboard, -",
    "×": "write *",
    "·": "write *",
    "÷": "write /",
    "//": "write /",
    "²": "write the multiplication out: x * x",
    "^": "write the multiplication out: x * x, or in a formula x ** 2",
    "%": "write percentages as numbers",
    "'": "text is not part of the grammar, only numbers and names are",
    '"': "text is not part of the grammar, only numbers and names are",
    "[": "use round parentheses",
    "{": "use round parentheses",
    "&": "write each condition as a constraint of its own",
    "|": "conditions cannot be alternatives; write each as a constraint of its own",
    ".": "write numbers as 0.5; names have no parts",
}
"""What to write instead of a sign that is not part of the grammar."""

_PATTERNS = {
    "number": re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"),
    "name": re.compile(r"[A-Za-z_][A-Za-z0-9_]*"),
    "operator": re.compile(r"\*\*|//|<=|>=|==|!=|[-+*/()<>,]"),
}
_SPACE = re.compile(r"[ \t\r\n]+")


@dataclass(frozen=True, slots=True)
class Token:
    """A number, a name, an operator or the end; `column` counts from 1."""

    kind: str
    text: str
    column: int


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of `text`; the last one is of kind ``end``.

    Raises:
        DefinitionError: A character belongs to no token.
    """
    at = 0
    while at < len(text):
        if space := _SPACE.match(text, at):
            at = space.end()
            continue
        for kind, pattern in _PATTERNS.items():
            if found := pattern.match(text, at):
                yield Token(kind, found.group(), at + 1)
                at = found.end()
                break
        else:
            raise _strange(text[at], at + 1)
    yield Token("end", "", len(text) + 1)


def error_at(column: int, what: str, fix: str = GRAMMAR) -> DefinitionError:
    """Return the error of one column."""
    return DefinitionError(f"column {column}: {what}", fix)


def shorten(text: str, length: int = 60) -> str:
    """Return at most `length` characters of a text that is quoted in a message."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _strange(character: str, column: int) -> DefinitionError:
    if character.isascii() and character.isprintable():
        what = f"{character} is not part of the grammar"
        return error_at(column, what, INSTEAD.get(character, GRAMMAR))
    title = unicodedata.name(character, "a control character")
    what = f"U+{ord(character):04X} ({title}) is not part of the grammar"
    if character.isalpha():
        return error_at(
            column,
            f"{what}; names contain only A-Z, a-z, 0-9 and _",
            "type the name again: some letters only look like a Latin one",
        )
    if character.isspace():
        return error_at(column, what, "replace it with an ordinary space")
    return error_at(column, what, INSTEAD.get(character, GRAMMAR))
