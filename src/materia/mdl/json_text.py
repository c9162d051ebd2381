"""Say where a text that is meant to be JSON is none."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

_MEANT = re.compile(r'\s*\{\s*"')


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
        return Fault(
            f"this is not valid JSON: line {error.lineno}, column {error.colno}: {what}",
            error.lineno,
            "check quotes, commas and brackets there",
        )
    except (RecursionError, ValueError):
        return None
    return None
