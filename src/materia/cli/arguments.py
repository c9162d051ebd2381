"""Arguments of tasks as words of a command line: NAME=VALUE, where a value is JSON or text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import typer

PREFIX = "tasks."
BRACKETS = ("{", "[")


def full_name(task: str) -> str:
    """Return the whole name of a task, of which people write the end."""
    return task if task.startswith(PREFIX) else f"{PREFIX}{task}"


def settings_of(words: Sequence[str] | None) -> dict[str, Any]:
    """Return values by their names; what is no JSON is text, unless it begins like JSON."""
    return {name: _value(name, text) for name, text in map(_parted, words or [])}


def arguments_of(task: str, words: Sequence[str] | None) -> dict[str, Any]:
    """Return the arguments of a task; where it takes a text, ``123`` is one.

    A text in quotes is one without them, and ``null`` is none.
    """
    parts = dict(map(_parted, words or []))
    # Most words are texts anyway; the types of tasks are looked up only where they matter.
    texts = {name for name, text in parts.items() if not _is_text(text)}
    if texts:
        from materia.services.tasks import texts_of

        texts &= texts_of(full_name(task))
    return {name: text if name in texts else _value(name, text) for name, text in parts.items()}


def compact(value: Any) -> str:
    """Return a value in one line; nothing where there is nothing."""
    return "" if value in (None, {}, []) else json.dumps(value, ensure_ascii=False)


def _parted(word: str) -> tuple[str, str]:
    name, separator, value = word.partition("=")
    if not separator or not name:
        raise typer.BadParameter(f"'{word}' is not of the form NAME=VALUE")
    return name, value


def _is_text(text: str) -> bool:
    """Whether a word is a text, or none, whatever its task takes."""
    return not text.lstrip().startswith(BRACKETS) and isinstance(_loaded(text), str | None)


def _loaded(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        return text


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _value(name: str, text: str) -> Any:
    value = _loaded(text)
    if isinstance(value, str) and text.lstrip().startswith(BRACKETS):
        from materia.mdl.json_text import bare_constant, fault

        found = fault(text)
        what, fix = "this is not valid JSON", "a text needs quotes around it"
        if found is not None:
            what, fix = found.message, f"{found.fix}; {fix}"
        elif (constant := bare_constant(text)) is not None:
            what, fix = f"{constant} is no number of JSON", f"give a finite one; {fix}"
        raise typer.BadParameter(f"{name}: {what} ({fix})")
    return value
