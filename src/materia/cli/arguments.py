"""Arguments of tasks as words of a command line: NAME=VALUE, where a value is JSON or text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import typer

PREFIX = "tasks."


def full_name(task: str) -> str:
    """Return the whole name of a task, of which people write the end."""
    return task if task.startswith(PREFIX) else f"{PREFIX}{task}"


def settings_of(words: Sequence[str] | None) -> dict[str, Any]:
    """Return values by their names; what is no JSON is text."""
    return {name: _value(text) for name, text in map(_parted, words or [])}


def arguments_of(task: str, words: Sequence[str] | None) -> dict[str, Any]:
    """Return the arguments of a task; where it takes a text, ``123`` is one.

    A text in quotes is one without them, and ``null`` is none.
    """
    found = settings_of(words)
    # Most words are texts anyway; the types of tasks are looked up only where they matter.
    others = {name for name, value in found.items() if not isinstance(value, str | None)}
    if not others:
        return found
    from materia.services.tasks import texts_of

    texts = others & texts_of(full_name(task))
    return {
        name: text if name in texts else found[name] for name, text in map(_parted, words or [])
    }


def compact(value: Any) -> str:
    """Return a value in one line; nothing where there is nothing."""
    return "" if value in (None, {}, []) else json.dumps(value, ensure_ascii=False)


def _parted(word: str) -> tuple[str, str]:
    name, separator, value = word.partition("=")
    if not separator or not name:
        raise typer.BadParameter(f"'{word}' is not of the form NAME=VALUE")
    return name, value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
