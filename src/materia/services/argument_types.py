"""Types of arguments: as JSON has them, and in words."""

from __future__ import annotations

import types
from typing import Any, Union, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from materia.errors import DefinitionError
from materia.mdl.wording import shown

_WORDS: dict[Any, tuple[str, str]] = {
    str: ("a text", "texts"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("true or false", "true or false"),
    type(None): ("null", "null"),
    dict: ("a mapping", "mappings"),
    list: ("a list", "lists"),
}


class ArgumentType:
    """What one argument may be.

    Args:
        annotation: Of the parameter.
    """

    def __init__(self, annotation: Any) -> None:
        self._words = _in_words(annotation)
        try:
            self._adapter = TypeAdapter[Any](annotation, config=ConfigDict(strict=True))
        except PydanticUserError:  # a type that brings a configuration of its own
            self._adapter = TypeAdapter(annotation)

    def require(self, name: str, value: Any) -> None:
        """Raise a DefinitionError unless a value is of this type."""
        try:
            self._adapter.validate_python(value)
        except ValidationError as error:
            place = [step for step in error.errors()[0]["loc"] if isinstance(step, int)]
            path = f"{name}[{place[0]}]" if place and isinstance(value, list) else name
            found = value[place[0]] if path != name else value
            whole = f" ({name} is {self._words})" if path != name else ""
            what = f"must be {self._words}" if path == name else f"is of the wrong type{whole}"
            raise DefinitionError(
                f"{path}: {what}, not {shown(found)}", f"give {self._words}", path=path
            ) from None


def _in_words(annotation: Any, n: int = 0) -> str:
    """Return a type in words, n = 1 for several of it."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_in_words(one, n) for one in inside))
    if origin is list and inside:
        return f"{_WORDS[list][n]} of {_in_words(inside[0], 1)}"
    return _WORDS.get(origin or annotation, ("something else", "other things"))[n]
