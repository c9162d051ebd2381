"""Types of arguments: as JSON has them, and in words."""

from __future__ import annotations

import types
from typing import Any, Union, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError

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
        self._adapter = TypeAdapter[Any](_shallow(annotation), config=ConfigDict(strict=True))

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


def _shallow(annotation: Any) -> Any:
    """Return a type without that of a mapping's values, of which the task says what is wrong."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return Union[tuple(_shallow(one) for one in inside)]  # noqa: UP007 - built from parts
    if origin is list and inside:
        return list[_shallow(inside[0])]  # type: ignore[misc]
    return dict if origin is dict else annotation


def _in_words(annotation: Any, n: int = 0) -> str:
    """Return a type in words, n = 1 for several of it."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_in_words(one, n) for one in inside))
    if origin is list and inside:
        return f"{_WORDS[list][n]} of {_in_words(inside[0], 1)}"
    return _WORDS.get(origin or annotation, ("something else", "other things"))[n]
