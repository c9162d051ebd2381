"""Say where a text that is meant to be JSON is none."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import NamedTuple

_MEANT = re.compile(r'\s*\{\s*"')


MOST_TO_CLOSE = 20
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')


class Fault(NamedTuple):
    """What is wrong with a text, on which line, and what to do."""

    message: str
    line: int
    fix: str


def is_meant(text: str) -> bool:
    """Return whether a text begins like a JSON object with a key in quotes."""
    return _MEANT.match(text) is not None


def fault(text: str) -> Fault | None:
    """Return the first fault of a text as JSON; None when there is none.

    What is JSON but no definition (too deep, a bare NaN, a key given twice) is left to others.
    """
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        what = error.msg[:1].lower() + error.msg[1:]
        fix = "check quotes, commas and brackets there"
        if error.pos >= len(text.rstrip()) and (closing := _closing(text)):
            what, fix = "it ends before it is closed", f"add {closing} at the end"
        return Fault(
            f"this is not valid JSON: line {error.lineno}, column {error.colno}: {what}",
            error.lineno,
            fix,
        )
    except (RecursionError, ValueError):
        return None
    return None


def bare_constant(text: str) -> str | None:
    """Return the first NaN, Infinity or -Infinity in a text that is JSON but for these."""
    found: list[str] = []
    with suppress(RecursionError, ValueError):
        json.loads(text, parse_constant=found.append)
    return found[0] if found else None


def _closing(text: str) -> str:
    """Return the brackets that close what is open at the end of a text."""
    opened: list[str] = []
    for bracket in re.findall(r"[][{}]", _QUOTED.sub("", text)):
        if bracket in "[{":
            opened.append("]" if bracket == "[" else "}")
        elif not opened or opened.pop() != bracket:
            return ""
    return "".join(reversed(opened)) if len(opened) <= MOST_TO_CLOSE else ""
