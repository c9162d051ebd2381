"""The settings of a stack, independent of the user's folder, as its processes get them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from dotenv import dotenv_values
from pydantic import SecretStr, ValidationError

from materia.errors import MateriaError
from materia.settings import Settings
from materia.stack.exposure import is_exposed, outside_host
from materia.stack.orphans import MARK

THREAD_CAPS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def read_settings(**flags: Any) -> Settings:
    """Return the settings with what was given on the command line on top; None was not given.

    Raises:
        MateriaError: When a value is not allowed, naming each setting.
    """
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise MateriaError(
            "settings are not valid: " + "; ".join(wrong),
            "see flags, MATERIA_* in the environment, and .env; `materia doctor` lists them",
        ) from error


def environment(settings: Settings, stack_id: str) -> dict[str, str]:
    """Return the environment of the processes: every setting, decided once, by value.

    They run in a folder of their own, where neither a `.env` nor a module of the user's is found;
    what the user's `.env` says travels along.
    """
    ours = {f"MATERIA_{name.upper()}": value for name, value in settings}
    env = dict.fromkeys(THREAD_CAPS, "1")
    env.update(_from_dotenv())
    env.update({name: value for name, value in os.environ.items() if name.upper() not in ours})
    env.update({name: _text(value) for name, value in ours.items() if value is not None})
    # An `ase.py` in the user's folder must not be taken for the library.
    env.update({MARK: stack_id, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"})
    return env


def _text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _from_dotenv() -> dict[str, str]:
    given = dotenv_values(".env")
    return {k: v for k, v in given.items() if k.startswith("MATERIA_") and v is not None}


def absolute_places(settings: Settings) -> dict[str, Any]:
    """Return the settings that name places, made independent of the working folder."""
    roots = [str(Path(root).absolute()) for root in settings.data_roots.split(":") if root]
    places: dict[str, Any] = {
        "data_dir": settings.data_dir.expanduser().resolve(),
        "data_roots": ":".join(roots),
    }
    if settings.database_url:
        scheme, _, path = settings.database_url.partition(":///")
        if scheme.startswith("sqlite") and path and not path.startswith("/"):
            places["database_url"] = f"{scheme}:///{Path(path).absolute()}"
    return places


def reachable(host: str) -> str:
    """Return an address of this machine under which a server bound to `host` answers."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)


def api_url(settings: Settings) -> str:
    """Return scheme, host and port of the API, without a path, for this machine."""
    return _url(reachable(settings.api_host), settings.api_port)


def flower_url(settings: Settings) -> str:
    """Return where the stack's Flower is, without user and password."""
    return _url("127.0.0.1", settings.flower_port)


def outside_url(settings: Settings) -> str | None:
    """Return where other machines find the API; None when they cannot."""
    host = settings.api_host
    return _url(outside_host(host), settings.api_port) if is_exposed(host) else None


def _url(host: str, port: int) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def dashboard_url(settings: Settings) -> str:
    """Return where a browser opens the dashboard, with the key where no server ever sees it."""
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    return f"{api_url(settings)}/#{urlencode({'key': key})}" if key else api_url(settings)


def with_db(url: str, db: int) -> str:
    """Return a Redis URL with another database number."""
    return urlsplit(url)._replace(path=f"/{db}").geturl()
