"""Where something stands in a definition: its path, and its line when there was a text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

Path = tuple[str | int, ...]

_SIMPLE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")

_STEP = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*)|\[([0-9]+)\]")


@dataclass(slots=True)
class Place:
    """The line of a value, counted from 1, and the places of what is inside it."""

    line: int
    inside: dict[str | int, Place] = field(default_factory=dict)

    def at(self, path: Path) -> Place:
        """Return the place of `path`, or of the nearest part of it that was written down."""
        here = self
        for step in path:
            if step not in here.inside:
                break
            here = here.inside[step]
        return here


def steps(text: str) -> Path:
    """Return the path that `written` made this text of; keys that it quoted are not found again."""
    return tuple(int(found[1]) if found[1] else found[0] for found in _STEP.findall(text))


def written(path: Iterable[str | int]) -> str:
    """Return a path as people write it: ``parameters[2].bounds``."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif not _SIMPLE.fullmatch(step):
            text += f"[{step[:40]!r}]"
        else:
            text += f".{step}" if text else step
    return text
