"""Where each setting comes from: running stack, flag, environment, `.env` file or default."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from dotenv import dotenv_values
from pydantic import SecretStr

from materia.log import REDACTED, redact
from materia.settings import Settings


@dataclass(frozen=True, slots=True)
class SourcedSetting:
    """A setting with its value, secrets redacted, and its source."""

    name: str
    variable: str
    value: str
    source: str


def sourced(
    settings: Settings, *, flags: Collection[str], decided: Collection[str]
) -> list[SourcedSetting]:
    """Return every setting in the order of their declaration.

    Args:
        settings: As they are in effect.
        flags: Names of those that were given on the command line.
        decided: Names of those that a running stack decided.
    """
    environment = {name.upper() for name in os.environ}
    dotenv = {name.upper() for name in dotenv_values(".env")}
    found = []
    for name, value in settings:
        variable = f"MATERIA_{name.upper()}"
        if name in decided:
            source = "stack"
        elif name in flags:
            source = "flag"
        elif variable in environment:
            source = "environment"
        elif variable in dotenv:
            source = ".env"
        else:
            source = "default"
        found.append(SourcedSetting(name, variable, _shown(name, value), source))
    return found


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "-"
    return REDACTED if isinstance(value, SecretStr) else str(redact({name: str(value)})[name])
